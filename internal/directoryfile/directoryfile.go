// Package directoryfile reads and writes the directory of contacts as CSV.
package directoryfile

import (
	"bufio"
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
var columns = []string{"scope", "target", "email", "name", "language", "format", "digest", "country", "valid_from", "valid_until", "note", "pgp_key"}

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

func (l *List) problem(line int, text string, why error) {
	l.Bad++
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, Problem{Line: line, Text: casedb.CleanLine(text, 200), Why: casedb.CleanLine(why.Error(), 300)})
	}
}

var secrets = regexp.MustCompile(`(?s)-----BEGIN PGP.*?(-----END PGP [A-Z ]*-----|$)`)

// Read reads a directory of contacts from CSV (RFC 4180) in UTF-8,
// with or without a byte order mark, as Writer and spreadsheet programs
// write it. check says what else is
// wrong with an entry in base form. A line that cannot be
// used is a problem; the error is one of the whole file.
func Read(in io.Reader, check func(*casedb.DirectoryEntry) error) (*List, error) {
	raw, err := io.ReadAll(io.LimitReader(in, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read directory: %w", err)
	case len(raw) > MaxBytes:
		return nil, fmt.Errorf("the directory is larger than %d MiB", MaxBytes>>20)
	case !utf8.Valid(raw):
		return nil, errors.New("the directory is not in UTF-8; spreadsheet programs offer \"CSV UTF-8\" when saving")
	}
	raw = bytes.TrimPrefix(raw, []byte("\uFEFF"))
	r := csv.NewReader(bufio.NewReader(bytes.NewReader(raw)))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, errors.New("the directory has no header line; it begins with scope,target,email")
	}
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
	list := &List{}
	seen := map[[2]string]int{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		// Somebody's private key, pasted for the public one, is repeated nowhere.
		text := secrets.ReplaceAllString(strings.Join(record, ","), "[key]")
		line, _ := r.FieldPos(0)
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				line = parse.StartLine
				if parse.Line > line { // who knows what lies between
					return nil, fmt.Errorf("a quotation mark in line %d is not closed where its cell ends", line)
				}
			}
			list.problem(line, text, err)
			continue
		}
		field := func(name string) string {
			if i, ok := place[name]; ok && i < len(record) {
				return cell.Restore(strings.TrimSpace(record[i]))
			}
			return ""
		}
		if strings.TrimSpace(strings.Join(record, "")) == "" {
			continue // spreadsheet programs leave empty lines
		}
		if len(list.Entries) == MaxEntries {
			return nil, fmt.Errorf("the directory has more than %d entries", MaxEntries)
		}
		e, err := entry(field)
		if beyond := record[min(len(header), len(record)):]; err == nil && strings.TrimSpace(strings.Join(beyond, "")) != "" {
			err = errors.New("it has more cells than the first line; one with a comma stands in quotation marks")
		}
		if err == nil {
			err = check(&e)
		}
		if err != nil {
			list.problem(line, text, err)
			continue
		}
		key := [2]string{string(e.Scope), e.Target}
		if first, twice := seen[key]; twice {
			list.problem(line, text, fmt.Errorf("%s %s is in line %d already", e.Scope, e.Target, first))
			continue
		}
		seen[key] = line
		list.Entries = append(list.Entries, e)
	}
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
	return false, fmt.Errorf("digest %q is neither yes nor no", casedb.CleanLine(s, 20))
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
	digest := ""
	if e.Digest {
		digest = "yes"
	}
	record := []string{string(e.Scope), e.Target, e.Email, e.Name, e.Language, e.Format, digest, e.Country, written(e.ValidFrom), written(e.ValidUntil), e.Note, e.PGPKey}
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
