package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"teiten/internal/casedb"
	"teiten/notify"
)

// The limits of the letter pages.
const (
	letterVersions = 50
	letterCases    = 20
)

// lettersPage is the data of view letters.
type lettersPage struct {
	Rows []letterRow
}

// letterRow is a letter with the version in force.
type letterRow struct {
	Name    notify.LetterName
	InForce casedb.LetterChoice // zero: no version was ever chosen
}

// letterPage is the data of view letter.
type letterPage struct {
	Name     notify.LetterName
	InForce  casedb.LetterChoice
	Subject  string // what is in the form
	Body     string
	Versions []casedb.LetterTemplate
	Choices  []casedb.LetterChoice
	Cases    []string // to try it on
	Case     string   // the chosen one; empty: a made-up case
	Preview  *Mail
	Problem  string // what is wrong with what was typed, for the reader
	Shown    int    // the version in the form
	Against  int    // the version it is compared to; -1: none
	Diff     []diffLine
	Form     form
}

// letters lists the letters to owners.
func (s *Server) letters(w http.ResponseWriter, r *http.Request, v *visit) error {
	if s.cfg.Composer == nil {
		return casedb.ErrNotFound
	}
	choices, err := s.db.LettersInForce(r.Context())
	if err != nil {
		return err
	}
	byName := map[string]casedb.LetterChoice{}
	for _, c := range choices {
		byName[c.Name] = c
	}
	var data lettersPage
	for _, n := range notify.LetterNames() {
		data.Rows = append(data.Rows, letterRow{n, byName[n.String()]})
	}
	return s.render(w, r, v, http.StatusOK, "letters", data)
}

// letterShow shows a letter: the version asked for, or the one in force.
func (s *Server) letterShow(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.loadLetterPage(r)
	if err != nil {
		return err
	}
	data.Shown = data.InForce.Version
	query := r.URL.Query()
	if n, err := strconv.Atoi(query.Get("version")); err == nil {
		data.Shown = n
	}
	ctx := r.Context()
	if data.Subject, data.Body, err = s.letterVersion(ctx, data.Name, data.Shown); err != nil {
		return err
	}
	data.Against = -1
	if n, err := strconv.Atoi(query.Get("against")); err == nil {
		subject, body, err := s.letterVersion(ctx, data.Name, n)
		if err != nil {
			return err
		}
		data.Against, data.Diff = n, diffLines(subject+"\n\n"+body, data.Subject+"\n\n"+data.Body)
	}
	return s.render(w, r, v, http.StatusOK, "letter", data)
}

func (s *Server) loadLetterPage(r *http.Request) (letterPage, error) {
	data := letterPage{Against: -1}
	name, ok := notify.ParseLetterName(r.PathValue("name"))
	if !ok || s.cfg.Composer == nil {
		return data, casedb.ErrNotFound
	}
	data.Name = name
	ctx := r.Context()
	var err error
	if data.Versions, err = s.db.LetterVersions(ctx, name.String(), letterVersions); err != nil {
		return data, err
	}
	if data.Choices, err = s.db.LetterChoices(ctx, name.String(), letterVersions); err != nil {
		return data, err
	}
	if len(data.Choices) > 0 {
		data.InForce = data.Choices[0]
	}
	data.Cases, err = s.db.CasesOfKind(ctx, name.Kind(), letterCases)
	return data, err
}

// letterVersion returns the template of a version; 0 is the program's own.
func (s *Server) letterVersion(ctx context.Context, name notify.LetterName, version int) (subject, body string, err error) {
	if version == 0 {
		subject, body = s.cfg.Composer.OwnLetter(name)
		return subject, body, nil
	}
	l, err := s.db.LetterTemplate(ctx, name.String(), version)
	return l.Subject, l.Body, err
}

