package notify

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"teiten/internal/casedb"
)

//go:embed templates/*.txt templates/letters/*.txt
var templateFiles embed.FS

// The limits of a letter.
const (
	maxTableRows = 100   // lines of the table in the text
	maxCSVRows   = 10000 // rows of the CSV part
	maxNetworks  = 3     // networks of sensors, where a contact wants them
	lookBack     = 31 * 24 * time.Hour
)

// Composer makes mails of messages. It is safe for concurrent use.
type Composer struct {
	config    Config
	tokens    *Tokens
	templates map[string]*template.Template // by purpose and language: "answer.ja"
	letters   map[string]letterText         // our own letters to owners, by LetterName
}

// NewComposer returns a composer, with the key that casedb keeps under
// SecretName.
func NewComposer(config Config, key []byte) (*Composer, error) {
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	tokens, err := NewTokens(key, config.Domain)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	c := &Composer{config: config, tokens: tokens, templates: map[string]*template.Template{}}
	for _, kind := range []string{string(casedb.PurposeAnswer), string(casedb.PurposeConfirmation), string(casedb.PurposeDecision), string(casedb.PurposeDigest), casedb.ReasonCorrection} {
		for _, language := range []string{"ja", "en"} {
			name := kind + "." + language
			t, err := template.New(name).Option("missingkey=error").ParseFS(templateFiles, "templates/"+name+".txt")
			if err != nil {
				return nil, fmt.Errorf("mail template %s: %w", name, err)
			}
			c.templates[name] = t
		}
	}
	if c.letters, err = builtinLetters(); err != nil {
		return nil, err
	}
	return c, nil
}

// Tokens returns the maker of the composer's tokens.
func (c *Composer) Tokens() *Tokens { return c.tokens }

// Draft is a mail as it goes out.
type Draft struct {
	EnvelopeFrom string
	From         string
	To           string
	Subject      string
	Body         string
	Template     string // the template that Body comes from; empty if a coordinator wrote it
	CSVName      string // empty: no attachment
	CSV          []byte
	XARF         []byte // instead of the CSV, which is in it
	Key          string // the recipient's public key, to which all is encrypted; empty: none
	Silent       bool   // it does not say Auto-Submitted if a person approved it
	Tags         string // what sorts the mail on both sides, all that stands outside of an encrypted one's subject
	Files        []casedb.MessageFile
	Letters      []casedb.MessageFile // of a digest: the mails in it, whole
	Raw          []byte               // the whole mail, lines ended by CRLF
}

// Encrypted reports whether only the recipient can read the mail.
func (d Draft) Encrypted() bool {
	head, _, _ := bytes.Cut(d.Raw, []byte("\r\n\r\n"))
	return bytes.Contains(head, []byte("\nContent-Type: multipart/encrypted")) || bytes.HasPrefix(head, []byte("Content-Type: multipart/encrypted"))
}

// Preview returns the mail that a message will be, or was: once an attempt was
// made it is what was kept then, of a letter in a digest the words.
func (c *Composer) Preview(ctx context.Context, db *casedb.DB, m casedb.Message, now time.Time) (Draft, error) {
	if m.DigestID != nil {
		return Draft{To: m.Recipient, From: c.config.from(), Subject: m.Subject, Body: m.Body, Template: m.Template}, nil
	}
	return c.compose(ctx, &db.Queries, m, now)
}

