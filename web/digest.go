package web

import (
	"net/http"
	"strconv"

	"teiten/internal/casedb"
	"teiten/notify"
)

// digestPage is the data of view digest.
type digestPage struct {
	Message    casedb.Message
	Mail       Mail
	Unreadable bool
	Letters    []casedb.DigestLetter
	Attempts   []casedb.Attempt
}

// digestAttempts bounds the attempts that are shown.
const digestAttempts = 20

// digest shows a mail that carries the letters of several cases.
func (s *Server) digest(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	var data digestPage
	if data.Message, err = s.db.Message(r.Context(), id); err != nil {
		return err
	}
	if data.Message.Purpose != casedb.PurposeDigest {
		return casedb.ErrNotFound
	}
	if data.Letters, err = s.db.DigestLetters(r.Context(), id); err != nil {
		return err
	}
	if data.Attempts, err = s.db.MessageAttempts(r.Context(), id, digestAttempts); err != nil {
		return err
	}
	mail := notify.ParseMail(data.Message.Raw)
	data.Mail, data.Unreadable = mailView(mail), mail.Unreadable()
	if data.Mail.Body == "" { // the text of an encrypted one is stored with the message
		data.Mail.Subject, data.Mail.Body = data.Message.Subject, data.Message.Body
	}
	return s.render(w, r, v, http.StatusOK, "digest", data)
}
