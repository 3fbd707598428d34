package web

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/internal/reason"
	"teiten/notify"
)

// The bounds of what a case page shows at once.
const (
	timelineSize = 100
	sourcesSize  = 50
	chartSources = 1000
)

// casePage is the data of view case.
type casePage struct {
	casedb.CasePage
	Letter     *letter // the notification that matters now; nil: none was ever written
	Timeline   []timelineRow
	Older      string // URL of older events, empty: none
	SourceRows []sourceRow
	NextRows   string // URL of more sources, empty: none
	Chart      template.HTML
	ChartRows  []chartRow
	Answers    []answerable // mails by people, newest first
	Form       form
	Live       bool
	// Alternatives are the contacts the case does not write to.
	Alternatives []casedb.Contact
	// OtherMails are the messages of the case beside Letter.
	OtherMails []casedb.Message
	// Links are the notifications whose recipients have a page with the evidence.
	Links []casedb.Message
	// Suppressed says why the letter's recipient gets no mail.
	Suppressed reason.List
	CanSend    bool // a new notification may be written
	// NoMail tells that no mail goes to the contact, NoAnswer whom of those that an
	// answer can go to it does not reach.
	NoMail   bool
	NoAnswer []string
	// TicketRows are the addresses whose ticket can be told, with what it is: the
	// contact's, and those that have one.
	TicketRows []casedb.CaseTicket
	Findings   []casedb.Finding // what the owner found, the newest first
	// Health is what became of the mail to the contacts and recipients.
	Health health
	// Control is the draw of a case that is held as a control; nil: it is not.
	Control *casedb.ControlDraw
}

// letter is a message with the text its reader will see.
type letter struct {
	casedb.Message
	Mail     Mail
	Composed bool // Mail is what would go out now, not what is stored
	Failed   bool // it could not be composed
	Nothing  bool // ... because there is nothing to tell this owner any more
	Gone     bool // ... because the evidence is past its retention
	Attempts []casedb.Attempt
	MayEdit  bool
	Sending  bool // it is on its way out, or will be in a moment
}

// answerable is a mail that can be answered.
type answerable struct {
	casedb.Inbound
	Unverified bool // anybody may have sent it
	Suppressed bool // no mail goes to its author
}

// timelineRow is an event as the page shows it.
type timelineRow struct {
	casedb.TimelineEvent
	Answerable bool         // about a mail that can be answered
	Unverified bool         // about a mail that anybody may have sent
	From       string       // what such a mail says about its author
	Finding    *findingForm // records what the owner says there
}

// unverified reports whether anybody who has seen a mail of the case, or knows
// its number, can have sent a mail that was matched like this. Only our token,
// and a coordinator who has read it, say more.
func unverified(matchedBy string) bool {
	return matchedBy == casedb.MatchedBySubject || matchedBy == casedb.MatchedByHeader
}

// timelineRows are the events with what is known about who sent their mails.
func timelineRows(events []casedb.TimelineEvent) []timelineRow {
	rows := make([]timelineRow, len(events))
	for i, e := range events {
		rows[i] = timelineRow{TimelineEvent: e}
		if unverified(e.InboundMatchedBy) {
			rows[i].Unverified, rows[i].From = true, fromHeader(e.InboundHead, e.InboundEnvelope)
		}
	}
	return rows
}

// sourceRow is a source of a case with its verdict in words.
type sourceRow struct {
	casedb.CaseSourceRow
	Words words
}

// form is what a user typed into a form that could not be carried out. The
// zero form is an untouched page.
type form struct {
	Name   string // which form of the page
	Values url.Values
	Error  string // key of the catalogue
}

