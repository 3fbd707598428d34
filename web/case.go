package web

import (
	"context"
	"net/http"
	"strconv"

	"teiten/internal/casedb"
)

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
	data.Label = s.label(loaded.Case.TLP)
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
