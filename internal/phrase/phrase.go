// Package phrase makes one regular expression of a table of ways to say a
// thing, so that each of them has a name and an example that a test tries.
package phrase

import (
	"regexp"
	"strings"
)

// Table lists the ways to say a thing: a name, a pattern and an example of what
// the pattern matches. Where several patterns match at one place, the first
// counts.
type Table [][3]string

// Any compiles a pattern that matches what any pattern of the table matches.
// The frame is what stands around all of them, with "%s" where they are.
func Any(frame string, t Table) *regexp.Regexp {
	patterns := make([]string, len(t))
	for i, entry := range t {
		patterns[i] = entry[1]
	}
	return Framed(frame, strings.Join(patterns, "|"))
}

// Framed compiles one pattern in a frame.
func Framed(frame, pattern string) *regexp.Regexp {
	return regexp.MustCompile(strings.Replace(frame, "%s", "(?:"+pattern+")", 1))
}
