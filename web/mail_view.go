package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	message "github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // mails in ISO-2022-JP
	gomail "github.com/emersion/go-message/mail"

	"teiten/internal/casedb"
	"teiten/notify"
)

// The bounds of what a mail page shows.
const (
	maxMailText       = 200_000
	maxAttachmentText = 20_000
	maxParts          = 60 // a digest has 50 mails in it
)

// Mail is a message as its reader will see it.
type Mail struct {
	From        string
	To          string
	Subject     string
	Body        string
	Encrypted   bool // on its way: the page shows it as its reader will
	Attachments []Attachment
}

// Attachment is a part of a mail beside its text.
type Attachment struct {
	Name      string
	Type      string
	SizeBytes int
	Text      string // its beginning, for text parts
}

// draftMail is a composed mail as a page shows it.
func draftMail(d notify.Draft) Mail {
	m := Mail{From: d.From, To: d.To, Subject: d.Subject, Body: d.Body, Encrypted: d.Encrypted()}
	if d.XARF != nil {
		m.Attachments = []Attachment{{Name: "xarf.json", Type: "application/json", SizeBytes: len(d.XARF),
			Text: casedb.Clean(string(d.XARF[:min(len(d.XARF), maxAttachmentText)]), maxAttachmentText)}}
	} else if d.CSVName != "" {
		m.Attachments = []Attachment{{Name: d.CSVName, Type: "text/csv", SizeBytes: len(d.CSV),
			Text: casedb.Clean(string(d.CSV[:min(len(d.CSV), maxAttachmentText)]), maxAttachmentText)}}
	}
	return m
}

// readMail gives the parts of a raw mail that a page shows: some headers, the
// plain text and the beginning of text attachments. HTML is never shown. The
// header comes along for those who answer.
func readMail(raw []byte) (Mail, gomail.Header, error) { return readParts(raw, true) }

// readParts reads mails inside the mail, too, if deep.
func readParts(raw []byte, deep bool) (Mail, gomail.Header, error) {
	r, err := gomail.CreateReader(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return Mail{}, gomail.Header{}, fmt.Errorf("read mail: %w", err)
	}
	m := Mail{From: headerText(&r.Header, "From"), To: headerText(&r.Header, "To"), Subject: headerText(&r.Header, "Subject")}
	for range maxParts {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !message.IsUnknownCharset(err) {
			return m, r.Header, fmt.Errorf("read mail: %w", err)
		}
		if err := m.add(part, deep); err != nil {
			return m, r.Header, err
		}
	}
	return m, r.Header, nil
}

// add adds a part: the first plain text is the body, all else an attachment.
func (m *Mail) add(part *gomail.Part, deep bool) error {
	content, err := io.ReadAll(io.LimitReader(part.Body, maxMailText))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read part: %w", err)
	}
	size, err := io.Copy(io.Discard, part.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read part: %w", err)
	}
	kind := "text/plain"
	var name string
	switch h := part.Header.(type) {
	case *gomail.InlineHeader:
		if t, _, err := h.ContentType(); err == nil {
			kind = t
		}
		if kind == "text/plain" && m.Body == "" {
			m.Body = strings.ReplaceAll(casedb.Clean(string(content), maxMailText), "\r\n", "\n")
			return nil
		}
	case *gomail.AttachmentHeader:
		if t, _, err := h.ContentType(); err == nil {
			kind = t
		}
		name, _ = h.Filename() // without a name it is shown by its type
	}
	a := Attachment{Name: casedb.CleanLine(name, 200), Type: casedb.CleanLine(kind, 100), SizeBytes: len(content) + int(size)}
	if kind == "message/rfc822" && deep {
		if inner, _, err := readParts(content, false); err == nil {
			a.Text = casedb.Clean(inner.Subject+"\n\n"+inner.Body, maxAttachmentText)
		}
	}
	if strings.HasPrefix(kind, "text/") && kind != "text/html" {
		a.Text = casedb.Clean(string(content[:min(len(content), maxAttachmentText)]), maxAttachmentText)
	}
	m.Attachments = append(m.Attachments, a)
	return nil
}

// headerText is a header field decoded, on one line; as it stands where it
// cannot be decoded.
func headerText(h *gomail.Header, name string) string {
	text, err := h.Text(name)
	if err != nil {
		text = h.Get(name)
	}
	return casedb.CleanLine(text, 500)
}

// fromHeader returns what a mail that begins with head says in From, or its
// envelope sender.
func fromHeader(head []byte, envelope string) string {
	end := len(head)
	for _, blank := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(head, []byte(blank)); i >= 0 {
			end = min(end, i)
		}
	}
	// Headers that go on behind what was read end at their last whole line.
	text := bytes.TrimRight(head[:end], "\r\n")
	if end == len(head) {
		text = text[:max(0, bytes.LastIndexByte(text, '\n'))]
	}
	r, err := gomail.CreateReader(io.MultiReader(bytes.NewReader(text), strings.NewReader("\r\n\r\n")))
	if err == nil || message.IsUnknownCharset(err) {
		defer func() { _ = r.Close() }()
		if from := casedb.CleanLine(headerText(&r.Header, "From"), 320); from != "" {
			return from
		}
	}
	return casedb.CleanLine(envelope, 320)
}

