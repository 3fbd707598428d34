package web

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"teiten/internal/casedb"
	"teiten/notify"
)

// The limits of a mail page.
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

// Attachment is a part of a mail other than its text.
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

// mailView is a mail as a page shows it: some fields of the header, the plain
// text and the beginning of text attachments. HTML is never shown.
func mailView(p *notify.Mail) Mail { return viewOf(p, true) }

// viewOf shows mails inside the mail, too, if deep.
func viewOf(p *notify.Mail, deep bool) Mail {
	m := Mail{From: p.Field("From"), To: p.Field("To"), Subject: p.Field("Subject")}
	for i := range p.Parts[:min(len(p.Parts), maxParts)] {
		m.add(&p.Parts[i], deep)
	}
	return m
}

// add adds a part: the first plain text is the body, all else an attachment.
func (m *Mail) add(part *notify.Part, deep bool) {
	if part.Readable() && m.Body == "" {
		m.Body = strings.ReplaceAll(casedb.Clean(part.Text(), maxMailText), "\r\n", "\n")
		return
	}
	kind := cmp.Or(part.Type, "text/plain")
	a := Attachment{Name: casedb.CleanLine(part.Name, 200), Type: casedb.CleanLine(kind, 100), SizeBytes: len(part.Content)}
	switch {
	case kind == "message/rfc822" && deep:
		inner := viewOf(notify.ParseMail(part.Content), false)
		a.Text = casedb.Clean(inner.Subject+"\n\n"+inner.Body, maxAttachmentText)
	case strings.HasPrefix(kind, "text/") && kind != "text/html":
		a.Text = casedb.Clean(part.Text(), maxAttachmentText)
	}
	m.Attachments = append(m.Attachments, a)
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
	if from := casedb.CleanLine(notify.ParseMail(append(slices.Clip(text), "\r\n\r\n"...)).Field("From"), 320); from != "" {
		return from
	}
	return casedb.CleanLine(envelope, 320)
}
