package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"teiten/internal/casedb"
)

// capturesPage is the data of view captures.
type capturesPage struct {
	Waiting  []casedb.OverlapRow // windows that do not count until a user decides
	Tabs     tabCounts
	Decided  []casedb.OverlapRow
	Earlier  string // the page of earlier decisions
	Imports  []casedb.ListedImport
	Next     string
	Form     form // Name is the batch's id
	MaxShown int
}

// tabCounts are the numbers on the tabs of the pages about sources.
type tabCounts struct {
	Attention int // sources with a contradiction
	Overlaps  int // windows that wait for a decision
}

func (s *Server) tabCounts(ctx context.Context) (n tabCounts, err error) {
	if n.Attention, err = s.db.CountAttention(ctx); err != nil {
		return n, err
	}
	n.Overlaps, err = s.db.OverlapsWaiting(ctx)
	return n, err
}

// decidedShown is how many decided overlaps a page shows.
const decidedShown = 10

// captures lists what was imported, and the windows of captures that overlap.
func (s *Server) captures(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderCaptures(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderCaptures(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	ctx, query := r.Context(), r.URL.Query()
	data := capturesPage{Form: f, MaxShown: pageSize}
	var err error
	if data.Tabs, err = s.tabCounts(ctx); err != nil {
		return err
	}
	if data.Waiting, err = s.db.BatchOverlaps(ctx, true, 0, pageSize); err != nil {
		return err
	}
	if data.Decided, err = s.db.BatchOverlaps(ctx, false, idCursor(query.Get("decided")), decidedShown+1); err != nil {
		return err
	}
	if len(data.Decided) > decidedShown {
		data.Decided = data.Decided[:decidedShown]
		data.Earlier = "/captures?decided=" + strconv.FormatInt(data.Decided[decidedShown-1].BatchID, 10) + "#decided"
	}
	if data.Imports, err = s.db.ListImports(ctx, idCursor(query.Get("before")), pageSize+1); err != nil {
		return err
	}
	if len(data.Imports) > pageSize {
		data.Imports = data.Imports[:pageSize]
		data.Next = "/captures?before=" + strconv.FormatInt(data.Imports[pageSize-1].ID, 10) + "#imports"
	}
	return s.render(w, r, v, status, "captures", data)
}

// decideOverlap says whether a window that overlaps with another one counts.
func (s *Server) decideOverlap(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	f := form{Name: r.PathValue("id"), Values: r.PostForm}
	choice := r.PostForm.Get("choice")
	if choice != "keep" && choice != "leave" {
		f.Error = "invalid.form"
		return s.renderCaptures(w, r, v, http.StatusUnprocessableEntity, f)
	}
	decide := s.db.DecideOverlap
	if r.PostForm.Get("file") != "" {
		decide = s.db.DecideOverlaps
	}
	err = decide(r.Context(), id, choice == "keep", v.user.Name, v.now)
	if errors.Is(err, casedb.ErrState) {
		f.Error = "captures.decidedalready"
		return s.renderCaptures(w, r, v, http.StatusConflict, f)
	}
	if err != nil {
		return err
	}
	done := "done.bothcount"
	if choice == "leave" {
		done = "done.leftout"
	}
	return s.redirect(w, r, "/captures", v.p.T(done))
}
