package casedb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// A digest is one mail with the letters of several cases, for a contact whose
// entry in the directory asks for it. It is a message of its own, without a
// case, written when its first attempt begins. The letters in it stay messages
// of their cases, name it, and become what it becomes: sent, failed or bounced.

// PurposeDigest is a mail that carries letters of several cases.
const PurposeDigest Purpose = "digest"

// Letter is a message with its case, both locked.
type Letter struct {
	Message Message
	Case    Case
}

// wantsDigest is the condition that message m may wait for a digest: its
// contact asks for one. A victim of an attack hears at once, and a letter that
// was on its way by itself goes on so.
const wantsDigest = `(m.purpose = 'notification' and m.raw is null and exists (select 1 from contact k join directory_entry d on d.id = k.directory_id
	join cases c on c.id = m.case_id where k.id = m.contact_id and d.digest and c.kind <> 'backscatter'))`

// LockDigestLetters locks the letters that may go in one mail with a due
// message whose contact asks for digests: itself, and what else is due to the
// same address in the same language. At most limit, in order of their cases.
func (t *Tx) LockDigestLetters(ctx context.Context, id int64, limit int, now time.Time) ([]Letter, error) {
	var ids []int64
	err := t.q.SelectContext(ctx, &ids, `select id from (
			select m.id, m.case_id from message f join message m on lower(m.recipient) = lower(f.recipient) and m.language = f.language
			where f.id = $1 and m.state = 'queued' and m.digest_id is null and m.next_attempt_at <= $2 and `+wantsDigest+`
			order by m.id <> $1, m.next_attempt_at, m.id limit $3) due order by case_id`, id, now, limit)
	if err != nil {
		return nil, fail("find letters of a digest", err)
	}
	letters := make([]Letter, 0, len(ids))
	for _, id := range ids {
		m, c, err := t.LockDueMessage(ctx, id, now)
		switch {
		case errors.Is(err, ErrStale):
		case err != nil:
			return nil, err
		default:
			letters = append(letters, Letter{m, *c})
		}
	}
	return letters, nil
}

// LockLetters locks the letters of a locked digest with their cases, in order
// of case.
func (t *Tx) LockLetters(ctx context.Context, digestID int64) ([]Letter, error) {
	var ids []int64
	if err := t.q.SelectContext(ctx, &ids, `select id from message where digest_id = $1 order by case_id, id`, digestID); err != nil {
		return nil, fail("find letters of a digest", err)
	}
	letters := make([]Letter, 0, len(ids))
	for _, id := range ids {
		m, c, err := t.lockMessage(ctx, id, 0)
		if err != nil {
			return nil, err
		}
		if m.DigestID != nil && *m.DigestID == digestID {
			letters = append(letters, Letter{m, *c})
		}
	}
	return letters, nil
}

// BeginDigest is BeginAttempt for a digest: it records that its locked letters
// are on their way with it. What their subjects and texts are is kept with
// them.
func (t *Tx) BeginDigest(ctx context.Context, digest *Message, letters []Letter, next, now time.Time) error {
	if err := t.BeginAttempt(ctx, digest, next, now); err != nil {
		return err
	}
	for i := range letters {
		m := &letters[i].Message
		err := t.q.GetContext(ctx, m, `update message set attempts = attempts + 1, next_attempt_at = $2, digest_id = $3, subject = $4, body = $5,
			template = $6, version = version + 1 where id = $1 and state = 'queued' and attempts = $7 and coalesce(digest_id, $3) = $3
			and not `+heldAsControl+`$8) returning `+messageColumns, m.ID, next, digest.ID, m.Subject, m.Body, m.Template, m.Attempts, now)
		if err = fail("put a letter into a digest", err); err != nil {
			if isNotFound(err) {
				return fmt.Errorf("put message %d into a digest: %w", m.ID, ErrStale)
			}
			return err
		}
		if err := t.settle(ctx, *m, now); err != nil {
			return err
		}
	}
	return nil
}

