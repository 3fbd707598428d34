// Package locale holds the texts of the web desk and of explanations in
// Japanese and English. The catalogues ja.json and en.json are flat: a key has
// a string, or an array of plural forms (Japanese has one form, English two:
// one, other). Mails and reports do not come from here: they are whole
// templates in package notify.
package locale

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

//go:embed ja.json en.json
var files embed.FS

// The languages there are catalogues for.
const (
	Japanese = "ja"
	English  = "en"
)

// Languages returns every language there is a catalogue for.
func Languages() []string { return []string{Japanese, English} }

// Supported reports whether there is a catalogue for the language.
func Supported(lang string) bool { return slices.Contains(Languages(), lang) }

// Catalog holds the texts of all languages. It is never changed after Load and
// safe for concurrent use.
type Catalog struct{ printers map[string]*Printer }

// Load reads the embedded catalogues. An error means that one of them is not
// well-formed: a mistake in the program.
func Load() (*Catalog, error) {
	c := &Catalog{printers: make(map[string]*Printer)}
	for _, lang := range Languages() {
		p, err := read(lang)
		if err != nil {
			return nil, err
		}
		c.printers[lang] = p
	}
	return c, nil
}

func read(lang string) (*Printer, error) {
	b, err := files.ReadFile(lang + ".json")
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", lang, err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", lang, err)
	}
	p := &Printer{lang: lang, forms: make(map[string][]string, len(raw)), zone: time.UTC}
	if lang == Japanese {
		p.zone = time.FixedZone("JST", 9*60*60)
	}
	for key, value := range raw {
		var forms []string
		if value[0] == '"' {
			forms = make([]string, 1)
			err = json.Unmarshal(value, &forms[0])
		} else {
			err = json.Unmarshal(value, &forms)
			if err == nil && len(forms) != pluralForms(lang) {
				err = fmt.Errorf("%d plural forms instead of %d", len(forms), pluralForms(lang))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("catalogue %s, key %s: %w", lang, key, err)
		}
		p.forms[key] = forms
	}
	return p, nil
}

// Printer returns the printer of the language; of English if there is no
// catalogue for it.
func (c *Catalog) Printer(lang string) *Printer {
	if p := c.printers[lang]; p != nil {
		return p
	}
	return c.printers[English]
}

// Printer writes texts, numbers and times in one language.
type Printer struct {
	lang  string
	zone  *time.Location
	forms map[string][]string
}

// Lang returns the language, as in the lang attribute of HTML.
func (p *Printer) Lang() string { return p.lang }

// Keys returns all keys in order.
func (p *Printer) Keys() []string { return slices.Sorted(maps.Keys(p.forms)) }

// Forms returns the texts of a key: one, or one per plural form; nil if there
// is no such key.
func (p *Printer) Forms(key string) []string { return slices.Clone(p.forms[key]) }

// Has reports whether there is a text for the key.
func (p *Printer) Has(key string) bool { return p.forms[key] != nil }

// T returns the text of the key with args put in as by fmt.Sprintf. A key
// without text gives the key itself, so that a page never fails for it.
func (p *Printer) T(key string, args ...any) string {
	forms := p.forms[key]
	if forms == nil {
		return key
	}
	return format(forms[len(forms)-1], args)
}

// N returns the plural form of the key's text for n things, with n and args
// put in as by fmt.Sprintf.
func (p *Printer) N(key string, n int, args ...any) string {
	forms := p.forms[key]
	if forms == nil {
		return key
	}
	form := forms[len(forms)-1]
	if len(forms) > 1 && n == 1 {
		form = forms[0]
	}
	return format(form, append([]any{n}, args...))
}

// format is fmt.Sprintf for a text that does not use all of args, and leaves a
// text without args alone.
func format(text string, args []any) string {
	if len(args) == 0 {
		return text
	}
	if n := Verbs(text); n < len(args) {
		args = args[:n]
	}
	return fmt.Sprintf(text, args...)
}

// Verbs returns how many arguments the text takes.
func Verbs(text string) int {
	return strings.Count(strings.ReplaceAll(text, "%%", ""), "%")
}

// pluralForms returns how many plural forms a language has.
func pluralForms(lang string) int {
	if lang == Japanese {
		return 1
	}
	return 2
}

// Zone returns the zone times are shown in: Japan's for Japanese, UTC
// otherwise.
func (p *Printer) Zone() *time.Location { return p.zone }

// Time returns the time in ISO 8601 with its zone, to the minute.
func (p *Printer) Time(t time.Time) string {
	if p.zone == time.UTC {
		return t.UTC().Format("2006-01-02 15:04Z")
	}
	return t.In(p.zone).Format("2006-01-02 15:04-07:00")
}

// UTC returns the time in ISO 8601 in UTC, to the second.
func (p *Printer) UTC(t time.Time) string { return t.UTC().Format(time.RFC3339) }
