package explain_test

import (
	"net/netip"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/explain"
)

func TestAggregatesHaveTextsInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, kind := range casedb.AggregateKinds {
		a := casedb.Aggregate{Kind: kind, Victim: casedb.Addr{Addr: netip.MustParseAddr("192.0.2.1")}, Rule: "mirai", Ports: []string{"23/TCP"},
			Network: casedb.Prefix{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, Sources: 1234, Packets: 5678, Peak: 90.4,
			Destination: casedb.Addr{Addr: netip.MustParseAddr("198.51.100.9")}}
		a.Evidence.V.Notes = []string{"attack", "many-services", "fixed-sequence", "fixed-window"}
		a.Evidence.V.Fixed = &casedb.Fixed{Sequence: 4999, SequenceOf: 5000, Window: 4998, WindowOf: 5000}
		for _, lang := range []string{"en", "ja"} {
			got := explain.Aggregate(&a, lang)
			if !strings.Contains(got, "5,678") || !strings.Contains(got, "23/TCP") || !strings.Contains(got, "4,999") || !strings.Contains(got, "4,998") || strings.ContainsAny(got, "{}") {
				t.Errorf("%s, %s: got %s", kind, lang, got)
			}
			if strings.Contains(got, "198.51.100.9") {
				t.Errorf("%s, %s: names our address", kind, lang)
			}
			if !strings.Contains(got, explain.Note("many-services", lang)) {
				t.Errorf("%s, %s: leaves out the note", kind, lang)
			}
		}
	}
	if got := explain.Aggregate(&casedb.Aggregate{Kind: "other"}, "en"); got != "other" {
		t.Errorf("got %s", got)
	}
}
