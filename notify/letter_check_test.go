package notify_test

import (
	"errors"
	"strings"
	"testing"

	"teiten/notify"
)

// TestOwnLettersPassTheirCheck tries every letter of the program on the fields
// that say much and that say little; no line is too long with all there is to
// say.
func TestOwnLettersPassTheirCheck(t *testing.T) {
	t.Parallel()
	c := testComposer(t)
	for _, name := range notify.LetterNames() {
		subject, body := c.OwnLetter(name)
		_, text, err := c.SampleLetter(name, subject, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checkWidth(t, text)
		if strings.Contains(body, "<<") {
			t.Errorf("%s has an action of the frame left", name)
		}
	}
}

// TestBadLettersAreRefused: what does not parse, names what there is not, lacks
// what every letter must have, or could work without end.
func TestBadLettersAreRefused(t *testing.T) {
	t.Parallel()
	c := testComposer(t)
	name, _ := notify.ParseLetterName("infected-mirai.first.en")
	subject, body := c.OwnLetter(name)
	for text, want := range map[string]string{
		"{{if}}":                             "parse",
		"{{.Owner":                           "parse",
		"{{.Sensor}}":                        "field",
		"{{range .Groups}}{{.Owner}}{{end}}": "field",
		"{{if false}}{{.Sensor}}{{end}}":     "field", // even where it is not executed
		"{{with .Groups}}{{.Table}}{{end}}":  "field",
		"{{.Groups}}":                        "action",
		"{{printf \"%1000000000d\" 1}}":      "function",
		"{{html .Owner}}":                    "function",
		"{{call .Owner}}":                    "function",
		"{{.Owner 1}}":                       "action",
		"{{.Owner | .We}}":                   "action",
		"{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}": "action",
		"{{template \"body\"}}":        "action",
		"{{range 1000000000}}x{{end}}": "action",
		"{{range .Owner}}x{{end}}":     "action",
		"{{range .Sources}}x{{end}}":   "action",
		"{{$x := .Groups}}{{if true}}{{$x = 1000000000}}{{end}}{{range $x}}x{{end}}": "action",
		"{{range .Groups}}{{range $.Groups}}x{{end}}{{end}}":                         "action",
		"{{lt .Owner 1}}":            "fails",
		strings.Repeat("x", 100_000): "large",
		strings.Repeat("{{.Owner}}{{.Owner}}{{.Owner}}", 2000) + strings.Repeat("{{range .Groups}}{{.Table}}{{end}}", 100): "large",
	} {
		err := c.CheckLetter(name, subject, body+text)
		var bad *notify.BadLetter
		if !errors.As(err, &bad) || bad.What != want || bad.Part != "body" {
			t.Errorf("%.60s: got %v, want %s", text, err, want)
		}
		if err := c.CheckLetter(name, subject+text, body); err == nil && want != "large" {
			t.Errorf("%.60s: taken as a subject", text)
		}
	}
	for what, change := range map[string]struct{ subject, body string }{
		"tag":     {strings.ReplaceAll(subject, "[{{.Number}}]", ""), body},
		"number":  {subject, strings.ReplaceAll(body, "{{.Number}}", "")},
		"contact": {subject, strings.ReplaceAll(body, "{{.Email}}", "")},
		"table":   {subject, strings.ReplaceAll(body, "{{.Table}}", "")},
	} {
		var bad *notify.BadLetter
		if err := c.CheckLetter(name, change.subject, change.body); !errors.As(err, &bad) || bad.What != what {
			t.Errorf("without %s: %v", what, err)
		}
	}
	if err := c.CheckLetter(name, "", ""); err == nil {
		t.Error("an empty letter was taken")
	}
}

// FuzzLetterTemplate: no template makes the check panic, hang, or take a letter
// that lacks its contact.
func FuzzLetterTemplate(f *testing.F) {
	c := testComposer(f)
	name, _ := notify.ParseLetterName("infected.first.en")
	subject, body := c.OwnLetter(name)
	f.Add(subject, body)
	f.Add("[{{.Number}}]", "{{range $i, $g := .Groups}}{{$g.Table}}{{else}}{{$i}}{{end}}{{with $x := .Owner}}{{$x}}{{end}}")
	f.Add("{{break}}", "{{range .Groups}}{{break}}{{end}}{{block \"x\" .}}{{end}}{{(.Groups).Table}}{{nil}}{{and .Owner (not .We)}}")
	f.Fuzz(func(t *testing.T, subject, body string) {
		s, b, err := c.SampleLetter(name, subject, body)
		if err == nil && (!strings.Contains(s, "[TT-") || !strings.Contains(b, "csirt@teiten.example") || len(b) > 1<<20) {
			t.Errorf("taken: %q, %q", s, b)
		}
	})
}
