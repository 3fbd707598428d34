// Package directoryfile reads and writes the directory of contacts as CSV.
package directoryfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"teiten/internal/casedb"
	"teiten/internal/cell"
)

// Limits of a directory of contacts in CSV.
const (
	MaxBytes    = 16 << 20
	MaxEntries  = 100_000
	maxProblems = 100 // problems kept
)

// columns are the columns of the CSV, the first three of which every
// file must have. Others are ignored, so that a list may say more than we read.
var columns = []string{"scope", "target", "email", "name", "language", "format", "digest", "country", "valid_from", "valid_until", "note", "pgp_key", "silent", "networks"}

// Problem is what is wrong with a line.
type Problem struct {
	Line int // from 1
	Text string
	Why  string
}

// String writes the problem as "line 3: why: text".
func (p Problem) String() string { return fmt.Sprintf("line %d: %s: %q", p.Line, p.Why, p.Text) }

// List is a directory of contacts read from CSV.
type List struct {
	Entries  []casedb.DirectoryEntry // the usable ones, in base form
	Problems []Problem               // at most 100
	Bad      int                     // lines that cannot be used
}

func (l *List) problem(r row, why error) {
	l.Bad++
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, Problem{Line: r.line, Text: casedb.CleanLine(r.text(), 200), Why: casedb.CleanLine(why.Error(), 300)})
	}
}

var secrets = regexp.MustCompile(`(?s)-----BEGIN PGP.*?(-----END PGP [A-Z ]*-----|$)`)

// Read reads a directory of contacts from CSV (RFC 4180) in UTF-8, with or
// without a byte order mark, as Writer and spreadsheet programs write it. check
// says what else is wrong with an entry in base form. A line that cannot be used
// is a problem; the error is one of the whole file.
func Read(in io.Reader, check func(*casedb.DirectoryEntry) error) (*List, error) {
	raw, err := content(in)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, errors.New("the directory has no header line; it begins with scope,target,email")
	}
	place, err := places(header)
	if err != nil {
		return nil, err
	}
	list, seen := &List{}, map[[2]string]int{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		at := row{record: record, place: place, columns: len(header)}
		at.line, _ = r.FieldPos(0)
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			at.line = parse.StartLine
			if parse.Line > at.line { // who knows what lies between
				return nil, fmt.Errorf("a quotation mark in line %d is not closed where its cell ends", at.line)
			}
		}
		switch {
		case err != nil:
			list.problem(at, err)
		case at.empty(): // spreadsheet programs leave empty lines
		case len(list.Entries) == MaxEntries:
			return nil, fmt.Errorf("the directory has more than %d entries", MaxEntries)
		default:
			list.add(at, seen, check)
		}
	}
}

// content reads a file whole, without its byte order mark.
func content(in io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(in, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read directory: %w", err)
	case len(raw) > MaxBytes:
		return nil, fmt.Errorf("the directory is larger than %d MiB", MaxBytes>>20)
	case !utf8.Valid(raw):
		return nil, errors.New("the directory is not in UTF-8; spreadsheet programs offer \"CSV UTF-8\" when saving")
	}
	return bytes.TrimPrefix(raw, []byte("\uFEFF")), nil
}

// places reads from the header line where each column is.
func places(header []string) (map[string]int, error) {
	place := make(map[string]int, len(header))
	for i, h := range header {
		h = strings.ToLower(strings.TrimSpace(h))
		if _, twice := place[h]; twice && h != "" {
			return nil, fmt.Errorf("the column %s is there twice", casedb.CleanLine(h, 40))
		}
		place[h] = i
	}
	for _, c := range columns[:3] {
		if _, ok := place[c]; !ok {
			return nil, fmt.Errorf("the directory has no column %s; the first line names the columns, separated by commas", c)
		}
	}
	return place, nil
}

// row is a line of the file after the header.
type row struct {
	line    int
	record  []string
	place   map[string]int
	columns int
}

func (r row) empty() bool { return strings.TrimSpace(strings.Join(r.record, "")) == "" }

