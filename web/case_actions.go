package web

import (
	"cmp"
	"context"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/internal/reason"
	"teiten/notify"
)

// caseVerb is a change of a case that a coordinator can ask for.
type caseVerb struct {
	done string // key of the line that follows
	mail bool   // gives the mail workers something to do
	do   func(s *Server, ctx context.Context, tx *casedb.Tx, a caseArgs) error
}

// caseArgs is what a change of a case is made from.
type caseArgs struct {
	c       casedb.Case
	version int
	values  url.Values
	files   []*multipart.FileHeader
	v       *visit
}

// text returns what was typed into a field. Text above the limit is refused,
// not cut: its writer would not notice.
func (a caseArgs) text(field string, limit int) (string, error) {
	text, ok := typedText(a.values.Get(field), limit)
	if !ok {
		return "", invalidError("invalid.toolong")
	}
	return text, nil
}

// reason returns the reason typed into a field, which must be there.
func (a caseArgs) reason(field string) (string, error) {
	typed, err := a.text(field, maxReason)
	if err == nil && typed == "" {
		err = invalidError("invalid.reason")
	}
	return typed, err
}

// locked locks the case in the version its reader saw.
func (a caseArgs) locked(ctx context.Context, tx *casedb.Tx) (casedb.Case, error) {
	return tx.LockCaseVersion(ctx, a.c.ID, a.version)
}

// caseVerbs are the changes of a case, by the last part of their address.
func caseVerbs() map[string]caseVerb {
	return map[string]caseVerb{
		"note":     {done: "done.note", do: (*Server).noteCase},
		"close":    {done: "done.close", do: (*Server).closeCase},
		"ignore":   {done: "done.ignore", do: (*Server).ignoreCase},
		"reopen":   {done: "done.reopen", do: (*Server).reopenCase},
		"again":    {done: "done.again", mail: true, do: (*Server).sendAgain},
		"answer":   {done: "done.answer", mail: true, do: (*Server).answerCase},
		"contact":  {done: "done.contact", do: (*Server).changeContact},
		"seen":     {done: "done.seen", do: (*Server).seenCase},
		"end-link": {done: "done.end-link", do: (*Server).endOwnerLink},
		"tell":     {done: "done.tell", do: (*Server).tellRecovered},
		"finding":  {done: "done.finding", do: (*Server).addFinding},
		"ticket":   {done: "done.ticket", do: (*Server).setTicket},
		"tlp":      {done: "done.tlp", do: (*Server).labelCase},
		"control":  {done: "done.control", mail: true, do: (*Server).endControl},
	}
}

// caseAction carries out a change of a case. What cannot be done shows the
// case as it is now, with what was typed and why not.
func (s *Server) caseAction(w http.ResponseWriter, r *http.Request, v *visit) error {
	name := r.PathValue("verb")
	verb, ok := caseVerbs()[name]
	if !ok {
		return casedb.ErrNotFound
	}
	c, version, err := s.caseForm(r)
	if err != nil {
		return err
	}
	args := caseArgs{c: c, version: version, values: r.PostForm, v: v}
	if r.MultipartForm != nil {
		args.files = r.MultipartForm.File["files"]
	}
	err = s.db.InTx(r.Context(), func(tx *casedb.Tx) error { return verb.do(s, r.Context(), tx, args) })
	if key, status, ok := refused(err); ok {
		return s.renderCase(w, r, v, status, form{Name: name, Values: r.PostForm, Error: key})
	}
	if err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "case changed", "case", c.Number, "user", v.user.Name, "change", name)
	if verb.mail {
		s.wake()
	}
	return s.redirect(w, r, "/cases/"+url.PathEscape(c.Number), v.p.T(verb.done))
}

func (s *Server) noteCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	text, err := a.text("text", maxNote)
	if err != nil {
		return err
	}
	if text == "" {
		return invalidError("invalid.empty")
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.NoteCase(ctx, &c, a.v.user.Name, text, a.v.now)
}

func (s *Server) closeCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	why, err := a.text("reason", maxReason)
	if err != nil {
		return err
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	if a.values.Get("mistake") != "" {
		return tx.CloseMistaken(ctx, &c, a.v.user.Name, reason.Typed(why), a.v.now)
	}
	return tx.CloseCase(ctx, &c, a.v.user.Name, reason.Typed(why), a.v.now)
}

func (s *Server) ignoreCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	why, err := a.reason("reason")
	if err != nil {
		return err
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.IgnoreCase(ctx, &c, a.v.user.Name, reason.Typed(why), a.v.now)
}

func (s *Server) reopenCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	why, err := a.text("reason", maxReason)
	if err != nil {
		return err
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.ReopenCase(ctx, &c, a.v.user.Name, reason.Typed(why), a.v.now)
}

// seenCase marks as seen what a case waits for: the reply was read, the bounce
// understood.
func (s *Server) seenCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.SeenCase(ctx, &c, a.v.user.Name, a.v.now)
}

