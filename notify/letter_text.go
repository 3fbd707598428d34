package notify

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"teiten/internal/casedb"
)

// The largest sizes of a letter's template and text.
const (
	maxTemplate = 64 << 10
	maxLetter   = 256 << 10
)

// letterText is the template of a letter.
type letterText struct {
	Subject, Body string
}

// BadLetter is the fault of a letter's template. What is a key: "parse",
// "action", "field", "function", "large", "fails", "tag", "number", "contact"
// or "table".
type BadLetter struct {
	What   string
	Part   string // "subject" or "body"
	Detail string
}

func (e *BadLetter) Error() string {
	return strings.TrimSpace(fmt.Sprintf("letter's %s: %s %s", e.Part, e.What, e.Detail))
}

// render executes the templates and checks that the letter has what every
// letter must have.
func (l letterText) render(f Fields) (subject, body string, err error) {
	if subject, err = renderPart("subject", l.Subject, f); err != nil {
		return "", "", err
	}
	if body, err = renderPart("body", l.Body, f); err != nil {
		return "", "", err
	}
	subject = casedb.CleanLine(subject, 500)
	body = strings.TrimSpace(tidy(body)) + "\n"
	tag := "[" + f.Number + "]"
	switch {
	case !strings.Contains(subject, tag):
		return subject, body, &BadLetter{"tag", "subject", tag}
	case !strings.Contains(body, f.Number):
		return subject, body, &BadLetter{"number", "body", f.Number}
	case !strings.Contains(body, f.Email):
		return subject, body, &BadLetter{"contact", "body", f.Email}
	}
	for _, g := range f.Groups {
		if !strings.Contains(body, strings.TrimSpace(g.Table)) {
			return subject, body, &BadLetter{"table", "body", ".Groups .Table"}
		}
	}
	return subject, body, nil
}

// tidy leaves no more than one blank line in a row.
func tidy(s string) string {
	for strings.Contains(s, "\n\n\n") {
		s = strings.ReplaceAll(s, "\n\n\n", "\n\n")
	}
	return s
}

func renderPart(part, text string, f Fields) (string, error) {
	if len(text) > maxTemplate {
		return "", &BadLetter{"large", part, ""}
	}
	t, err := template.New(part).Parse(text)
	if err != nil {
		return "", &BadLetter{"parse", part, parseDetail(part, err)}
	}
	if err := checkTemplate(t, part); err != nil {
		return "", err
	}
	w := &boundedText{}
	if err := t.Execute(w, f); err != nil {
		if errors.Is(err, errTooLong) {
			return "", &BadLetter{"large", part, ""}
		}
		return "", &BadLetter{"fails", part, parseDetail(part, err)}
	}
	return w.String(), nil
}

// parseDetail is what text/template says, without the words that mean nothing
// to the reader: "12: unexpected ..." begins with the line.
func parseDetail(part string, err error) string {
	return casedb.CleanLine(strings.TrimPrefix(err.Error(), "template: "+part+":"), 300)
}

var errTooLong = errors.New("the text is too long")

// boundedText is a text of bounded length.
type boundedText struct{ strings.Builder }

func (b *boundedText) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxLetter {
		return 0, errTooLong
	}
	return b.Builder.Write(p)
}
