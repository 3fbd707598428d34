package notify

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
)

// MailboxServer is the smarthost of a set-up without one: it keeps every mail
// in the case database, to be read and answered in the web pages. Recipients
// whose local part is temperror, permerror or 550 are refused, so that one can
// see what happens then. Nothing leaves the machine.
type MailboxServer struct {
	db     *casedb.DB
	now    func() time.Time
	server *server
}

// NewMailboxServer returns a server that stores in db.
func NewMailboxServer(db *casedb.DB, now func() time.Time, logger *slog.Logger) *MailboxServer {
	s := &MailboxServer{db: db, now: now}
	if now == nil {
		s.now = time.Now
	}
	s.server = newServer(s, "localhost", logger)
	return s
}

// Serve takes connections on the listener, which should be on loopback, until
// Shutdown.
func (s *MailboxServer) Serve(l net.Listener) error { return s.server.serve(l) }

// Shutdown stops listening and lets mails under way end until ctx is done.
func (s *MailboxServer) Shutdown(ctx context.Context) error { return s.server.stop(ctx) }

// Close stops immediately.
func (s *MailboxServer) Close() error { return s.server.Close() }

// NewSession implements smtp.Backend.
func (s *MailboxServer) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &mailboxSession{server: s}, nil
}

type mailboxSession struct {
	server *MailboxServer
	from   string
	to     []string
}

