package notify

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

// maxPlanned is how many queued messages a plan looks at.
const maxPlanned = 20_000

// Planner predicts what the Sender will do, by the same decisions and limits,
// and changes nothing.
type Planner struct {
	DB     *casedb.DB
	Limits casedb.SendLimits
	Quiet  QuietHours
	// DigestAt is as the Sender's.
	DigestAt DigestTime
	Control  casework.Control
	Lease    time.Duration // how long an attempt without an end counts; zero: casedb.AttemptLease
}

// Planned is the predicted result for one message.
type Planned struct {
	Message  casedb.Message
	Case     *casedb.Case // nil: a message about a registration
	Decision Decision
	At       time.Time // when it will be decided; zero: when a coordinator has approved it
	// Delay is what it waits for until then: quiet hours, a limit, a back-off, or
	// why it was tried in vain or put off before. Empty: nothing.
	Delay reason.List
}

// Plan is a part of the predicted queue.
type Plan struct {
	Lines  []Planned
	Queued int  // messages in the queue, as far as the plan looks
	More   bool // the queue is longer than the plan looks
}

// Queue predicts the queue in the order of time, n messages after the first
// skip ones. A mail that waits for a limit, or for the recipient's morning,
// leaves its place to others, as it does when it is sent. What will be held or
// canceled is counted as if it were sent, so a time may turn out earlier.
func (p *Planner) Queue(ctx context.Context, skip, n int, now time.Time) (Plan, error) {
	var plan Plan
	err := p.DB.Snapshot(ctx, func(q *casedb.Queries) error {
		mails, err := q.QueuedMails(ctx, maxPlanned+1, now)
		if err != nil {
			return err
		}
		if len(mails) > maxPlanned {
			mails, plan.More = mails[:maxPlanned], true
		}
		plan.Queued = len(mails)
		lease := p.Lease
		if lease <= 0 {
			lease = casedb.AttemptLease
		}
		ledger, err := q.SendLedger(ctx, p.Limits, lease, now)
		if err != nil {
			return err
		}
		// No limit counts both kinds, so neither makes the other wait.
		confirmations, letters := split(mails)
		times := byTime(append(p.forecast(ledger, letters, now), p.forecast(ledger, confirmations, now)...))
		times = times[min(skip, len(times)):]
		for _, t := range times[:min(n, len(times))] {
			line, err := p.line(ctx, q, t, now)
			if err != nil {
				return err
			}
			plan.Lines = append(plan.Lines, line)
		}
		return nil
	})
	return plan, err
}

// Held lists the messages that wait for a coordinator, n messages with ids above after.
func (p *Planner) Held(ctx context.Context, after int64, n int) ([]Planned, error) {
	var lines []Planned
	err := p.DB.Snapshot(ctx, func(q *casedb.Queries) error {
		held, err := q.HeldMessages(ctx, after, n)
		if err != nil {
			return err
		}
		for _, m := range held {
			c, err := caseOf(ctx, q, m)
			if err != nil {
				return err
			}
			lines = append(lines, Planned{Message: m, Case: c, Decision: Decision{Action: ActionHold, Why: m.HoldWhy}})
		}
		return nil
	})
	return lines, err
}

// line decides about one message as of the time it will be its turn.
func (p *Planner) line(ctx context.Context, q *casedb.Queries, t predicted, now time.Time) (Planned, error) {
	m, err := q.Message(ctx, t.id)
	if err != nil {
		return Planned{}, err
	}
	c, err := caseOf(ctx, q, m)
	if err != nil {
		return Planned{}, err
	}
	facts, err := gather(ctx, q, m, c, p.Control, now)
	if err != nil {
		return Planned{}, err
	}
	facts.Quiet, facts.Digest, facts.DigestAt, facts.Now = p.Quiet, t.digest, p.DigestAt, t.at
	return Planned{Message: m, Case: c, Decision: Decide(facts), At: t.at, Delay: delayOf(t, m, now)}, nil
}

