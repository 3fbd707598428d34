package notify

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// The limits of a digest; the remaining letters go in another one.
const (
	maxDigestLetters = 50
	maxDigestBytes   = 5 << 20
	maxDigestRows    = 20 // lines of each letter's table in the digest's own text
)

// DigestTime is the time of the recipient's day, since midnight, at which the
// letters of a contact that asks for digests go out together.
type DigestTime time.Duration

// ParseDigestTime reads a time of day such as "09:00".
func ParseDigestTime(s string) (DigestTime, error) {
	at, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("time of day %q is not like 09:00", s)
	}
	return DigestTime(at.Hour())*DigestTime(time.Hour) + DigestTime(at.Minute())*DigestTime(time.Minute), nil
}

// After returns the first such time after ready in the country; in UTC where
// the people of the country do not all keep the same time.
func (d DigestTime) After(ready time.Time, country string) time.Time {
	zone, _ := likelyZone(country)
	if zone == nil {
		zone = time.UTC
	}
	local := ready.In(zone)
	on := func(day int) time.Time { // by the clock on the wall
		return time.Date(local.Year(), local.Month(), day, int(time.Duration(d)/time.Hour), int(time.Duration(d)%time.Hour/time.Minute), 0, 0, zone)
	}
	if at := on(local.Day()); at.After(ready) {
		return at
	}
	return on(local.Day() + 1)
}

// readyAt is when a message was written, or approved.
func readyAt(m casedb.Message) time.Time {
	if m.ApprovedAt != nil && m.ApprovedAt.After(m.CreatedAt) {
		return *m.ApprovedAt
	}
	return m.CreatedAt
}

// claimDigest takes what is due together with a due letter, whose contact asks
// for digests. What is left of it after each was decided about goes out: as a
// digest, or, if it is one letter alone, by itself.
func (s *Sender) claimDigest(ctx context.Context, tx *casedb.Tx, id int64, now time.Time) (*job, error) {
	due, err := tx.LockDigestLetters(ctx, id, maxDigestLetters, now)
	if err != nil {
		return nil, err
	}
	var letters []casedb.Letter
	var parts []digestPart
	size, key := 0, ""
	for _, l := range due {
		if size > maxDigestBytes && l.Message.ID != id {
			continue
		}
		send, err := s.decide(ctx, tx, l.Message, &l.Case, true, now)
		if err != nil {
			return nil, err
		}
		if !send {
			continue
		}
		part, err := s.Composer.digestPart(ctx, &tx.Queries, &l.Message, now)
		switch {
		case err == nil:
		case l.Message.ID == id:
			return nil, &composeError{err}
		default:
			continue // its own claim will say what is wrong with it
		}
		if size += len(part.raw) + len(part.letter.csv); l.Message.ID == id || len(letters) == 0 {
			key = part.letter.wishes.PGPKey
		}
		letters, parts = append(letters, l), append(parts, part)
	}
	letters, parts = sameKey(letters, parts, key)
	switch len(letters) {
	case 0:
		return nil, nil
	case 1:
		return s.attempt(ctx, tx, letters[0].Message, now)
	}
	m := newDigest(letters[0].Message, s.Composer.config.Domain, now)
	if m, err = tx.InsertMessage(ctx, m, casedb.ActorSystem); err != nil {
		return nil, err
	}
	draft, err := s.Composer.digest(m, parts, now)
	if err != nil {
		return nil, &composeError{err}
	}
	m.Raw, m.Template, m.Subject, m.Body = draft.Raw, draft.Template, draft.Subject, draft.Body
	if err := tx.BeginDigest(ctx, &m, letters, now.Add(s.retryAfter(1)), now); err != nil {
		return nil, err
	}
	return &job{message: m, envelope: Envelope{From: draft.EnvelopeFrom, To: m.Recipient, ID: m.Token}}, nil
}

// sameKey leaves out the letters that would be encrypted to another key.
func sameKey(letters []casedb.Letter, parts []digestPart, key string) (l []casedb.Letter, p []digestPart) {
	for i := range parts {
		if parts[i].letter.wishes.PGPKey == key {
			l, p = append(l, letters[i]), append(p, parts[i])
		}
	}
	return l, p
}

// newDigest is a digest to whom its first letter goes.
func newDigest(first casedb.Message, domain string, now time.Time) casedb.Message {
	m := casedb.Message{Purpose: casedb.PurposeDigest, State: casedb.MessageQueued, Reason: string(casedb.PurposeDigest), ContactID: first.ContactID,
		Recipient: first.Recipient, Language: first.Language, CreatedAt: now, NextAttemptAt: &now}
	m.HeaderID, m.Token = casedb.NewIdentity(domain)
	return m
}

