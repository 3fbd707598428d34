package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

// The times and numbers of retries: 7.5 minutes, doubling to 16 hours, eight
// tries.
const (
	firstRetry  = 450 * time.Second
	maxRetry    = 16 * time.Hour
	maxTries    = 8
	sendTimeout = 5 * time.Minute
	mailsPerDo  = 200
	stopGrace   = 5 * time.Second // for the server's answer after a stop
	finishGrace = 3 * time.Second // for the database after a stop
)

// Sender sends the messages that are due. DB, Composer and Transport must be
// set. Several senders, in one process or many, share the work and the limits.
type Sender struct {
	DB        *casedb.DB
	Composer  *Composer
	Transport Transport
	DKIM      *DKIM // nil: mails are not signed
	Limits    casedb.SendLimits
	Quiet     QuietHours       // of mail without an approval
	DigestAt  DigestTime       // when contacts that ask for it get the day's letters in one
	Control   casework.Control // which first letters wait as a control group
	Parallel  int              // mails at once; zero: 4
	Timeout   time.Duration    // of one attempt; zero: 5 minutes, which is also the most
	// FirstRetry is the wait after the first attempt, which doubles; zero: 7.5
	// minutes. An attempt that died with its process blocks its recipient's
	// domain for as long (at most casedb.AttemptLease).
	FirstRetry time.Duration
	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: silence
	Metrics    *Metrics         // nil: no metrics
}

// job is a message whose attempt is on record.
type job struct {
	message  casedb.Message
	envelope Envelope
}