// compose makes the mail of a message. The same message, data and time give
// the same bytes, unless they are encrypted.
func (c *Composer) compose(ctx context.Context, q *casedb.Queries, m casedb.Message, now time.Time) (Draft, error) {
	d := Draft{To: m.Recipient, From: c.config.from(), Subject: m.Subject, Body: m.Body, Template: m.Template}
	var letter *letterData
	number := ""
	if m.CaseID != nil {
		l, err := c.letter(ctx, q, m, now)
		if err != nil {
			return d, fmt.Errorf("compose message %d: %w", m.ID, err)
		}
		letter, number = l, l.Number
	}
	d.EnvelopeFrom = c.tokens.Make(TokenBounce, number, &m)
	if len(m.Raw) > 0 {
		d.Raw = m.Raw
		p := ParseMail(m.Raw)
		d.CSVName, d.CSV = p.attached("text/csv")
		_, d.XARF = p.attached("application/json")
		return d, nil
	}
	if err := c.words(ctx, q, &d, m, letter); err != nil {
		return d, fmt.Errorf("compose message %d: %w", m.ID, err)
	}
	if m.Purpose == casedb.PurposeAnswer {
		var err error
		if d.Files, err = q.MessageFiles(ctx, m.ID); err != nil {
			return d, fmt.Errorf("compose message %d: %w", m.ID, err)
		}
	}
	return c.finish(d, m, letter, now)
}

// finish adds the evidence to a draft that has its words, and writes the mail.
func (c *Composer) finish(d Draft, m casedb.Message, letter *letterData, now time.Time) (Draft, error) {
	number := ""
	if letter != nil {
		number, d.Key, d.Tags = letter.Number, letter.wishes.PGPKey, withTicket("["+letter.Number+"]", letter.ticket)
		d.Silent = letter.wishes.Silent
		letter.attachTo(&d)
	}
	raw, err := c.encode(d, m, number, now)
	if err != nil {
		return d, fmt.Errorf("compose message %d: %w", m.ID, err)
	}
	d.Raw = raw
	return d, nil
}

// attachTo adds the evidence to a draft.
func (l *letterData) attachTo(d *Draft) {
	if l.csv == nil {
		return
	}
	if d.CSVName, d.CSV = l.Number+".csv", l.csv; l.XARF {
		d.XARF = l.xarf
	}
}

// words fills in subject and body.
func (c *Composer) words(ctx context.Context, q *casedb.Queries, d *Draft, m casedb.Message, letter *letterData) error {
	switch {
	case m.Reason == casedb.ReasonCorrection && letter != nil:
		var err error
		if d.Subject, d.Body, d.Template, err = c.correction(ctx, q, m, letter); err != nil {
			return err
		}
	case m.Purpose == casedb.PurposeAnswer:
		if letter == nil {
			return fmt.Errorf("an answer without a case")
		}
		subject := m.Subject
		if subject == "" {
			subject = letter.defaultSubject(c)
		} else if len(subject) < 3 || !strings.EqualFold(subject[:3], "re:") {
			subject = "Re: " + subject
		}
		letter.Text = strings.TrimSpace(m.Body)
		_, body, name, err := c.render(string(m.Purpose), m.Language, letter)
		if err != nil {
			return err
		}
		d.Subject, d.Body, d.Template = subject, body, name
	case m.Edited || m.Purpose != casedb.PurposeNotification:
		d.Template = ""
	default:
		name := nameOf(letter.kind, letter.Groups, m.Reason, m.Language)
		text, version, err := c.letterText(ctx, q, name)
		if err != nil {
			return err
		}
		if d.Subject, d.Body, err = text.render(letter.Fields); err != nil {
			return fmt.Errorf("letter %s: %w", name.version(version), err)
		}
		d.Template = name.version(version)
	}
	d.Subject = casedb.CleanLine(d.Subject, 500)
	if letter != nil {
		d.Subject = labelled(d.Subject, casedb.TLP(letter.TLP))
	}
	if letter != nil && !strings.Contains(strings.ToUpper(d.Subject), "["+letter.Number+"]") {
		d.Subject = strings.TrimSpace("[" + letter.Number + "] " + d.Subject)
	}
	if letter != nil {
		d.Subject = withTicket(d.Subject, letter.ticket)
	}
	d.Body = strings.TrimRight(casedb.Clean(strings.ReplaceAll(d.Body, "\r\n", "\n"), 400_000), "\n") + "\n"
	if strings.TrimSpace(d.Subject) == "" || strings.TrimSpace(d.Body) == "" {
		return fmt.Errorf("a mail without subject or text")
	}
	return nil
}