// letterWrite shows what a template makes of a case, or saves it as a new
// version. What was typed stays in the form whatever is wrong with it.
func (s *Server) letterWrite(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.loadLetterPage(r)
	if err != nil {
		return err
	}
	data.Subject = strings.TrimSpace(r.PostForm.Get("subject"))
	data.Body = strings.ReplaceAll(r.PostForm.Get("body"), "\r\n", "\n")
	data.Case = casedb.CleanLine(r.PostForm.Get("case"), 64)
	data.Shown, _ = strconv.Atoi(r.PostForm.Get("shown")) // for the reader alone
	status := http.StatusOK
	if err := s.cfg.Composer.CheckLetter(data.Name, data.Subject, data.Body); err != nil {
		var bad *notify.BadLetter
		if !errors.As(err, &bad) {
			return err
		}
		data.Problem = v.p.T("letters.bad."+bad.What, v.p.T("letters.part."+bad.Part), bad.Detail)
		return s.render(w, r, v, http.StatusUnprocessableEntity, "letter", data)
	}
	if r.PostForm.Get("save") != "" {
		var saved casedb.LetterTemplate
		err := s.db.InTx(r.Context(), func(tx *casedb.Tx) (err error) {
			saved, err = tx.SaveLetterTemplate(r.Context(), data.Name.String(), casedb.Clean(data.Subject, 0), casedb.Clean(data.Body, 0), v.user.Name, v.now)
			return err
		})
		if err != nil {
			return err
		}
		return s.redirect(w, r, "/letters/"+data.Name.String()+"?version="+strconv.Itoa(saved.Version)+"&against="+strconv.Itoa(data.InForce.Version), v.p.T("done.letter-saved"))
	}
	if status, err = s.preview(r.Context(), v, &data); err != nil {
		return err
	}
	return s.render(w, r, v, status, "letter", data)
}

// preview fills in the mail that the form's template makes.
func (s *Server) preview(ctx context.Context, v *visit, data *letterPage) (int, error) {
	if data.Case == "" {
		subject, body, err := s.cfg.Composer.SampleLetter(data.Name, data.Subject, data.Body)
		data.Preview = &Mail{Subject: subject, Body: body}
		return http.StatusOK, err
	}
	d, err := s.cfg.Composer.TryLetter(ctx, s.db, data.Name, data.Subject, data.Body, data.Case, v.now)
	var bad *notify.BadLetter
	switch {
	case err == nil:
		m := draftMail(d)
		data.Preview = &m
		return http.StatusOK, nil
	case errors.As(err, &bad):
		data.Problem = v.p.T("letters.bad."+bad.What, v.p.T("letters.part."+bad.Part), bad.Detail)
	case errors.Is(err, casedb.ErrNotFound):
		data.Problem = v.p.T("letters.nocase")
	case errors.Is(err, notify.ErrOtherKind):
		data.Problem = v.p.T("letters.otherkind")
	case errors.Is(err, notify.ErrNothingToSay), errors.Is(err, notify.ErrGone):
		data.Problem = v.p.T("letters.nothing")
	default:
		return 0, err
	}
	return http.StatusUnprocessableEntity, nil
}

// letterChoose puts a version in force.
func (s *Server) letterChoose(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.loadLetterPage(r)
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(r.PostForm.Get("version"))
	if err != nil || version < 0 {
		return errForm
	}
	reason, err := (caseArgs{values: r.PostForm, v: v}).reason("reason")
	if err == nil {
		// A version of an older program may ask for what there is not any more.
		var subject, body string
		if subject, body, err = s.letterVersion(r.Context(), data.Name, version); err != nil {
			return err
		}
		if s.cfg.Composer.CheckLetter(data.Name, subject, body) != nil {
			err = invalidError("letters.broken")
		}
	}
	if err == nil {
		err = s.db.InTx(r.Context(), func(tx *casedb.Tx) error {
			return tx.ChooseLetterTemplate(r.Context(), casedb.LetterChoice{Name: data.Name.String(), Version: version, At: v.now, Actor: v.user.Name, Reason: reason})
		})
	}
	if key, status, ok := refused(err); ok {
		data.Shown, data.Form = version, form{Name: "choose", Values: r.PostForm, Error: key}
		if data.Subject, data.Body, err = s.letterVersion(r.Context(), data.Name, version); err != nil {
			return err
		}
		return s.render(w, r, v, status, "letter", data)
	}
	if err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "letter put in force", "letter", data.Name.String(), "version", version, "user", v.user.Name)
	return s.redirect(w, r, "/letters/"+data.Name.String(), v.p.T("done.letter-chosen"))
}