// Value returns what was typed into a field of the named form, or fallback for
// a form nobody has touched.
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
	data := casePage{CasePage: loaded, Form: f, Live: loaded.Case.State.Live()}
	draw, err := s.db.ControlDraw(ctx, data.Case.ID)
	if err != nil && !errors.Is(err, casedb.ErrNotFound) {
		return err
	}
	if draw.Arm == casedb.ArmControl && draw.EndedAt == nil {
		data.Control = &draw
	}
	path := "/cases/" + url.PathEscape(data.Case.Number)
	before := idCursor(r.URL.Query().Get("before"))
	events, more, err := s.db.Timeline(ctx, data.Case.ID, before, timelineSize)
	if err != nil {
		return err
	}
	data.Timeline = timelineRows(events)
	if more {
		data.Older = path + "?before=" + strconv.FormatInt(data.Timeline[len(data.Timeline)-1].ID, 10) + "#timeline"
	}
	if err := s.loadSources(ctx, r, v.p, path, &data); err != nil {
		return err
	}
	if err := s.loadChart(ctx, v.p, &data); err != nil {
		return err
	}
	inbound, err := s.db.CaseInbound(ctx, data.Case.ID, 20)
	if err != nil {
		return err
	}
	for _, in := range inbound {
		if in.Class == casedb.InboundHuman && in.Sender != "" {
			data.Answers = append(data.Answers, answerable{Inbound: in, Unverified: unverified(in.MatchedBy)})
		}
	}
	for i := range data.Timeline {
		e := &data.Timeline[i]
		e.Answerable = e.Kind == casedb.EventReply && slices.ContainsFunc(data.Answers, func(a answerable) bool { return e.InboundID != nil && a.ID == *e.InboundID })
	}
	if f.Name == "" {
		if data.Form, err = s.quoted(ctx, data.Case, data.Answers, r.URL.Query().Get("answer")); err != nil {
			return err
		}
	}
	if err := s.loadFindings(ctx, &data); err != nil {
		return err
	}
	s.loadLetter(ctx, &data, v.now)
	if data.Letter != nil && v.stop != nil {
		data.Letter.Sending = false
	}
	if data.Letter != nil && (data.Letter.State == casedb.MessageHeld || data.Letter.State == casedb.MessageQueued) {
		suppression, err := s.db.Suppression(ctx, data.Letter.Recipient, v.now)
		if err != nil && !errors.Is(err, casedb.ErrNotFound) {
			return err
		}
		data.Suppressed = suppression.Why
	}
	data.TicketRows = data.Tickets
	if k := data.Contact; k != nil && k.Email != "" {
		address := casedb.BaseAddress(k.Email)
		if !slices.ContainsFunc(data.Tickets, func(t casedb.CaseTicket) bool { return t.Address == address }) {
			data.TicketRows = append([]casedb.CaseTicket{{Address: address}}, data.Tickets...)
		}
	}
	for _, k := range data.Contacts {
		if data.Contact == nil || k.ID != data.Contact.ID {
			data.Alternatives = append(data.Alternatives, k)
		}
	}
	data.CanSend = data.Live && data.Contact != nil && data.Contact.Email != "" && data.Contact.RetiredAt == nil
	for _, m := range data.Messages {
		if data.Letter == nil || data.Letter.ID != m.ID {
			data.OtherMails = append(data.OtherMails, m)
		}
		if m.Purpose == casedb.PurposeNotification && (m.State == casedb.MessageHeld || m.State == casedb.MessageQueued) {
			data.CanSend = false
		}
		if m.Purpose == casedb.PurposeNotification && m.Attempts > 0 {
			data.Links = append(data.Links, m)
		}
	}
	var addresses []string
	for _, k := range data.Contacts {
		addresses = append(addresses, k.Email)
	}
	if data.Letter != nil {
		addresses = append(addresses, data.Letter.Recipient)
	}
	for _, a := range data.Answers {
		addresses = append(addresses, a.Sender)
	}
	if data.Health, err = s.health(ctx, addresses, v.now); err != nil {
		return err
	}
	data.NoMail = data.Contact != nil && data.Health.For(data.Contact.Email).Suppressed != nil
	for i := range data.Answers {
		a := &data.Answers[i]
		a.Suppressed = data.Health.For(a.Sender).Suppressed != nil
		if a.Suppressed && !slices.Contains(data.NoAnswer, a.Sender) {
			data.NoAnswer = append(data.NoAnswer, a.Sender)
		}
	}
	if data.NoMail && !slices.Contains(data.NoAnswer, data.Contact.Email) {
		data.NoAnswer = append(data.NoAnswer, data.Contact.Email)
	}
	return s.render(w, r, v, status, "case", data)
}

