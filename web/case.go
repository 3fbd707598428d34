package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"teiten/internal/casedb"
)

// form is what a user typed into a form that could not be carried out. The
// zero form is an untouched page.
type form struct {
	Name   string // which form of the page
	Values url.Values
	Error  string // key of the catalogue
}

// Value returns what was typed into a field of the named form, or fallback for
// a form without any input.
func (f form) Value(name, field, fallback string) string {
	if f.Name != name || !f.Values.Has(field) {
		return fallback
	}
	return f.Values.Get(field)
}

// Is reports whether the named form is the one that failed.
func (f form) Is(name string) bool { return f.Name == name }

// caseShow shows a case.
func (s *Server) caseShow(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderCase(w, r, v, http.StatusOK, form{})
}

// renderCase shows the case of the request's path with a form as it was typed.
func (s *Server) renderCase(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	ctx := r.Context()
	loaded, err := s.db.CasePage(ctx, r.PathValue("number"))
	if err != nil {
		return err
	}
	data := newCasePage(loaded, f)
	// The order matters: what comes later looks at what came before.
	for _, load := range []func(context.Context, caseVisit, *casePage) error{
		s.loadControl, s.loadTimeline, s.loadSources, s.loadChart, s.loadAnswers, s.loadFindings, s.loadLetter, s.loadHealth,
	} {
		if err := load(ctx, caseVisit{visit: v, query: r.URL.Query()}, &data); err != nil {
			return err
		}
	}
	return s.render(w, r, v, status, "case", data)
}

// caseForm is what every change of a case begins with: its number and the
// version its reader saw.
func (s *Server) caseForm(r *http.Request) (casedb.Case, int, error) {
	c, err := s.db.CaseByNumber(r.Context(), casedb.Clean(r.PathValue("number"), 64))
	if err != nil {
		return c, 0, err
	}
	version, err := strconv.Atoi(r.PostForm.Get("version"))
	if err != nil || version < 1 {
		return c, 0, errForm
	}
	return c, version, nil
}

// refused turns an error of a change into the line for the reader and its
// status; ok is false for an error that is not the reader's.
func refused(err error) (key string, status int, ok bool) {
	var invalid invalidError
	switch {
	case errors.As(err, &invalid):
		return string(invalid), http.StatusUnprocessableEntity, true
	case errors.Is(err, casedb.ErrStale):
		return "error.stale", http.StatusConflict, true
	case errors.Is(err, casedb.ErrConflict):
		return "error.conflict", http.StatusConflict, true
	case errors.Is(err, casedb.ErrStranger):
		return "error.stranger", http.StatusConflict, true
	case errors.Is(err, casedb.ErrState):
		return "error.state", http.StatusConflict, true
	}
	return "", 0, false
}

// invalidError is a form that says too little or nonsense; its text is the key
// of the line for the reader.
type invalidError string

func (e invalidError) Error() string { return "invalid form: " + string(e) }
