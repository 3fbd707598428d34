package web

import (
	"context"
	"errors"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

// waits reports whether a message can still go out.
func waits(s casedb.MessageState) bool { return s == casedb.MessageHeld || s == casedb.MessageQueued }

// currentLetter is the letter that matters now: the one under way, a correction that
// waits included, else the newest notification that was not canceled; nil if there is
// none.
func currentLetter(messages []casedb.Message) *casedb.Message {
	var chosen *casedb.Message
	for i := range messages {
		m := &messages[i]
		if m.Reason == casedb.ReasonCorrection && waits(m.State) {
			return m
		}
		if m.Purpose != casedb.PurposeNotification {
			continue
		}
		if waits(m.State) {
			return m
		}
		if chosen == nil && m.State != casedb.MessageCanceled {
			chosen = m
		}
	}
	return chosen
}

// newLetter is a message as it is stored, with its attempts.
func newLetter(m casedb.Message, attempts []casedb.Attempt, stopped bool, now time.Time) *letter {
	l := &letter{Message: m, Mail: Mail{To: m.Recipient, Subject: m.Subject, Body: m.Body}}
	l.MayEdit = waits(l.State) && l.Message.Attempts == 0 && m.Purpose == casedb.PurposeNotification
	for _, a := range attempts {
		if a.MessageID == m.ID {
			l.Attempts = append(l.Attempts, a)
		}
	}
	l.Sending = !stopped && sending(l, now)
	return l
}

// loadLetter fills in the notification that matters now with its text, what
// hinders it, and the other mails.
func (s *Server) loadLetter(ctx context.Context, v caseVisit, data *casePage) error {
	if chosen := currentLetter(data.Messages); chosen != nil {
		l := newLetter(*chosen, data.CasePage.Attempts, v.stop != nil, v.now)
		s.composeLetter(ctx, data.Case.Number, l, v.now)
		data.Letter = l
		if waits(l.State) {
			suppression, err := s.db.Suppression(ctx, l.Recipient, v.now)
			if err != nil && !errors.Is(err, casedb.ErrNotFound) {
				return err
			}
			data.Suppressed = suppression.Why
		}
	}
	data.sortMails()
	return nil
}

// composeLetter puts the text that a letter has now in place of the stored one.
func (s *Server) composeLetter(ctx context.Context, number string, l *letter, now time.Time) {
	if s.cfg.Composer == nil {
		return
	}
	mail, err := s.compose(ctx, l.ID, now)
	if err != nil {
		l.Failed, l.Nothing, l.Gone = true, errors.Is(err, notify.ErrNothingToSay), errors.Is(err, notify.ErrGone)
		s.log.ErrorContext(ctx, "mail cannot be composed", "case", number, "message", l.ID, "err", err)
		return
	}
	l.Mail, l.Composed = mail, l.MayEdit
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