func (s *Server) loadSources(ctx context.Context, r *http.Request, p *locale.Printer, path string, data *casePage) error {
	var after casedb.Addr
	if a, err := netip.ParseAddr(r.URL.Query().Get("sources")); err == nil {
		after.Addr = a.Unmap().WithZone("")
	}
	rows, err := s.db.CaseSourceRows(ctx, data.Case.ID, after, sourcesSize+1)
	if err != nil {
		return err
	}
	if len(rows) > sourcesSize {
		rows = rows[:sourcesSize]
		data.NextRows = path + "?sources=" + url.QueryEscape(rows[sourcesSize-1].Source.String()) + "#sources"
	}
	for _, row := range rows {
		data.SourceRows = append(data.SourceRows, sourceRow{CaseSourceRow: row, Words: verdictWords(p, &row.Verdict)})
	}
	return nil
}

// loadLetter finds the notification that matters now: the one under way, else
// the newest that was not canceled, with its text.
func (s *Server) loadLetter(ctx context.Context, data *casePage, now time.Time) {
	var chosen *casedb.Message
	for i := range data.Messages {
		m := &data.Messages[i]
		if m.Purpose != casedb.PurposeNotification {
			continue
		}
		if m.State == casedb.MessageHeld || m.State == casedb.MessageQueued {
			chosen = m
			break
		}
		if chosen == nil && m.State != casedb.MessageCanceled {
			chosen = m
		}
	}
	if chosen == nil {
		return
	}
	l := &letter{Message: *chosen, Mail: Mail{To: chosen.Recipient, Subject: chosen.Subject, Body: chosen.Body}}
	l.MayEdit = (l.State == casedb.MessageHeld || l.State == casedb.MessageQueued) && l.Message.Attempts == 0
	if s.cfg.Composer != nil {
		mail, err := s.compose(ctx, chosen.ID, now)
		if err != nil {
			l.Failed, l.Nothing, l.Gone = true, errors.Is(err, notify.ErrNothingToSay), errors.Is(err, notify.ErrGone)
			s.log.ErrorContext(ctx, "mail cannot be composed", "case", data.Case.Number, "message", chosen.ID, "err", err)
		} else {
			l.Mail, l.Composed = mail, l.MayEdit
		}
	}
	for _, a := range data.CasePage.Attempts {
		if a.MessageID == chosen.ID {
			l.Attempts = append(l.Attempts, a)
		}
	}
	l.Sending = sending(l, now)
	data.Letter = l
}

// sending reports whether a letter leaves now. While an attempt runs, the time
// of the next one is only when it would be given up.
func sending(l *letter, now time.Time) bool {
	if l.State != casedb.MessageQueued {
		return false
	}
	for _, a := range l.Attempts {
		if a.Outcome == casedb.AttemptDelivering {
			return true
		}
	}
	return l.NextAttemptAt != nil && !l.NextAttemptAt.After(now)
}

// compose gives the mail of a message: as it would go out now, or as it went
// out.
func (s *Server) compose(ctx context.Context, id int64, now time.Time) (Mail, error) {
	m, err := s.db.Message(ctx, id)
	if err != nil {
		return Mail{}, err
	}
	draft, err := s.cfg.Composer.Preview(ctx, s.db, m, now)
	if err != nil {
		return Mail{}, err
	}
	return draftMail(draft), nil
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