// labelCase gives a case a label of its own.
func (s *Server) labelCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	label := casedb.TLP(a.values.Get("tlp"))
	if label != "" && !label.Valid() {
		return invalidError("invalid.form")
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.SetCaseTLP(ctx, &c, label, a.v.user.Name, a.v.now)
}

// label is the label of a case with a label of its own, or none.
func (s *Server) label(own casedb.TLP) casedb.TLP { return cmp.Or(own, s.cfg.TLP, casedb.DefaultTLP) }

// endControl ends a case's time in the control group.
func (s *Server) endControl(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	why, err := a.reason("reason")
	if err != nil {
		return err
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.EndControl(ctx, &c, casedb.ControlHand, a.v.user.Name, reason.Typed(why), a.v.now)
}

// tellRecovered says whether the owner hears when all sources are quiet.
func (s *Server) tellRecovered(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.SetTellRecovered(ctx, &c, a.values.Get("tell") == "yes", a.v.user.Name, a.v.now)
}

func (s *Server) sendAgain(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	_, err := tx.SendAgain(ctx, a.c.ID, a.version, s.cfg.MailDomain, a.values.Get("release") != "", a.v.user.Name, a.v.now)
	return err
}

func (s *Server) changeContact(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	why, err := a.reason("why")
	if err != nil {
		return err
	}
	change := casedb.ContactChange{Why: why, Name: casedb.CleanLine(a.values.Get("contact-name"), 200)}
	if lang := a.values.Get("language"); locale.Supported(lang) {
		change.Language = lang
	}
	if id, err := strconv.ParseInt(a.values.Get("contact"), 10, 64); err == nil && id > 0 {
		change.ContactID = id
	} else {
		var ok bool
		if change.Email, ok = parseEmail(a.values.Get("email")); !ok {
			return invalidError("invalid.email")
		}
		if s.notAnOwner(change.Email) {
			return invalidError("invalid.notowner")
		}
	}
	_, err = tx.ChangeContact(ctx, a.c.ID, a.version, change, s.cfg.MailDomain, a.v.user.Name, a.v.now)
	return err
}

// setTicket says what the subjects of the case's mails to an address name as
// the other side's ticket; without one nothing.
func (s *Server) setTicket(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	tag := casedb.CleanLine(a.values.Get("tag"), 0)
	if tag != "" {
		if tag = notify.TicketTag(tag); tag == "" {
			return invalidError("invalid.ticket")
		}
	}
	c, err := a.locked(ctx, tx)
	if err != nil {
		return err
	}
	return tx.SetTicket(ctx, &c, a.values.Get("address"), tag, a.v.user.Name, a.v.now)
}

// notAnOwner reports whether the readers of mail to an address cannot own the
// sources of a case.
func (s *Server) notAnOwner(address string) bool {
	return s.cfg.NotAnOwner != nil && s.cfg.NotAnOwner(address) != nil
}

// messageAction approves, holds, edits or cancels a message of a case.
func (s *Server) messageAction(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	verb := r.PathValue("verb")
	c, caseVersion, err := s.caseForm(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	version, err := strconv.Atoi(r.PostForm.Get("message-version"))
	if err != nil || version < 1 {
		return errForm
	}
	m, err := s.db.Message(ctx, id)
	if err != nil {
		return err
	}
	if m.CaseID == nil || *m.CaseID != c.ID {
		return casedb.ErrNotFound
	}
	args := caseArgs{c: c, version: caseVersion, values: r.PostForm, v: v}
	by := v.user.Name
	err = s.db.InTx(ctx, func(tx *casedb.Tx) error {
		why, err := args.text("reason", maxReason)
		if err != nil {
			return err
		}
		// A letter is composed from the case: who decides about it must have
		// seen the case as it is.
		if _, err := args.locked(ctx, tx); err != nil {
			return err
		}
		switch verb {
		case "approve":
			return tx.ApproveMessage(ctx, id, version, by, v.now)
		case "hold":
			return tx.HoldMessage(ctx, id, version, by, reason.Typed(why), v.now)
		case "cancel":
			return tx.CancelMessage(ctx, id, version, by, reason.Typed(why), v.now)
		case "edit":
			subject := casedb.CleanLine(r.PostForm.Get("subject"), 0)
			body, err := args.text("body", maxLetter)
			if err != nil {
				return err
			}
			if len(subject) > maxTitle {
				return invalidError("invalid.toolong")
			}
			if subject == "" || body == "" {
				return invalidError("invalid.empty")
			}
			return tx.EditMessage(ctx, id, version, subject, body+"\n", by, v.now)
		}
		return casedb.ErrNotFound
	})
	if key, status, ok := refused(err); ok {
		return s.renderCase(w, r, v, status, form{Name: verb, Values: r.PostForm, Error: key})
	}
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "message changed", "case", c.Number, "message", id, "user", by, "change", verb)
	if verb == "approve" {
		s.wake()
	}
	return s.redirect(w, r, "/cases/"+url.PathEscape(c.Number), v.p.T("done."+verb))
}
