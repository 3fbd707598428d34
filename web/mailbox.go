package web

import (
	"net/http"
	"strconv"

	"teiten/internal/casedb"
)

// mailboxPage is the data of view mailbox.
type mailboxPage struct {
	Mails []casedb.BoxMail
	Next  string
}

// mailboxMailPage is the data of view mail.
type mailboxMailPage struct {
	Box        casedb.BoxMail
	Mail       Mail
	Unreadable bool
	Raw        string
	Form       form
}

// mailbox lists the built-in mailbox.
func (s *Server) mailbox(w http.ResponseWriter, r *http.Request, v *visit) error {
	before := idCursor(r.URL.Query().Get("before"))
	mails, err := s.db.BoxMails(r.Context(), before, pageSize+1)
	if err != nil {
		return err
	}
	data := mailboxPage{Mails: mails}
	if len(mails) > pageSize {
		data.Mails = mails[:pageSize]
		data.Next = "/mailbox?before=" + strconv.FormatInt(mails[pageSize-1].ID, 10)
	}
	return s.render(w, r, v, http.StatusOK, "mailbox", data)
}

// mailboxMail shows one mail as its recipient would read it.
func (s *Server) mailboxMail(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderMail(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderMail(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	box, err := s.boxMail(r)
	if err != nil {
		return err
	}
	data := mailboxMailPage{Box: box, Form: f, Raw: casedb.Clean(string(box.Raw), maxMailText)}
	if data.Mail, _, err = readMail(box.Raw); err != nil {
		data.Unreadable = true
	}
	return s.render(w, r, v, status, "mail", data)
}

func (s *Server) boxMail(r *http.Request) (casedb.BoxMail, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.BoxMail{}, casedb.ErrNotFound
	}
	return s.db.BoxMail(r.Context(), id)
}

// mailboxAnswer sends what a recipient, or their mail server, would send back
// for a mail in the built-in mailbox. It takes the same way as an answer from
// outside: stored raw first, then read by the inbound worker.
func (s *Server) mailboxAnswer(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !s.cfg.Mailbox {
		return casedb.ErrNotFound
	}
	ctx := r.Context()
	box, err := s.boxMail(r)
	if err != nil {
		return err
	}
	_, header, err := readMail(box.Raw)
	if err != nil {
		return casedb.ErrState
	}
	from, to := box.EnvelopeTo, box.EnvelopeFrom
	var raw []byte
	verb := r.PathValue("verb")
	switch verb {
	case "reply":
		text, ok := typedText(r.PostForm.Get("text"), maxLetter)
		if !ok {
			return s.renderMail(w, r, v, http.StatusUnprocessableEntity, form{Name: "reply", Values: r.PostForm, Error: "invalid.toolong"})
		}
		if text == "" {
			return s.renderMail(w, r, v, http.StatusUnprocessableEntity, form{Name: "reply", Values: r.PostForm, Error: "invalid.empty"})
		}
		to, raw, err = replyTo(&header, box, text, v.now)
	case "bounce":
		from = "" // the null reverse-path of RFC 3464, 2
		raw, err = bounceOf(&header, box, r.PostForm.Get("soft") == "", v.now)
	default:
		return casedb.ErrNotFound
	}
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *casedb.Tx) error {
		if _, err := tx.StoreInbound(ctx, from, to, raw, v.now); err != nil {
			return err
		}
		return tx.BoxMailAnswered(ctx, box.ID, v.now)
	})
	if err != nil {
		return err
	}
	s.wake()
	return s.redirect(w, r, "/mailbox/"+strconv.FormatInt(box.ID, 10), v.p.T("done.mailbox-"+verb))
}
