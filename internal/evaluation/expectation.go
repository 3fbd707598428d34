// Package evaluation compares verdicts with what captures are known to hold:
// it reads expectations, matches them with the sources that were judged, and
// counts precision, recall, confusions and false accusations. It knows verdicts
// only, not how they were reached.
package evaluation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"teiten/internal/casedb"
)

// Limits of an expectation file.
const (
	maxLines = 100_000
	maxLine  = 8 << 10
)

// subject says which sources of a capture a line is about.
type subject uint8

const (
	subjectAddress   subject = iota // one source, by its address
	subjectTop                      // the source with the n-th most packets
	subjectPort                     // sources whose verdict names a port
	subjectCount                    // n sources that match the line
	subjectAll                      // all sources that no other line names
	subjectAggregate                // something that only the whole shows
)

// Expectation is one line: what the sources it names are.
type Expectation struct {
	Line int
	File string // pattern as in path.Match
	Text string // the subject as written

	Kind, Tool, Malware, Acknowledged Field
	Note                              string

	subject subject
	address netip.Addr
	n       int
	port    string
}

// Field is what a column allows: one of some values, none of some, or anything.
type Field struct {
	text   string
	any    bool
	not    bool
	values []string
}

// String returns the column as written.
func (f Field) String() string { return f.text }

// Allows reports whether the value is one that the column allows.
func (f Field) Allows(value string) bool {
	return f.any || slices.ContainsFunc(f.values, func(v string) bool { return strings.EqualFold(v, value) }) != f.not
}

// only returns the value that the column asks for first; false where it asks
// for none in particular.
func (f Field) only() (string, bool) {
	if f.any || f.not || f.values[0] == "" {
		return "", false
	}
	return f.values[0], true
}

// parseField reads "scanner", "scanner|unknown", "!infected|scanner", "-" for
// an empty value and "*" for any.
func parseField(s string) (Field, error) {
	f := Field{text: s}
	switch s = strings.TrimSpace(s); s {
	case "*":
		f.any = true
		return f, nil
	case "", "-":
		f.text, f.values = "-", []string{""}
		return f, nil
	}
	s, f.not = strings.CutPrefix(s, "!")
	for v := range strings.SplitSeq(s, "|") {
		if v = strings.TrimSpace(v); v == "" {
			return f, fmt.Errorf("%q has an empty alternative", f.text)
		}
		if v == "-" {
			v = ""
		}
		f.values = append(f.values, v)
	}
	return f, nil
}

// ReadExpectations reads tab-separated lines of seven columns: file, source,
// kind, tool, malware, acknowledged, note. The note may be missing. Empty lines
// and those that begin with "#" are left out, as is a line of headings that
// begins with "file". Every line that cannot be used is named in the error.
func ReadExpectations(r io.Reader) ([]Expectation, error) {
	var list []Expectation
	var bad []error
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 0, maxLine), maxLine)
	n := 0
	for scan.Scan() {
		n++
		if n > maxLines {
			return nil, fmt.Errorf("more than %d lines", maxLines)
		}
		text := strings.TrimRight(scan.Text(), "\r")
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, "file\t") {
			continue
		}
		e, err := parseExpectation(text)
		if err != nil {
			bad = append(bad, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		e.Line = n
		list = append(list, e)
	}
	if err := scan.Err(); err != nil {
		bad = append(bad, fmt.Errorf("line %d: %w", n+1, err))
	}
	return list, errors.Join(bad...)
}

func parseExpectation(text string) (e Expectation, err error) {
	columns := strings.Split(text, "\t")
	if len(columns) < 6 || len(columns) > 7 {
		return e, fmt.Errorf("%d columns instead of file, source, kind, tool, malware, acknowledged, note", len(columns))
	}
	e.File, e.Text = strings.TrimSpace(columns[0]), strings.TrimSpace(columns[1])
	if len(columns) == 7 {
		e.Note = strings.TrimSpace(columns[6])
	}
	if _, err := path.Match(e.File, ""); err != nil || e.File == "" {
		return e, fmt.Errorf("%q is no file name or pattern", e.File)
	}
	if err := e.parseSubject(); err != nil {
		return e, err
	}
	for i, f := range []*Field{&e.Kind, &e.Tool, &e.Malware, &e.Acknowledged} {
		if *f, err = parseField(columns[2+i]); err != nil {
			return e, err
		}
	}
	if e.subject != subjectAggregate {
		for _, v := range e.Kind.values {
			if !slices.Contains(casedb.Kinds, casedb.Kind(v)) {
				return e, fmt.Errorf("%q is no kind of source", v)
			}
		}
	}
	return e, nil
}

func (e *Expectation) parseSubject() error {
	switch s := e.Text; {
	case s == "all":
		e.subject = subjectAll
	case s == "aggregate":
		e.subject = subjectAggregate
	case strings.HasPrefix(s, "top"):
		e.subject = subjectTop
		return e.parseNumber(s[len("top"):])
	case strings.HasPrefix(s, "count:"):
		e.subject = subjectCount
		return e.parseNumber(s[len("count:"):])
	case strings.HasPrefix(s, "port:"):
		e.subject, e.port = subjectPort, s[len("port:"):]
	default:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("%q is neither an address nor top1, count:N, port:N/TCP, all or aggregate", s)
		}
		e.subject, e.address = subjectAddress, a.Unmap()
	}
	return nil
}

func (e *Expectation) parseNumber(s string) (err error) {
	if e.n, err = strconv.Atoi(s); err != nil || e.n < 1 {
		return fmt.Errorf("%q: no number from 1 on", e.Text)
	}
	return nil
}

// allows reports whether a verdict is as expected. Acknowledgements count only
// where an allowlist was given.
func (e *Expectation) allows(v *casedb.Verdict, acknowledged bool) bool {
	return e.Kind.Allows(string(v.Kind)) && e.Tool.Allows(v.Tool) && e.Malware.Allows(v.Malware) &&
		(!acknowledged || e.Acknowledged.Allows(v.Acknowledged))
}

// String writes the line's columns.
func (e *Expectation) String() string {
	s := e.Kind.String()
	for _, f := range []Field{e.Tool, e.Malware} {
		if _, ok := f.only(); ok {
			s += " " + f.text
		}
	}
	return s
}
