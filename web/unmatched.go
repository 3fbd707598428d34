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
	Of    map[int64]string // the numbers of a digest's cases, by the digest's id
	Named map[int64]string // the numbers of the cases that strangers' mails name, by the case's id
	Next  string
	Form  form // Name is the mail's id
}

// Suggested is the number of the case that a stranger's mail names; empty: none.
func (p unmatchedPage) Suggested(m casedb.Inbound) string {
	if m.SuggestedCaseID == nil {
		return ""
	}
	return p.Named[*m.SuggestedCaseID]
}

// Numbers are the cases that a mail may be about; empty: unknown.
func (p unmatchedPage) Numbers(m casedb.Inbound) string {
	if m.MessageID == nil {
		return p.Suggested(m)
	}
	return p.Of[*m.MessageID]
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
	var digests, suggested []int64
	for _, m := range data.Mails {
		if m.MessageID != nil {
			digests = append(digests, *m.MessageID)
		}
		if m.SuggestedCaseID != nil {
			suggested = append(suggested, *m.SuggestedCaseID)
		}
	}
	if data.Named, err = s.db.CaseNumbers(r.Context(), suggested...); err != nil {
		return err
	}
	letters, err := s.db.DigestLetters(r.Context(), digests...)
	if err != nil {
		return err
	}
	data.Of = make(map[int64]string)
	for _, l := range letters {
		data.Of[l.DigestID] = strings.TrimSpace(data.Of[l.DigestID] + " " + l.Number)
	}
	return s.render(w, r, v, status, "unmatched", data)
}

// maxFiled is to how many cases a mail is filed at once.
const maxFiled = 100

// fileInbound gives an unmatched mail to the cases whose numbers were typed.
func (s *Server) fileInbound(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	f := form{Name: r.PathValue("id"), Values: r.PostForm}
	numbers := strings.FieldsFunc(strings.ToUpper(casedb.CleanLine(r.PostForm.Get("case"), 32*maxFiled)), func(r rune) bool { return strings.ContainsRune("[] ,;、", r) })
	var cases []int64
	for _, number := range numbers[:min(len(numbers), maxFiled)] {
		c, err := s.db.CaseByNumber(ctx, number)
		if errors.Is(err, casedb.ErrNotFound) {
			cases = nil
			break
		}
		if err != nil {
			return err
		}
		cases = append(cases, c.ID)
	}
	if len(cases) == 0 {
		f.Error = "invalid.case"
		return s.renderUnmatched(w, r, v, http.StatusUnprocessableEntity, f)
	}
	err = s.db.InTx(ctx, func(tx *casedb.Tx) error { return tx.FileInbound(ctx, id, cases, v.user.Name, v.now) })
	if key, status, ok := refused(err); ok {
		f.Error = key
		return s.renderUnmatched(w, r, v, status, f)
	}
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/cases/"+url.PathEscape(numbers[0]), v.p.T("done.filed"))
}