// answerTo returns where a reader's answer to the mail goes.
func answerTo(h *gomail.Header, fallback string) string {
	for _, name := range []string{"Reply-To", "From"} {
		if list, err := h.AddressList(name); err == nil && len(list) > 0 {
			return list[0].Address
		}
	}
	return fallback
}

// replyTo makes the mail a recipient of m would send back from their mail
// program.
func replyTo(orig *gomail.Header, m casedb.BoxMail, text string, now time.Time) (to string, raw []byte, err error) {
	to = answerTo(orig, m.EnvelopeFrom)
	var h gomail.Header
	h.SetDate(now)
	h.SetAddressList("From", []*gomail.Address{{Address: m.EnvelopeTo}})
	h.SetAddressList("To", []*gomail.Address{{Address: to}})
	subject := headerText(orig, "Subject")
	if !strings.HasPrefix(strings.ToLower(subject), "re:") {
		subject = "Re: " + subject
	}
	h.SetSubject(subject)
	if id := headerID(orig.Get("Message-Id")); id != "" {
		h.SetMsgIDList("In-Reply-To", []string{id})
		h.SetMsgIDList("References", []string{id})
	}
	h.SetMessageID(fmt.Sprintf("box.%d.%d@%s", m.ID, now.UnixMicro(), domainOf(m.EnvelopeTo)))
	h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	var b bytes.Buffer
	w, err := gomail.CreateSingleInlineWriter(&b, h)
	if err != nil {
		return "", nil, fmt.Errorf("write reply: %w", err)
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n")); err != nil {
		return "", nil, fmt.Errorf("write reply: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", nil, fmt.Errorf("write reply: %w", err)
	}
	return to, b.Bytes(), nil
}

// bounceOf makes the delivery status notification (RFC 3464) that a mail
// server would send for m to its envelope sender.
func bounceOf(orig *gomail.Header, m casedb.BoxMail, hard bool, now time.Time) ([]byte, error) {
	status, code, reason := "4.2.2", "452", "mailbox full"
	if hard {
		status, code, reason = "5.1.1", "550", "user unknown"
	}
	server := "mx." + domainOf(m.EnvelopeTo)
	var h message.Header
	h.Set("From", "MAILER-DAEMON@"+server)
	h.Set("To", m.EnvelopeFrom)
	h.Set("Date", now.Format(time.RFC1123Z))
	h.Set("Message-Id", fmt.Sprintf("<bounce.%d.%d@%s>", m.ID, now.UnixMicro(), server))
	h.Set("Subject", "Undelivered Mail Returned to Sender")
	h.Set("Auto-Submitted", "auto-replied")
	h.Set("MIME-Version", "1.0")
	h.SetContentType("multipart/report", map[string]string{"report-type": "delivery-status"})
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h)
	if err != nil {
		return nil, fmt.Errorf("write bounce: %w", err)
	}
	parts := []struct{ kind, text string }{
		{"text/plain", fmt.Sprintf("This is the mail system at host %s.\n\nYour message could not be delivered to\n\n<%s>: %s %s %s\n",
			server, m.EnvelopeTo, code, status, reason)},
		{"message/delivery-status", fmt.Sprintf("Reporting-MTA: dns; %s\nArrival-Date: %s\n\nFinal-Recipient: rfc822; %s\nAction: failed\n"+
			"Status: %s\nDiagnostic-Code: smtp; %s %s %s\n", server, m.ReceivedAt.Format(time.RFC1123Z), m.EnvelopeTo, status, code, status, reason)},
		{"text/rfc822-headers", fmt.Sprintf("Message-ID: <%s>\nFrom: %s\nTo: %s\n", headerID(orig.Get("Message-Id")), m.EnvelopeFrom, m.EnvelopeTo)},
	}
	for _, p := range parts {
		var ph message.Header
		ph.SetContentType(p.kind, nil)
		pw, err := w.CreatePart(ph)
		if err != nil {
			return nil, fmt.Errorf("write bounce: %w", err)
		}
		if _, err := pw.Write([]byte(strings.ReplaceAll(p.text, "\n", "\r\n"))); err != nil {
			return nil, fmt.Errorf("write bounce: %w", err)
		}
		if err := pw.Close(); err != nil {
			return nil, fmt.Errorf("write bounce: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write bounce: %w", err)
	}
	return b.Bytes(), nil
}

// headerID takes the brackets off a Message-ID.
func headerID(s string) string {
	return casedb.CleanLine(strings.Trim(strings.TrimSpace(s), "<>"), 500)
}

func domainOf(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 && i+1 < len(address) {
		return address[i+1:]
	}
	return "localhost"
}