// labelled puts the label at the end of a subject: TLP 2.0 (FIRST, 2022, "How to
// use TLP in messaging") wants it there, and before the information itself. A
// quoted subject can carry an older one.
func labelled(subject string, label casedb.TLP) string {
	return strings.TrimSpace(unlabelled(subject) + " " + string(label))
}

// unlabelled is a subject without the labels at its end.
func unlabelled(subject string) string {
	for _, l := range slices.Backward(casedb.TLPs()) {
		subject = strings.TrimSpace(strings.TrimSuffix(subject, string(l)))
	}
	return subject
}

// render executes a letter's templates.
func (c *Composer) render(kind, language string, data any) (subject, body, name string, err error) {
	name = kind + "." + language
	t := c.templates[name]
	if t == nil {
		return "", "", name, fmt.Errorf("no letter for %s", name)
	}
	var s, b strings.Builder
	if err := t.ExecuteTemplate(&s, "subject", data); err != nil {
		return "", "", name, fmt.Errorf("letter %s: %w", name, err)
	}
	if err := t.ExecuteTemplate(&b, "body", data); err != nil {
		return "", "", name, fmt.Errorf("letter %s: %w", name, err)
	}
	return strings.TrimSpace(s.String()), strings.TrimSpace(b.String()) + "\n", name, nil
}

// us is what every letter says about ourselves.
type us struct {
	We    string // our name
	Email string
	Phone string
	URL   string

	Authority string // who we are and by which authority we write; empty: not told
	Verify    string // how to check us by a way that is not in the letter; empty: not told
}

// Spaced is our name as it stands before Japanese text: Latin letters are set
// off by a blank.
func (u us) Spaced() string {
	if u.We != "" && u.We[len(u.We)-1] < utf8.RuneSelf {
		return u.We + " "
	}
	return u.We
}

func (c *Composer) us(language string) us {
	return us{We: c.config.organisation(language), Email: c.config.Email, Phone: c.config.Phone, URL: c.config.URL,
		Authority: c.config.Authority[language], Verify: c.config.Verify[language]}
}

// label is the label of a letter about a case with a label of its own, or none.
func (c *Composer) label(own casedb.TLP) casedb.TLP {
	return cmp.Or(own, c.config.TLP, casedb.DefaultTLP)
}

// Registration is the data for the mails about a researcher's registration.
type Registration struct {
	Organisation string
	Prefixes     []string
	Link         string        // confirmation: the page that confirms the address
	Valid        time.Duration // confirmation: how long the link is good for
	Accepted     bool          // decision
	Reason       string        // decision: the coordinator's sentence
}

// Confirmation returns subject and body of the mail that asks a researcher to
// confirm a mail address. They go into a message of purpose confirmation.
func (c *Composer) Confirmation(language string, r Registration) (subject, body string, err error) {
	return c.registration(casedb.PurposeConfirmation, language, r)
}

// Decision returns subject and body of the mail that tells a researcher what
// became of a registration. They go into a message of purpose decision.
func (c *Composer) Decision(language string, r Registration) (subject, body string, err error) {
	return c.registration(casedb.PurposeDecision, language, r)
}

func (c *Composer) registration(purpose casedb.Purpose, language string, r Registration) (subject, body string, err error) {
	// A stranger wrote the words, and they go to an address that may belong to
	// another person: one line each, and short.
	r.Organisation = casedb.CleanLine(r.Organisation, 200)
	r.Reason = casedb.Clean(r.Reason, 2000)
	subject, body, _, err = c.render(string(purpose), language, struct {
		us
		Registration
		Hours int
	}{c.us(language), r, int(r.Valid.Hours())})
	return subject, body, err
}