// text is the line as a problem shows it: somebody's private key, pasted for
// the public one, is repeated nowhere.
func (r row) text() string { return secrets.ReplaceAllString(strings.Join(r.record, ","), "[key]") }

// field is the cell of a column, as it was before it was made safe for
// spreadsheet programs.
func (r row) field(name string) string {
	if i, ok := r.place[name]; ok && i < len(r.record) {
		return cell.Restore(strings.TrimSpace(r.record[i]))
	}
	return ""
}

// entry is the entry that the line holds.
func (r row) entry(check func(*casedb.DirectoryEntry) error) (casedb.DirectoryEntry, error) {
	e, err := entry(r.field)
	if err != nil {
		return e, err
	}
	if beyond := r.record[min(r.columns, len(r.record)):]; strings.TrimSpace(strings.Join(beyond, "")) != "" {
		return e, errors.New("it has more cells than the first line; one with a comma stands in quotation marks")
	}
	err = check(&e)
	return e, err
}

// add adds a line's entry, or what is wrong with it. seen has the lines of the
// targets before.
func (l *List) add(r row, seen map[[2]string]int, check func(*casedb.DirectoryEntry) error) {
	e, err := r.entry(check)
	if err != nil {
		l.problem(r, err)
		return
	}
	key := [2]string{string(e.Scope), e.Target}
	if first, twice := seen[key]; twice {
		l.problem(r, fmt.Errorf("%s %s is in line %d already", e.Scope, e.Target, first))
		return
	}
	seen[key] = r.line
	l.Entries = append(l.Entries, e)
}

// entry makes an entry of a line's fields.
func entry(field func(string) string) (e casedb.DirectoryEntry, err error) {
	e = casedb.DirectoryEntry{Scope: casedb.DirectoryScope(strings.ToLower(field("scope"))), Target: field("target"), Email: field("email"),
		Name: field("name"), Language: strings.ToLower(field("language")), Format: strings.ToLower(field("format")),
		Country: field("country"), Note: field("note"), PGPKey: field("pgp_key")}
	if e.ValidFrom, err = day(field("valid_from")); err != nil {
		return e, err
	}
	if e.ValidUntil, err = day(field("valid_until")); err != nil {
		return e, err
	}
	if e.Digest, err = yes(field("digest")); err != nil {
		return e, err
	}
	if e.Silent, err = yes(field("silent")); err != nil {
		return e, err
	}
	if e.Networks, err = yes(field("networks")); err != nil {
		return e, err
	}
	if e.Language == "" {
		e.Language = "en"
	}
	return e, e.Check()
}

// yes reads a yes or no as people and spreadsheet programs write it; nothing is
// no.
func yes(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "y", "true", "1":
		return true, nil
	case "", "no", "n", "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither yes nor no", casedb.CleanLine(s, 20))
}

// day reads a day (UTC) or a time.
func day(s string) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006/1/2"} {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			if t.Year() < 2000 || t.Year() > 9000 {
				break
			}
			return &t, nil
		}
	}
	return nil, fmt.Errorf("%q is not a day like 2026-04-01", casedb.CleanLine(s, 40))
}

// Writer writes entries as Read reads them. No cell is taken
// for a formula by a spreadsheet program.
type Writer struct{ w *csv.Writer }

// NewWriter begins a directory with its header line.
func NewWriter(out io.Writer) (*Writer, error) {
	w := csv.NewWriter(out)
	return &Writer{w}, w.Write(columns)
}

// Write writes an entry.
func (d *Writer) Write(e *casedb.DirectoryEntry) error {
	written := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		if u := t.UTC(); u.Equal(u.Truncate(24 * time.Hour)) {
			return u.Format(time.DateOnly)
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return ""
	}
	record := []string{string(e.Scope), e.Target, e.Email, e.Name, e.Language, e.Format, yes(e.Digest), e.Country, written(e.ValidFrom), written(e.ValidUntil), e.Note, e.PGPKey, yes(e.Silent), yes(e.Networks)}
	for i := range record {
		record[i] = cell.Neutralise(record[i])
	}
	return d.w.Write(record)
}

// Flush writes what is left.
func (d *Writer) Flush() error {
	d.w.Flush()
	return d.w.Error()
}
