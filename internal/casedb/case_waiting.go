package casedb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"teiten/internal/reason"
)

// MayBeSeen reports whether reading is all that a case asks for. A held letter
// waits until it is decided about, and a case without a contact until it has one,
// however often a coordinator has looked at them.
func (w Waiting) MayBeSeen() bool {
	return w != WaitingNone && w != WaitingApproval && w != WaitingContact
}

// SeenCase ends what a case waits for because a coordinator has read it: the
// reply, the bounce, the complaint. A case waits for one thing at a time, and a
// later thing stands before an earlier one, so the case then waits for whatever
// is left. ErrState if reading is not enough.
func (t *Tx) SeenCase(ctx context.Context, c *Case, by string, now time.Time) error {
	if !c.Waiting.MayBeSeen() {
		return fmt.Errorf("mark case %s as seen, which waits for %q: %w", c.Number, c.Waiting, ErrState)
	}
	left, err := t.leftToDo(ctx, c, c.Waiting)
	if err != nil {
		return err
	}
	return t.ChangeCase(ctx, c, CaseChange{Waiting: &left, Event: CaseEvent{Kind: EventNote, Actor: by, Why: reason.Of(reason.Seen),
		Data: JSON[EventData]{EventData{Reason: string(c.Waiting)}}}}, now)
}

// decided is the part of a change that says that the case's held letter was decided
// about. A letter can be held again after a reply came, and stood before it then.
func (t *Tx) decided(ctx context.Context, c *Case, ch *CaseChange) error {
	if c.Waiting != WaitingApproval {
		return nil
	}
	var others bool // corrections to several addresses are decided about one by one
	if err := t.q.GetContext(ctx, &others, `select exists (select from message where case_id = $1 and reason = $2 and state = 'held')`, c.ID, ReasonCorrection); err != nil {
		return fail("look for corrections", err)
	}
	if others {
		return nil
	}
	left, err := t.leftToDo(ctx, c, WaitingApproval)
	ch.Waiting = &left
	return err
}

// leftToDo returns the thing that a locked case waits for besides done, which a
// coordinator has dealt with. It is read from the case's events since the case
// last ended, and since the coordinator last marked the thing as seen. A note
// of before the reason was kept with it has none, and counts for all of them.
func (t *Tx) leftToDo(ctx context.Context, c *Case, done Waiting) (Waiting, error) {
	var left []Waiting
	err := t.q.SelectContext(ctx, &left, `with event as (
			select e.id, e.kind, e.why, e.message_id, coalesce(e.data->>'reason', '') as reason,
				e.kind = 'note' and e.why @> '[{"code":"`+string(reason.Seen)+`"}]' as seen
			from case_event e where e.case_id = $1
				and e.id > (select coalesce(max(id), 0) from case_event where case_id = $1 and kind in ('closed','ignored'))),
		mark as (select coalesce(max(id) filter (where seen and reason in ('', 'attention')), 0) as attention,
				coalesce(max(id) filter (where seen and reason in ('', 'reply') or kind = 'message-queued' and exists (
					select from message m where m.id = event.message_id and m.purpose = 'answer')), 0) as reply,
				coalesce(max(id) filter (where seen and reason in ('', 'bounce', 'failed')), 0) as bounce
			from event),
		last as (select id, state from message where case_id = $1 and purpose = 'notification' order by id desc limit 1)
		select 'attention' from event, mark where event.id > mark.attention
			and (kind in ('feedback','returned','escalation-ended','acknowledged') or kind = 'note' and why @> '[{"code":"`+string(reason.Rejudged)+`"}]')
		union all select 'reply' from event, mark where event.id > mark.reply
			and (kind = 'reply' or kind like 'owner-%' and kind not in ('owner-pause','owner-language','owner-tell'))
		union all select 'approval' from message where case_id = $1 and ($2 or reason = '`+ReasonCorrection+`') and state = 'held'
		union all select 'contact' from cases c where c.id = $1 and $2 and (c.contact_id is null
			or exists (select from contact k where k.id = c.contact_id and k.retired_at is not null)
				and not exists (select from message m where m.case_id = $1 and m.purpose = 'notification' and m.sent_at is not null))
		union all select case last.state when 'failed' then 'failed' else 'bounce' end from event, mark, last
			where $2 and last.state in ('failed','bounced') and event.id > mark.bounce and event.message_id = last.id
			and event.kind in ('message-failed','bounce')`, c.ID, c.State.Live())
	if err != nil {
		return WaitingNone, fail("look at what a case waits for", err)
	}
	for _, w := range []Waiting{WaitingAttention, WaitingReply, WaitingApproval, WaitingContact, WaitingFailed, WaitingBounce} {
		if w != done && slices.Contains(left, w) {
			return w, nil
		}
	}
	return WaitingNone, nil
}
