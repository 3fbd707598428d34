package web

import (
	"net/http"
	"strconv"

	"teiten/internal/casedb"
	"teiten/notify"
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
	mails, err := s.box.List(r.Context(), before, pageSize+1)
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
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	box, mail, err := s.box.Read(r.Context(), id)
	if err != nil {
		return err
	}
	return s.render(w, r, v, status, "mail", mailboxMailPage{Box: box, Mail: mailView(mail), Unreadable: mail.Unreadable(), Form: f,
		Raw: casedb.Clean(string(box.Raw), maxMailText)})
}

// mailboxAnswer sends what a recipient, or their mail server, would send back
// for a mail in the built-in mailbox.
func (s *Server) mailboxAnswer(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !s.cfg.Mailbox {
		return casedb.ErrNotFound
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
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
		err = s.box.Reply(r.Context(), id, text, v.now)
	case "bounce":
		words := ""
		if r.PostForm.Get("soft") != "" {
			words = notify.SoftBounce
		}
		err = s.box.Bounce(r.Context(), id, words, v.now)
	default:
		return casedb.ErrNotFound
	}
	if err != nil {
		return err
	}
	s.wake()
	return s.redirect(w, r, "/mailbox/"+strconv.FormatInt(id, 10), v.p.T("done.mailbox-"+verb))
}
