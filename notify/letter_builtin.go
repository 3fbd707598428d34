package notify

import (
	"fmt"
	"strings"
	"sync"
	"text/template"

	"teiten/internal/casedb"
)

// frame is what the program's own letters are put together from: the frame of
// a language and the pieces for what a letter is about. The result is the text
// of a whole letter, as coordinators see and edit it. The frame's own actions
// stand in << and >>.
type frame struct {
	Letter LetterName
	pieces *template.Template
}

// Reason is why the letter is written.
func (f frame) Reason() string { return f.Letter.Reason }

// Several reports whether the letter may be about more than one malware.
func (f frame) Several() bool { return f.Letter.About == string(casedb.KindInfected) }

// Piece returns the piece of the name for this letter: the most special one
// there is.
func (f frame) Piece(name string) (string, error) {
	malware := strings.TrimPrefix(strings.TrimPrefix(f.Letter.About, string(f.Letter.Kind())), "-")
	infected := f.Letter.Kind() == casedb.KindInfected
	switch {
	case name == "ask" && infected:
		return f.ask(malware)
	case infected && (name == "why" || name == "name"):
		return f.ofMalware(name, malware)
	}
	for _, n := range []string{name + "-" + f.Letter.About, name + "-" + string(f.Letter.Kind()), name} {
		if f.pieces.Lookup(n) != nil {
			return f.text(n)
		}
	}
	return "", fmt.Errorf("letter %s: no piece %s", f.Letter, name)
}

// ofMalware is the piece of one malware, or one that chooses among all.
func (f frame) ofMalware(name, malware string) (string, error) {
	if malware != "" {
		return f.text(name + "-" + malware)
	}
	var b strings.Builder
	for i, m := range []string{casedb.MalwareMS17010, casedb.MalwareMirai, casedb.MalwareSlammer} {
		text, err := f.text(name + "-" + m)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteString("{{else ")
		} else {
			b.WriteString("{{")
		}
		fmt.Fprintf(&b, "if eq .Malware %q}}%s", m, text)
	}
	text, err := f.text(name + "-other")
	return b.String() + "{{else}}" + text + "{{end}}", err
}

// ask is what infected owners are asked to do.
func (f frame) ask(malware string) (string, error) {
	find, err := f.text("find")
	if err != nil {
		return "", err
	}
	steps, err := f.ofMalware("ask", malware)
	if err != nil {
		return "", err
	}
	common, err := f.text("ask-common")
	if err != nil {
		return "", err
	}
	if !f.Several() {
		return find + "\n" + steps + "\n\n" + common, nil
	}
	name, err := f.ofMalware("name", "")
	return find + "{{range .Groups}}{{if .Mixed}}\n\n  " + name + ":{{end}}\n" + steps + "{{end}}\n\n" + common, err
}

func (f frame) text(piece string) (string, error) {
	var b strings.Builder
	err := f.pieces.ExecuteTemplate(&b, piece, f)
	return b.String(), err
}

// builtinLetters are the program's own letters, by name. They are put together
// once: they follow from the embedded files alone, and nothing changes them.
var builtinLetters = sync.OnceValues(assembleLetters)

func assembleLetters() (map[string]letterText, error) {
	pieces := map[string]*template.Template{}
	letters := map[string]letterText{}
	for _, n := range LetterNames() {
		if pieces[n.Language] == nil {
			t, err := template.New(n.Language).Delims("<<", ">>").ParseFS(templateFiles,
				"templates/letters/frame."+n.Language+".txt", "templates/letters/pieces."+n.Language+".txt")
			if err != nil {
				return nil, fmt.Errorf("letters in %s: %w", n.Language, err)
			}
			pieces[n.Language] = t
		}
		f := frame{Letter: n, pieces: pieces[n.Language]}
		subject, err := f.text("subject")
		if err != nil {
			return nil, fmt.Errorf("letter %s: %w", n, err)
		}
		body, err := f.text("body")
		if err != nil {
			return nil, fmt.Errorf("letter %s: %w", n, err)
		}
		letters[n.String()] = letterText{Subject: subject, Body: body}
	}
	return letters, nil
}