// retryDigest makes another attempt for a locked digest that is due again, if
// every letter in it is still right to send; else the digest is given up, and
// each letter decided about by itself.
func (s *Sender) retryDigest(ctx context.Context, tx *casedb.Tx, m casedb.Message, d Decision, now time.Time) (*job, error) {
	letters, err := tx.LockLetters(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	if d.Action != ActionSend {
		return nil, tx.FailDigest(ctx, m, letters, d.Waiting, d.Why, now)
	}
	until, why := now, reason.List(nil)
	for _, l := range letters {
		facts, err := s.facts(ctx, tx, l.Message, &l.Case, true, now)
		if err != nil {
			return nil, err
		}
		d := Decide(facts)
		if l.Message.State != casedb.MessageQueued {
			d = Decision{Action: ActionHold, Why: slices.Concat(l.Message.HoldWhy, l.Message.EndWhy)}
		}
		switch d.Action {
		case ActionSend:
		case ActionDelay:
			if d.Until.After(until) {
				until, why = d.Until, d.Why
			}
		default:
			s.Metrics.result("canceled")
			return nil, tx.DissolveDigest(ctx, m, letters,
				append(reason.Of(reason.DigestLetter, strconv.FormatInt(l.Message.ID, 10)), d.Why...), now)
		}
	}
	if until.After(now) {
		return nil, tx.PutOffMessage(ctx, m.ID, why, until)
	}
	switch clear, err := inClear(ctx, &tx.Queries, m, now); {
	case err != nil:
		return nil, err
	case clear:
		return nil, tx.DissolveDigest(ctx, m, letters, reason.Of(reason.InClear), now)
	}
	from := s.Composer.tokens.Make(TokenBounce, "", &m)
	if err := tx.BeginDigest(ctx, &m, letters, now.Add(s.retryAfter(m.Attempts+1)), now); err != nil {
		return nil, err
	}
	return &job{message: m, envelope: Envelope{From: from, To: m.Recipient, ID: m.Token}}, nil
}

// digestPart is a letter as a digest holds it.
type digestPart struct {
	letter *letterData
	draft  Draft
	raw    []byte
}

// digestPart composes a letter for a digest: as it would go out by itself, but
// neither signed nor encrypted, which the digest is as a whole. Its words are
// kept in m.
func (c *Composer) digestPart(ctx context.Context, q *casedb.Queries, m *casedb.Message, now time.Time) (p digestPart, err error) {
	if p.letter, err = c.letter(ctx, q, *m, now); err != nil {
		return p, fmt.Errorf("compose message %d: %w", m.ID, err)
	}
	p.draft = Draft{To: m.Recipient, From: c.config.from(), Subject: m.Subject, Body: m.Body, Template: m.Template}
	if err := c.words(ctx, q, &p.draft, *m, p.letter); err != nil {
		return p, fmt.Errorf("compose message %d: %w", m.ID, err)
	}
	p.letter.attachTo(&p.draft)
	if p.raw, err = c.encodePlain(p.draft, *m, p.letter.Number, boundaryOf(*m), now); err != nil {
		return p, fmt.Errorf("compose message %d: %w", m.ID, err)
	}
	m.Subject, m.Body, m.Template = p.draft.Subject, p.draft.Body, p.draft.Template
	return p, nil
}

// digestFields is what the text of a digest says.
type digestFields struct {
	us
	TLP     casedb.TLP // the strictest label of its letters
	Owner   string     // of all letters; empty: of several
	Letters []digestLetter
	CSVRows int
}

type digestLetter struct {
	Fields
	Subject string
	Rows    []string // of the tables
	Left    int      // rows that are not in Rows
}

// digest makes the mail of a digest of its letters: what they are about, the
// evidence of all in one file, and each as a mail of its own
// (RFC 2046, 5.1.5).
func (c *Composer) digest(m casedb.Message, parts []digestPart, now time.Time) (Draft, error) {
	d := Draft{To: m.Recipient, From: c.config.from(), EnvelopeFrom: c.tokens.Make(TokenBounce, "", &m)}
	f := digestFields{us: c.us(m.Language), TLP: casedb.TLPClear, Owner: parts[0].letter.Owner}
	var csv bytes.Buffer
	csv.WriteString("case," + strings.Join(csvColumns, ",") + "\r\n")
	for _, p := range parts {
		d.Letters = append(d.Letters, casedb.MessageFile{Name: p.letter.Number + ".eml", Content: p.raw})
		d.Key = cmp.Or(d.Key, p.letter.wishes.PGPKey)
		if label := casedb.TLP(p.letter.TLP); !label.Within(f.TLP) {
			f.TLP = label
		}
		if f.Owner != p.letter.Owner {
			f.Owner = ""
		}
		f.Letters = append(f.Letters, inDigest(p))
		f.CSVRows += p.letter.CSVRows
		_, rows, _ := bytes.Cut(p.letter.csv, []byte("\n")) // no cell has a line break
		for line := range bytes.Lines(rows) {
			csv.WriteString(p.letter.Number + ",")
			csv.Write(line)
		}
	}
	subject, body, name, err := c.render(string(casedb.PurposeDigest), m.Language, f)
	if err != nil {
		return d, err
	}
	d.Subject, d.Body, d.Template = labelled(casedb.CleanLine(subject, 500), f.TLP), body, name
	d.CSVName, d.CSV = "evidence.csv", csv.Bytes()
	if d.Raw, err = c.encode(d, m, "", now); err != nil {
		return d, fmt.Errorf("compose message %d: %w", m.ID, err)
	}
	return d, nil
}

// inDigest is what a digest's text says of one of its letters.
func inDigest(p digestPart) digestLetter {
	l := digestLetter{Fields: p.letter.Fields, Subject: strings.TrimSpace(strings.TrimPrefix(unlabelled(p.draft.Subject), "["+p.letter.Number+"]"))}
	for _, g := range p.letter.Groups {
		for row := range strings.Lines(g.Table) {
			if len(l.Rows) < maxDigestRows {
				l.Rows = append(l.Rows, strings.TrimRight(row, "\n"))
			} else {
				l.Left++
			}
		}
		l.Left += g.LeftOut
	}
	return l
}
