package casedb

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Addr is a netip.Addr that can be passed to and scanned from an inet column.
// The zero Addr is NULL.
type Addr struct{ netip.Addr }

// Value implements driver.Valuer.
func (a Addr) Value() (driver.Value, error) {
	if !a.IsValid() {
		return nil, nil
	}
	return a.Unmap().WithZone("").String(), nil
}

// Scan implements sql.Scanner.
func (a *Addr) Scan(src any) error {
	s, err := scanText(src)
	if err != nil || s == "" {
		a.Addr = netip.Addr{}
		return err
	}
	s, _, _ = strings.Cut(s, "/")
	a.Addr, err = netip.ParseAddr(s)
	return err
}

// Prefix is a netip.Prefix that can be passed to and scanned from a cidr
// column. The zero Prefix is NULL.
type Prefix struct{ netip.Prefix }

// Value implements driver.Valuer.
func (p Prefix) Value() (driver.Value, error) {
	if !p.IsValid() {
		return nil, nil
	}
	return p.Masked().String(), nil
}

// Scan implements sql.Scanner.
func (p *Prefix) Scan(src any) error {
	s, err := scanText(src)
	if err != nil || s == "" {
		p.Prefix = netip.Prefix{}
		return err
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return err
		}
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p.Prefix, err = netip.ParsePrefix(s)
	return err
}

// JSON is a value kept in a json or jsonb column.
type JSON[T any] struct{ V T }

// Value implements driver.Valuer.
func (j JSON[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(j.V)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	// PostgreSQL's jsonb refuses the escape of NUL.
	return strings.ReplaceAll(string(b), `\u0000`, `\ufffd`), nil
}

// Scan implements sql.Scanner.
func (j *JSON[T]) Scan(src any) error {
	s, err := scanText(src)
	if err != nil || s == "" {
		var zero T
		j.V = zero
		return err
	}
	return json.Unmarshal([]byte(s), &j.V)
}

func scanText(src any) (string, error) {
	switch v := src.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("cannot scan %T", src)
}

// Clean makes foreign text fit for a text column and for people's eyes:
// invalid UTF-8 and NUL become U+FFFD, other control characters except tab and
// newline vanish, and at most limit bytes remain (0: no limit).
func Clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return '\ufffd'
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Bidi_Control, r):
			return -1 // controls, and marks that change the order in which the rest is read (UAX 9, 2)
		}
		return r
	}, s)
	if limit > 0 && len(s) > limit {
		s = s[:limit]
		for len(s) > 0 {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n > 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	return s
}

// CleanLine is Clean for text that must stay on one line.
func CleanLine(s string, limit int) string {
	return Clean(strings.Join(strings.Fields(s), " "), limit)
}