// Reset implements smtp.Session.
func (s *mailboxSession) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *mailboxSession) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *mailboxSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *mailboxSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	local, _, _ := cutAddress(strings.ToLower(to))
	switch local {
	case "temperror":
		return smtpError(451, 4, 2, 0, "temporary failure, as asked for")
	case "permerror":
		return smtpError(554, 5, 3, 0, "permanent failure, as asked for")
	case "550":
		return smtpError(550, 5, 1, 1, "no such user, as asked for")
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session.
func (s *mailboxSession) Data(r io.Reader) error {
	raw, err := readMail(r, maxMailBytes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	subject := ParseMail(raw).subject
	for _, to := range s.to {
		m := casedb.BoxMail{ReceivedAt: s.server.now(), EnvelopeFrom: s.from, EnvelopeTo: to, Subject: subject, Raw: raw}
		if _, err := s.server.db.StoreBoxMail(ctx, m); err != nil {
			return smtpError(451, 4, 3, 0, "cannot store mail now")
		}
	}
	return nil
}

// Mailbox is the built-in mailbox as the web pages show it. What is answered
// from it goes the way of a mail from outside: it is stored raw first, then read
// by the InboundWorker.
type Mailbox struct {
	DB *casedb.DB
}

// List returns at most limit mails with ids below before (0: from the newest),
// newest first, without their contents.
func (b *Mailbox) List(ctx context.Context, before int64, limit int) ([]casedb.BoxMail, error) {
	return b.DB.BoxMails(ctx, before, limit)
}

// Read returns a mail, also taken apart.
func (b *Mailbox) Read(ctx context.Context, id int64) (casedb.BoxMail, *Mail, error) {
	m, err := b.DB.BoxMail(ctx, id)
	if err != nil {
		return casedb.BoxMail{}, nil, err
	}
	return m, ParseMail(m.Raw), nil
}

// Reply sends a reply as the recipient would write it in a mail program.
func (b *Mailbox) Reply(ctx context.Context, id int64, text string, now time.Time) error {
	m, p, err := b.Read(ctx, id)
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("a reply without text: %w", casedb.ErrState)
	}
	to := cmp.Or(p.replyTo, m.EnvelopeFrom)
	if to == "" {
		return fmt.Errorf("mail %d has nowhere to answer to: %w", id, casedb.ErrState)
	}
	raw, err := replyMail(m, p, to, text, now)
	if err != nil {
		return err
	}
	return b.answered(ctx, m, m.EnvelopeTo, to, raw, now)
}

// SoftBounce is a server's answer for a full mailbox.
const SoftBounce = "452 4.2.2 Mailbox full"

// Bounce sends the bounce of the recipient's mail server for a mail that it
// cannot deliver. words are what it says; empty: that there is no such user.
func (b *Mailbox) Bounce(ctx context.Context, id int64, words string, now time.Time) error {
	m, p, err := b.Read(ctx, id)
	if err != nil {
		return err
	}
	if m.EnvelopeFrom == "" {
		return fmt.Errorf("mail %d has nowhere to bounce to: %w", id, casedb.ErrState)
	}
	raw, err := bounceMail(m, p, words, now)
	if err != nil {
		return err
	}
	// The reverse-path is empty (RFC 3464, 2).
	return b.answered(ctx, m, "", m.EnvelopeFrom, raw, now)
}

// answered stores the answer to a mail, and that there is one.
func (b *Mailbox) answered(ctx context.Context, m casedb.BoxMail, from, to string, raw []byte, now time.Time) error {
	return b.DB.InTx(ctx, func(tx *casedb.Tx) error {
		if _, err := tx.StoreInbound(ctx, from, to, raw, now); err != nil {
			return err
		}
		return tx.BoxMailAnswered(ctx, m.ID, now)
	})
}

// replyMail writes what a person's mail program would.
func replyMail(m casedb.BoxMail, p *Mail, to, text string, now time.Time) ([]byte, error) {
	var h gomail.Header
	h.SetDate(now)
	h.SetAddressList("From", []*gomail.Address{{Address: m.EnvelopeTo}})
	h.SetAddressList("To", []*gomail.Address{{Address: to}})
	h.Set("Subject", encodeSubject("Re: "+p.subject))
	h.SetMessageID(fmt.Sprintf("reply.%d.%d@%s", m.ID, now.UnixNano(), domainPart(m.EnvelopeTo)))
	if p.messageID != "" {
		h.SetMsgIDList("In-Reply-To", []string{p.messageID})
		h.SetMsgIDList("References", append(p.references, p.messageID))
	}
	textHeaders(&h.Header, "ja")
	h.Del("Content-Language")
	var quoted strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(p.text, "\n"), "\n") {
		quoted.WriteString("> " + line + "\n")
	}
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h.Header)
	if err != nil {
		return nil, fmt.Errorf("write reply: %w", err)
	}
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if err := writeText(w, casedb.Clean(text, 100_000)+"\n\n"+quoted.String()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// bounceMail writes a delivery status notification (RFC 3464).
func bounceMail(m casedb.BoxMail, p *Mail, text string, now time.Time) ([]byte, error) {
	words := casedb.CleanLine(text, 500)
	if words == "" {
		words = "550 5.1.1 <" + m.EnvelopeTo + ">: Recipient address rejected: User unknown"
	}
	host := "mx." + domainPart(m.EnvelopeTo)
	var h gomail.Header
	h.SetDate(now)
	h.SetAddressList("From", []*gomail.Address{{Name: "Mail Delivery System", Address: "MAILER-DAEMON@" + host}})
	h.SetAddressList("To", []*gomail.Address{{Address: m.EnvelopeFrom}})
	h.Set("Subject", "Undelivered Mail Returned to Sender")
	h.SetMessageID(fmt.Sprintf("bounce.%d.%d@%s", m.ID, now.UnixNano(), host))
	h.Set("Auto-Submitted", "auto-replied")
	h.SetContentType("multipart/report", map[string]string{"report-type": "delivery-status", "boundary": fmt.Sprintf("=_bounce_%d", now.UnixNano())})
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h.Header)
	if err != nil {
		return nil, fmt.Errorf("write bounce: %w", err)
	}
	status := "5.0.0"
	if s := findStatus(words); s != "" {
		status = s
	}
	parts := []struct{ kind, text string }{
		{"text/plain", "This is the mail system at host " + host + ".\n\nI'm sorry to have to inform you that your message could not\n" +
			"be delivered to one or more recipients.\n\n<" + m.EnvelopeTo + ">: " + words + "\n"},
		{"message/delivery-status", "Reporting-MTA: dns; " + host + "\nArrival-Date: " + m.ReceivedAt.UTC().Format(time.RFC1123Z) +
			"\n\nFinal-Recipient: rfc822; " + m.EnvelopeTo + "\nAction: failed\nStatus: " + status + "\nDiagnostic-Code: smtp; " + words + "\n"},
		{"text/rfc822-headers", returnedHeaders(p)},
	}
	for _, part := range parts {
		var ph message.Header
		ph.SetContentType(part.kind, nil)
		pw, err := w.CreatePart(ph)
		if err != nil {
			return nil, fmt.Errorf("write bounce: %w", err)
		}
		if err := writeText(pw, part.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write bounce: %w", err)
	}
	return b.Bytes(), nil
}

// returnedHeaders repeats the headers that a receiving side returns.
func returnedHeaders(p *Mail) string {
	var b strings.Builder
	for _, name := range []string{"Date", "From", "To", "Subject", "Message-Id", "References"} {
		for _, v := range p.header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(strings.Fields(v), " "))
		}
	}
	return b.String()
}

func domainPart(address string) string {
	if a, err := mail.ParseAddress(address); err == nil {
		address = a.Address
	}
	if _, domain, ok := cutAddress(address); ok && domain != "" {
		return domain
	}
	return "localhost"
}
