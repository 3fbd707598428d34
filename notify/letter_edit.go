package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"teiten/internal/casedb"
)

// ErrOtherKind is a letter tried on a case that it is not for, ErrNothingToSay
// one on a case that no letter can be made of at present.
var (
	ErrOtherKind    = errors.New("the case is of another kind")
	ErrNothingToSay = errors.New("no source is judged so any more")
	// ErrGone is a letter whose evidence is past its retention.
	ErrGone = errors.New("the observations are gone")
)

// letterText returns the template of a letter that is in force, and its
// version.
func (c *Composer) letterText(ctx context.Context, q *casedb.Queries, name LetterName) (letterText, int, error) {
	own, ok := c.letters[name.String()]
	if !ok {
		return letterText{}, 0, fmt.Errorf("no letter %s", name)
	}
	l, err := q.LetterInForce(ctx, name.String())
	if err != nil || l.Version == 0 {
		return own, 0, err
	}
	return letterText{l.Subject, l.Body}, l.Version, nil
}

// OwnLetter returns the program's own template of a letter: version 0.
func (c *Composer) OwnLetter(name LetterName) (subject, body string) {
	l := c.letters[name.String()]
	return l.Subject, l.Body
}

// CheckLetter returns the fault of a template, as a BadLetter: it is tried
// on made-up fields that say much and that say little. SampleLetter's texts are
// the first of them.
func (c *Composer) CheckLetter(name LetterName, subject, body string) error {
	_, _, err := c.SampleLetter(name, subject, body)
	return err
}

// SampleLetter makes a letter of made-up fields.
func (c *Composer) SampleLetter(name LetterName, subject, body string) (gotSubject, gotBody string, err error) {
	for i, f := range sampleFields(name, c.us(name.Language)) {
		s, b, err := letterText{subject, body}.render(f)
		if err != nil {
			return "", "", err
		}
		if i == 0 {
			gotSubject, gotBody = s, b
		}
	}
	return gotSubject, gotBody, nil
}

// TryLetter returns the mail that a template makes of a case, exactly as the
// composer would, for no recipient but ourselves.
func (c *Composer) TryLetter(ctx context.Context, db *casedb.DB, name LetterName, subject, body, number string, now time.Time) (Draft, error) {
	var d Draft
	err := db.Snapshot(ctx, func(q *casedb.Queries) error {
		found, err := q.CaseByNumber(ctx, number)
		if err != nil {
			return err
		}
		if found.Kind != name.Kind() {
			return ErrOtherKind
		}
		m := casedb.Message{CaseID: &found.ID, Purpose: casedb.PurposeNotification, Reason: name.Reason, Language: name.Language,
			Recipient: c.config.Email, HeaderID: "tt.try@" + c.config.Domain, Token: "try", CreatedAt: now}
		letter, err := c.letter(ctx, q, m, now)
		if err != nil {
			return err
		}
		d = Draft{To: m.Recipient, From: c.config.from(), EnvelopeFrom: c.tokens.Make(TokenBounce, letter.Number, &m)}
		if d.Subject, d.Body, err = (letterText{subject, body}).render(letter.Fields); err != nil {
			return err
		}
		d, err = c.finish(d, m, letter, now)
		return err
	})
	return d, err
}