// Do claims messages that are due and sends them, Parallel at once, until none
// may be sent or it has dealt with mailsPerDo; it returns how many. After ctx is
// done it gives those under way a few seconds.
//
// Every claimed message has its attempt recorded before anybody dials, so a
// message whose sender dies is tried again no sooner than its back-off says.
func (s *Sender) Do(ctx context.Context) (int, error) {
	parallel := s.Parallel
	if parallel <= 0 {
		parallel = 4
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards the rest; held while claiming, which the database lets one do at a time
	n := 0
	var errs []error
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	next := func() (j *job, more bool) {
		mu.Lock()
		defer mu.Unlock()
		if n >= mailsPerDo || len(errs) > 0 || ctx.Err() != nil {
			return nil, false
		}
		j, more, err := s.claim(ctx)
		if err != nil {
			errs = append(errs, err)
			return nil, false
		}
		if j != nil || more {
			n++
		}
		return j, j != nil || more
	}
	for range parallel {
		wg.Go(func() {
			for {
				j, more := next()
				switch {
				case !more:
					return
				case j == nil:
					continue // decided without sending
				}
				if err := s.send(ctx, *j); err != nil {
					note(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Metrics.measure(ctx, s.DB, s.now()); err != nil {
		note(err)
	}
	return n, errors.Join(errs...)
}

func (s *Sender) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Sender) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// timeout is how long an attempt may take: less than its lease, so that no
// other sender starts while it lasts.
func (s *Sender) timeout() time.Duration {
	most := min(sendTimeout, s.lease()*4/5)
	if s.Timeout > 0 {
		return min(s.Timeout, most)
	}
	return most
}

func (s *Sender) first() time.Duration {
	if s.FirstRetry > 0 {
		return s.FirstRetry
	}
	return firstRetry
}

// lease is how long an attempt may stay without an end.
func (s *Sender) lease() time.Duration { return min(s.first(), casedb.AttemptLease) }

// retryAfter returns the wait after attempt n: doubling, bounded, and up to an
// eighth longer at random.
func (s *Sender) retryAfter(n int) time.Duration {
	wait := s.first()
	for i := 1; i < n && wait < maxRetry; i++ {
		wait *= 2
	}
	wait = min(wait, maxRetry)
	return wait + time.Duration(rand.Int64N(int64(wait/8)+1))
}

// claim takes one due message: it decides, composes and records the attempt in
// one transaction. No job and again true: a message was dealt with otherwise.
func (s *Sender) claim(ctx context.Context) (j *job, again bool, err error) {
	now := s.now()
	id := int64(0)
	err = s.DB.InHotTx(ctx, func(tx *casedb.Tx) error {
		j, again, id = nil, false, 0
		if err := tx.LockSending(ctx); err != nil {
			return err
		}
		stopped, err := tx.SendStopped(ctx)
		if err != nil || stopped {
			return err
		}
		due, err := tx.DueMessage(ctx, s.Limits, s.lease(), now)
		if err != nil || due.ID == 0 {
			again = due.PutOff
			return err
		}
		id = due.ID
		if due.Digest {
			again = true
			j, err = s.claimDigest(ctx, tx, id, now)
			return err
		}
		m, c, err := tx.LockDueMessage(ctx, id, now)
		if errors.Is(err, casedb.ErrStale) {
			again = true
			return nil
		}
		if err != nil {
			return err
		}
		again = true
		j, err = s.begin(ctx, tx, m, c, now)
		return err
	})
	if err != nil && id != 0 && !casedb.IsUnavailable(err) && ctx.Err() == nil {
		aside := s.setAside(ctx, id, err, now)
		if aside == nil {
			// The others need not wait for what is wrong with this one.
			s.logger().Error("message set aside", "message", id, "err", err)
			return nil, true, nil
		}
		err = errors.Join(fmt.Errorf("message %d: %w", id, err), aside)
	}
	if err != nil {
		return nil, false, fmt.Errorf("claim message: %w", err)
	}
	return j, again, nil
}

// begin decides about a locked due message and, if it is to be sent, records
// the attempt.
func (s *Sender) begin(ctx context.Context, tx *casedb.Tx, m casedb.Message, c *casedb.Case, now time.Time) (*job, error) {
	if m.Purpose == casedb.PurposeDigest {
		facts, err := s.facts(ctx, tx, m, nil, false, now)
		if err != nil {
			return nil, err
		}
		return s.retryDigest(ctx, tx, m, Decide(facts), now)
	}
	send, err := s.decide(ctx, tx, m, c, false, now)
	if err != nil || !send {
		return nil, err
	}
	return s.attempt(ctx, tx, m, now)
}

// facts are what Decide looks at for a message.
func (s *Sender) facts(ctx context.Context, tx *casedb.Tx, m casedb.Message, c *casedb.Case, digest bool, now time.Time) (Facts, error) {
	f, err := gather(ctx, &tx.Queries, m, c, s.Control, now)
	f.Quiet, f.Digest, f.DigestAt = s.Quiet, digest, s.DigestAt
	return f, err
}

// decide decides about a locked due message, whose contact may ask for digests,
// and does what is decided, unless that is to send it: then it returns true.
func (s *Sender) decide(ctx context.Context, tx *casedb.Tx, m casedb.Message, c *casedb.Case, digest bool, now time.Time) (send bool, err error) {
	facts, err := s.facts(ctx, tx, m, c, digest, now)
	if err != nil {
		return false, err
	}
	d := Decide(facts)
	if d.Draw != nil {
		if err := tx.AddDraw(ctx, *d.Draw, m); err != nil {
			return false, err
		}
	}
	switch d.Action {
	case ActionCancel:
		s.Metrics.result("canceled")
		return false, tx.CancelDue(ctx, m, c, d.Why, now)
	case ActionHold:
		s.Metrics.result("held")
		return false, tx.HoldDue(ctx, m, c, d.Why, now)
	case ActionFail:
		if d.Waiting == casedb.WaitingBounce {
			s.Metrics.result("suppressed")
		}
		return false, tx.FailDue(ctx, m, c, d.Waiting, d.Why, now)
	case ActionDelay:
		return false, tx.PutOffMessage(ctx, m.ID, d.Why, d.Until)
	}
	return true, nil
}

// attempt composes a message and records the attempt to send it.
func (s *Sender) attempt(ctx context.Context, tx *casedb.Tx, m casedb.Message, now time.Time) (*job, error) {
	draft, err := s.Composer.compose(ctx, &tx.Queries, m, now)
	if err != nil {
		return nil, &composeError{err}
	}
	switch clear, err := inClear(ctx, &tx.Queries, m, now); {
	case err != nil:
		return nil, err
	case clear:
		return nil, &composeError{errInClear}
	}
	if len(m.Raw) == 0 {
		m.Raw, m.Template = draft.Raw, draft.Template
		if m.Purpose != casedb.PurposeAnswer { // an answer keeps the coordinator's words alone
			m.Subject, m.Body = draft.Subject, draft.Body
		}
	}
	if err := tx.BeginAttempt(ctx, &m, now.Add(s.retryAfter(m.Attempts+1)), now); err != nil {
		return nil, err
	}
	return &job{message: m, envelope: Envelope{From: draft.EnvelopeFrom, To: m.Recipient, ID: m.Token}}, nil
}

// errInClear holds what no retry may repeat as it is.
var errInClear = errors.New("it was first tried without encryption, and its recipient has a PGP key now")

// inClear reports whether the stored bytes of a message are not encrypted although
// its recipient has a key now.
func inClear(ctx context.Context, q *casedb.Queries, m casedb.Message, now time.Time) (bool, error) {
	if len(m.Raw) == 0 || (Draft{Raw: m.Raw}).Encrypted() || m.RegistrationID != nil {
		return false, nil
	}
	wishes, err := q.ContactWishes(ctx, m, now)
	return wishes.PGPKey != "", err
}

// gather asks what Decide needs.
func gather(ctx context.Context, q *casedb.Queries, m casedb.Message, c *casedb.Case, control casework.Control, now time.Time) (Facts, error) {
	restored, err := q.RestoredAt(ctx)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{Message: m, Case: c, Restored: restored, Now: now}
	sup, err := q.Suppression(ctx, m.Recipient, now)
	switch {
	case err == nil:
		f.Suppression = &sup
	case !errors.Is(err, casedb.ErrNotFound):
		return f, err
	}
	if m.ContactID != nil {
		there, err := q.ContactInForce(ctx, m, now)
		if err != nil {
			return f, err
		}
		f.ContactRetired = !there
	}
	if m.Purpose == casedb.PurposeConfirmation && m.RegistrationID != nil {
		r, err := q.Registration(ctx, *m.RegistrationID)
		f.Expired = err == nil && !r.ConfirmUntil.After(now)
		return f, err
	}
	if c == nil || m.Purpose != casedb.PurposeNotification {
		return f, nil
	}
	if f.Acknowledged, err = q.AcknowledgedSources(ctx, c.ID, now); err != nil {
		return f, err
	}
	scope := casedb.ScopeOf(m, now)
	if f.Accused, err = q.LetterGroups(ctx, scope); err != nil {
		return f, err
	}
	if f.Lost, err = q.LostSources(ctx, scope, 5); err != nil {
		return f, err
	}
	if f.Gone, err = gone(ctx, q, m, scope, f.Accused); err != nil {
		return f, err
	}
	if f.Leave, err = q.RuleLeave(ctx, c.OwnerID, m.Recipient); err != nil {
		return f, err
	}
	owner, err := q.Owner(ctx, c.OwnerID)
	if err != nil {
		return f, err
	}
	f.Country = owner.Country
	f.Control, f.Draw, err = control.DrawOf(ctx, q, m, *c, now)
	return f, err
}

// gone reports whether nothing is left of what a letter would show. That the
// packets stopped needs no evidence.
func gone(ctx context.Context, q *casedb.Queries, m casedb.Message, scope casedb.LetterScope, accused []casedb.LetterGroup) (bool, error) {
	if len(accused) == 0 || m.Reason == casedb.ReasonRecovered {
		return false, nil
	}
	from, to := period(new(letterData).group(accused))
	if scope.Now.Sub(to) < 24*time.Hour { // no retention is shorter: observations are dropped by the day
		return false, nil
	}
	seen, err := q.LetterSeen(ctx, scope, from, to)
	return !seen, err
}

// send makes the attempt that is on record, and records its end.
func (s *Sender) send(ctx context.Context, j job) error {
	m := j.message
	// The switch may have been thrown since the claim.
	switch stopped, err := s.DB.SendStopped(ctx); {
	case err != nil:
		return s.finish(ctx, m, casedb.AttemptEnd{Outcome: casedb.AttemptTemporary, Response: "not sent: " + err.Error()})
	case stopped:
		return s.finish(ctx, m, casedb.AttemptEnd{Outcome: casedb.AttemptTemporary, Response: "not sent: all mail is stopped"})
	}
	m, err := s.sign(ctx, m)
	if err != nil {
		return s.finish(ctx, m, casedb.AttemptEnd{Outcome: casedb.AttemptTemporary, Response: "not sent: " + err.Error()})
	}
	j.envelope.Size = int64(len(m.Raw))
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout())
	defer cancel()
	// A stop gives the server a moment for its answer: without it the mail
	// would have to go out again.
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })
	defer stop()
	receipt, err := s.Transport.Send(sendCtx, j.envelope, bytes.NewReader(m.Raw))
	end := s.judge(m, receipt, err)
	if sendCtx.Err() != nil && ctx.Err() != nil {
		end.BackOff = casedb.BackOff{} // it was us who broke off
	}
	s.Metrics.result(string(end.Outcome))
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
	}
	s.logger().Log(ctx, level, "mail attempt", "message", m.ID, "attempt", m.Attempts, "outcome", end.Outcome, "code", end.Code, "status", end.Enhanced)
	return s.finish(ctx, m, end)
}

// sign signs a mail that is about to leave for the first time, and keeps it so:
// every retry carries the same signatures. It is not done in the claim because
// there only one signs at a time.
func (s *Sender) sign(ctx context.Context, m casedb.Message) (casedb.Message, error) {
	if s.DKIM == nil || signed(m.Raw) {
		return m, nil
	}
	raw, err := s.DKIM.Sign(m.Raw)
	if err == nil {
		err = s.DB.KeepSigned(ctx, m.ID, m.Attempts, raw)
	}
	if err == nil {
		m.Raw = raw
	}
	return m, err
}

// judge turns what the transport said into the attempt's end.
func (s *Sender) judge(m casedb.Message, receipt Receipt, err error) casedb.AttemptEnd {
	if err == nil {
		return casedb.AttemptEnd{Outcome: casedb.AttemptSent, Code: receipt.Code, Response: receipt.Response}
	}
	var failed *SendError
	if !errors.As(err, &failed) {
		failed = &SendError{Command: "SEND", Response: err.Error(), Err: err}
	}
	end := casedb.AttemptEnd{Outcome: casedb.AttemptTemporary, Code: failed.Code, Enhanced: failed.Enhanced,
		Response: failed.Command + ": " + failed.Response, GiveUp: m.Attempts >= maxTries}
	switch {
	case failed.Permanent:
		end.Outcome = casedb.AttemptPermanent
		if failed.Command != "MAIL" {
			if v := judgeReply(failed.Code, failed.Enhanced, failed.Response); v.dead {
				end.DeadFor = reason.Of(reason.AddressRefused, casedb.CleanLine(failed.Response, 500))
			}
		}
	case failed.Ambiguous:
		end.Outcome = casedb.AttemptUnknown
	}
	end.BackOff = s.backOff(blame(failed))
	if m.Purpose == casedb.PurposeConfirmation && end.BackOff.Blame == casedb.BlameDomain {
		end.BackOff = casedb.BackOff{} // a stranger chose the address: letters to its domain do not wait
	}
	return end
}

// finish records the attempt's end, and waits for a database that is away: while
// the attempt's own time lasts, no other sender will send the message.
func (s *Sender) finish(ctx context.Context, m casedb.Message, end casedb.AttemptEnd) error {
	stopped := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.lease())
	defer cancel()
	defer context.AfterFunc(stopped, func() { time.AfterFunc(finishGrace, cancel) })()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		now := s.now()
		err := s.DB.InHotTx(ctx, func(tx *casedb.Tx) error {
			err := tx.FinishAttempt(ctx, m.ID, m.Attempts, end, casework.AfterBounce, now)
			if errors.Is(err, casedb.ErrStale) {
				return nil // its end is kept; the message is another's
			}
			return err
		})
		if err == nil {
			return nil
		}
		if !casedb.IsUnavailable(err) {
			return fmt.Errorf("finish message %d: %w", m.ID, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("finish message %d: %w (last: %w)", m.ID, ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}