// DissolveDigest gives up a locked digest that is due again, because not all of
// its letters are right any more. The letters that wait are on their own again;
// if a server may have taken the digest, a coordinator has to decide about them.
func (t *Tx) DissolveDigest(ctx context.Context, digest Message, letters []Letter, why reason.List, now time.Time) error {
	if err := t.cancelLocked(ctx, digest, nil, ActorSystem, why, now); err != nil {
		return err
	}
	var doubt bool
	if err := t.q.GetContext(ctx, &doubt, `select exists (select 1 from message_attempt where message_id = $1
		and outcome in ('unknown','delivering'))`, digest.ID); err != nil {
		return fail("look whether a digest arrived", err)
	}
	for _, l := range letters {
		m := l.Message
		if m.State != MessageQueued && m.State != MessageHeld {
			continue
		}
		// One that surely did not arrive is as if it had never been tried.
		if _, err := t.q.ExecContext(ctx, `update message set digest_id = null, attempts = case when $2 then attempts else 0 end,
			next_attempt_at = case state when 'queued' then $3::timestamptz end, version = version + 1 where id = $1`, m.ID, doubt, now); err != nil {
			return fail("take a letter out of a digest", err)
		}
		if doubt && m.State == MessageQueued {
			if err := t.holdLocked(ctx, m, &l.Case, ActorSystem, reason.Of(reason.InDoubt), now); err != nil {
				return err
			}
		}
	}
	return nil
}

// FailDigest fails a locked due digest that must not be sent, with the letters
// that wait in it.
func (t *Tx) FailDigest(ctx context.Context, digest Message, letters []Letter, waiting Waiting, why reason.List, now time.Time) error {
	for _, l := range letters {
		if l.Message.State != MessageQueued {
			continue
		}
		if err := t.FailDue(ctx, l.Message, &l.Case, waiting, why, now); err != nil {
			return err
		}
	}
	if err := t.FailDue(ctx, digest, nil, waiting, why, now); err != nil {
		return err
	}
	return t.freeHeld(ctx, digest.ID)
}

// freeHeld takes the letters that were held meanwhile out of a digest that has
// ended: approved, they go by themselves.
func (t *Tx) freeHeld(ctx context.Context, digestID int64) error {
	_, err := t.q.ExecContext(ctx, `update message set digest_id = null, version = version + 1 where digest_id = $1 and state = 'held'
		and exists (select 1 from message d where d.id = $1 and d.state <> 'queued')`, digestID)
	return fail("take held letters out of a digest", err)
}

// inboundOfDigest lets a mail about a digest take effect on its letters: a
// bounce, a delay or an automatic reply is about all of them. What a person
// wrote or has to look at waits to be filed.
func (t *Tx) inboundOfDigest(ctx context.Context, in Inbound, digest *Message, suppress reason.List, plan BouncePlan, now time.Time) error {
	if in.Personal() || in.Class == InboundFeedback || in.Class == InboundChallenge {
		return nil
	}
	letters, err := t.LockLetters(ctx, digest.ID)
	if err != nil {
		return err
	}
	for _, l := range letters {
		if !slices.Contains([]MessageState{MessageSent, MessageQueued, MessageBounced}, l.Message.State) {
			continue
		}
		in.MessageID, in.CaseID = &l.Message.ID, &l.Case.ID
		if in.Class == InboundBounce && in.Trusted {
			if err := t.messageBounced(ctx, in, &l.Message, suppress, now); err != nil {
				return err
			}
		}
		if err := t.inboundEvent(ctx, in, &l.Case, &l.Message, suppress, plan, now); err != nil {
			return err
		}
	}
	return t.freeHeld(ctx, digest.ID)
}

// DigestLetter is a letter of a digest, with the names that readers of the digest use.
type DigestLetter struct {
	DigestID  int64  `db:"digest_id"`
	MessageID int64  `db:"message_id"`
	CaseID    int64  `db:"case_id"`
	Number    string `db:"number"`
}

// DigestLetters returns the letters of digests, in order of case number.
func (q *Queries) DigestLetters(ctx context.Context, digests ...int64) ([]DigestLetter, error) {
	if len(digests) == 0 {
		return nil, nil
	}
	var list []DigestLetter
	err := q.q.SelectContext(ctx, &list, `select m.digest_id, m.id as message_id, c.id as case_id, c.number from message m join cases c on c.id = m.case_id
		where m.digest_id = any($1)`, pq.Array(digests))
	slices.SortFunc(list, func(a, b DigestLetter) int { return cmp.Compare(a.Number, b.Number) })
	return list, fail("list the letters of digests", err)
}