// delayOf is why a message is not sent before its turn.
func delayOf(t predicted, m casedb.Message, now time.Time) reason.List {
	switch {
	case t.delay != "":
		return reason.Of(t.delay)
	case !t.at.After(now):
		return nil
	case len(m.DelayWhy) > 0:
		return m.DelayWhy
	case m.LastError != "":
		return reason.Of(reason.LastError, m.LastError)
	}
	return nil
}

func caseOf(ctx context.Context, q *casedb.Queries, m casedb.Message) (*casedb.Case, error) {
	if m.CaseID == nil {
		return nil, nil
	}
	c, err := q.Case(ctx, *m.CaseID)
	return &c, err
}

// predicted is when a message will have its turn.
type predicted struct {
	id     int64
	at     time.Time
	delay  reason.Code
	digest bool
}

// forecast plays the sender over the queue: the message that has been due for
// longest goes first; one that must wait is due again when its wait ends, and
// while the hour's limit is reached everybody waits. What goes in one digest
// counts as one mail.
func (p *Planner) forecast(l *casedb.SendLedger, mails []casedb.QueuedMail, now time.Time) []predicted {
	queue := make(turns, len(mails))
	for i, m := range mails {
		queue[i] = turn{QueuedMail: m}
		if m.Backoff != nil && m.Backoff.After(m.Due) {
			queue[i].Due, queue[i].delay = *m.Backoff, reason.BackOff
		}
	}
	heap.Init(&queue)
	clock := now
	done := make([]predicted, 0, len(mails))
	digests := make(map[string]time.Time) // when the last digest to an address went
	for len(queue) > 0 {
		t := &queue[0]
		if t.Due.After(clock) {
			clock = t.Due
		}
		if until := p.DigestAt.After(t.Ready, t.Country); t.Digest && until.After(clock) {
			t.Due, t.delay = until, reason.Digest
			heap.Fix(&queue, 0)
			continue
		}
		if until := p.Quiet.Until(clock, t.Country); t.Alone && until.After(clock) {
			t.Due, t.delay = until, reason.QuietHours
			heap.Fix(&queue, 0)
			continue
		}
		at, limit := clock, reason.Code("")
		address := strings.ToLower(t.Recipient)
		if last, ok := digests[address]; !t.Digest || !ok || !last.Equal(clock) {
			at, limit = l.Reserve(t.Destination, clock)
		}
		switch limit {
		case "":
			done = append(done, predicted{t.MessageID, at, t.delay, t.Digest})
			if t.Digest {
				digests[address] = at
			}
			heap.Pop(&queue)
		case casedb.LimitHour, casedb.LimitConfirmations:
			clock, t.delay = at, limit
		default:
			t.Due, t.delay = at, limit
			heap.Fix(&queue, 0)
		}
	}
	return done
}

// split takes confirmations and other mails apart.
func split(mails []casedb.QueuedMail) (confirmations, others []casedb.QueuedMail) {
	for _, m := range mails {
		if m.Confirmation {
			confirmations = append(confirmations, m)
		} else {
			others = append(others, m)
		}
	}
	return confirmations, others
}

// byTime sorts what was predicted.
func byTime(done []predicted) []predicted {
	slices.SortStableFunc(done, func(a, b predicted) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	return done
}

// turn is a message that waits for its turn.
type turn struct {
	casedb.QueuedMail
	delay reason.Code
}

// turns is a heap of them, the longest due first.
type turns []turn

// Len implements heap.Interface.
func (t turns) Len() int { return len(t) }

// Less implements heap.Interface.
func (t turns) Less(i, j int) bool {
	return cmp.Or(t[i].Due.Compare(t[j].Due), cmp.Compare(t[i].MessageID, t[j].MessageID)) < 0
}

// Swap implements heap.Interface.
func (t turns) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface; nothing is pushed.
func (t *turns) Push(any) { panic(errors.ErrUnsupported) }

// Pop implements heap.Interface.
func (t *turns) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}
