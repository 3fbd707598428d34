package casedb

import (
	"regexp"
	"slices"
	"testing"

	"teiten/internal/observation"
)

var (
	classIn    = regexp.MustCompile(`o\.class (?:=|in) (\([^()]*\)|'[^']*')`)
	classNamed = regexp.MustCompile(`'([^']*)'`)
)

// TestEvidenceNamesClasses: the classes that the query names are classes, and
// every ICMP error is among what a victim answers.
func TestEvidenceNamesClasses(t *testing.T) {
	t.Parallel()
	var named []observation.Class
	for _, place := range classIn.FindAllStringSubmatch(letterEvidence, -1) {
		for _, m := range classNamed.FindAllStringSubmatch(place[1], -1) {
			c, ok := observation.ParseClass(m[1])
			if !ok || c == observation.ClassNone {
				t.Errorf("no class is named %q", m[1])
			}
			named = append(named, c)
		}
	}
	for c := range observation.ClassOther {
		if c.ICMPError() && !slices.Contains(named, c) {
			t.Errorf("%s is an ICMP error and no evidence", c)
		}
	}
	if len(named) < 10 {
		t.Errorf("found %v only", named)
	}
}
