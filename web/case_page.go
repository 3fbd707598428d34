package web

import (
	"html/template"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/internal/reason"
)

// The limits of one case page.
const (
	timelineSize = 100
	sourcesSize  = 50
	answersSize  = 20
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
	Label      casedb.TLP   // its own, or the configured one
	Labels     []casedb.TLP // to choose from
	// Alternatives are the contacts the case does not write to.
	Alternatives []casedb.Contact
	// OtherMails are the messages of the case other than Letter.
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

// IsMail reports whether the event is the coming in of its mail. Other events name a
// mail, too: that it was filed, that its bounce suppressed an address, what it
// says was found.
func (r timelineRow) IsMail() bool {
	switch r.Kind {
	case casedb.EventReply, casedb.EventFeedback, casedb.EventBounce, casedb.EventForged, casedb.EventDelay, casedb.EventAutoReply:
		return true
	}
	return false
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

// sourceRow is a source of a case with its verdict in words.
type sourceRow struct {
	casedb.CaseSourceRow
	Words words
	// Told is how many of its packets the letter tells of: those of the verdict's
	// ports. The verdict's evidence counts all that the source sent.
	Told int64
}

// newCasePage begins the page of a case with what follows from the case alone.
func newCasePage(loaded casedb.CasePage, f form) casePage {
	return casePage{CasePage: loaded, Form: f, Labels: casedb.TLPs(), Live: loaded.Case.State.Live(),
		TicketRows: ticketRows(loaded.Tickets, loaded.Contact), Alternatives: alternatives(loaded.Contacts, loaded.Contact)}
}

// Base is where the page is; the forms of the case are below it.
func (p casePage) Base() string { return "/cases/" + url.PathEscape(p.Case.Number) }

// ticketRows are the tickets of a case, and before them one without a tag for a
// contact that has none.
func ticketRows(tickets []casedb.CaseTicket, contact *casedb.Contact) []casedb.CaseTicket {
	if contact == nil || contact.Email == "" {
		return tickets
	}
	address := casedb.BaseAddress(contact.Email)
	if slices.ContainsFunc(tickets, func(t casedb.CaseTicket) bool { return t.Address == address }) {
		return tickets
	}
	return append([]casedb.CaseTicket{{Address: address}}, tickets...)
}

// alternatives are the contacts that the case does not write to.
func alternatives(contacts []casedb.Contact, contact *casedb.Contact) []casedb.Contact {
	var others []casedb.Contact
	for _, k := range contacts {
		if contact == nil || k.ID != contact.ID {
			others = append(others, k)
		}
	}
	return others
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

// olderEvents is where the events before these are.
func olderEvents(path string, rows []timelineRow) string {
	return path + "?before=" + strconv.FormatInt(rows[len(rows)-1].ID, 10) + "#timeline"
}

// sourceRows are a page of sources with their verdicts in words, and where the
// next page is; "" if these are all.
func sourceRows(p *locale.Printer, path string, sources []casedb.CaseSourceRow, told map[netip.Addr]int64) (rows []sourceRow, next string) {
	if len(sources) > sourcesSize {
		sources = sources[:sourcesSize]
		next = path + "?sources=" + url.QueryEscape(sources[sourcesSize-1].Source.String()) + "#sources"
	}
	for _, row := range sources {
		rows = append(rows, sourceRow{CaseSourceRow: row, Words: verdictWords(p, &row.Verdict), Told: told[row.Source.Addr]})
	}
	return rows, next
}

// answerables are those of the mails that a person wrote and that have an
// address to answer to.
func answerables(inbound []casedb.Inbound) []answerable {
	var answers []answerable
	for _, in := range inbound {
		if in.Personal() && in.Sender != "" {
			answers = append(answers, answerable{Inbound: in, Unverified: unverified(in.MatchedBy)})
		}
	}
	return answers
}

// markAnswerable marks the replies of the timeline that can be answered.
func markAnswerable(rows []timelineRow, answers []answerable) {
	for i := range rows {
		e := &rows[i]
		e.Answerable = (e.Kind == casedb.EventReply || e.Kind == casedb.EventAutoReply) && e.InboundID != nil &&
			slices.ContainsFunc(answers, func(a answerable) bool { return a.ID == *e.InboundID })
	}
}

// sortMails tells the letter's mail from the others, which of the recipients
// have a page, and whether another notification may be written now.
func (p *casePage) sortMails() {
	p.CanSend = p.Live && p.Contact != nil && p.Contact.Email != "" && p.Contact.RetiredAt == nil
	for _, m := range p.Messages {
		if p.Letter == nil || p.Letter.ID != m.ID {
			p.OtherMails = append(p.OtherMails, m)
		}
		if m.Purpose != casedb.PurposeNotification {
			continue
		}
		if waits(m.State) {
			p.CanSend = false
		}
		if m.Attempts > 0 {
			p.Links = append(p.Links, m)
		}
	}
}

// addresses are those that the page has something to say about: contacts,
// recipient, and the authors of answers.
func (p *casePage) addresses() []string {
	var list []string
	for _, k := range p.Contacts {
		list = append(list, k.Email)
	}
	if p.Letter != nil {
		list = append(list, p.Letter.Recipient)
	}
	for _, a := range p.Answers {
		list = append(list, a.Sender)
	}
	return list
}

// markSuppressed notes which of those that an answer can go to get no mail.
func (p *casePage) markSuppressed() {
	unreached := func(address string) {
		if !slices.Contains(p.NoAnswer, address) {
			p.NoAnswer = append(p.NoAnswer, address)
		}
	}
	for i := range p.Answers {
		a := &p.Answers[i]
		if a.Suppressed = p.Health.For(a.Sender).Suppressed != nil; a.Suppressed {
			unreached(a.Sender)
		}
	}
	if p.NoMail = p.Contact != nil && p.Health.For(p.Contact.Email).Suppressed != nil; p.NoMail {
		unreached(p.Contact.Email)
	}
}
