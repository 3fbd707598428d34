package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"teiten/internal/casedb"
)

// unmatchedPage is the data of view unmatched.
type unmatchedPage struct {
	Mails []casedb.Inbound
	Next  string
	Form  form // Name is the mail's id
}

// unmatched lists the mails that came to us and belong to no case.
func (s *Server) unmatched(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderUnmatched(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderUnmatched(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	before := idCursor(r.URL.Query().Get("before"))
	mails, err := s.db.UnmatchedInbound(r.Context(), before, pageSize+1)
	if err != nil {
		return err
	}
	data := unmatchedPage{Mails: mails, Form: f}
	if len(mails) > pageSize {
		data.Mails = mails[:pageSize]
		data.Next = "/unmatched?before=" + strconv.FormatInt(mails[pageSize-1].ID, 10)
	}
	return s.render(w, r, v, status, "unmatched", data)
}

// fileInbound gives an unmatched mail to a case.
func (s *Server) fileInbound(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	f := form{Name: r.PathValue("id"), Values: r.PostForm}
	number := strings.ToUpper(strings.Trim(casedb.CleanLine(r.PostForm.Get("case"), 64), "[] "))
	c, err := s.db.CaseByNumber(ctx, number)
	if errors.Is(err, casedb.ErrNotFound) {
		f.Error = "invalid.case"
		return s.renderUnmatched(w, r, v, http.StatusUnprocessableEntity, f)
	}
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *casedb.Tx) error { return tx.FileInbound(ctx, id, c.ID, v.user.Name, v.now) })
	if key, status, ok := refused(err); ok {
		f.Error = key
		return s.renderUnmatched(w, r, v, status, f)
	}
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/cases/"+url.PathEscape(c.Number), v.p.T("done.filed"))
}
