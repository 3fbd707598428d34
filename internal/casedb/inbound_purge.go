package casedb

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// InboundPurged is the state of a mail of which nothing is left but that it came,
// and who purged it when and why.
const InboundPurged InboundState = "purged"

// purged makes inbound rows tombstones: by $2, because of $3, at $4.
const purged = `update inbound set state = 'purged', purged_by = $2, purge_why = $3, purged_at = $4, raw = '', envelope_from = '', sender = '',
	reply_to = '', recipient = '', subject = '', text = '', header_id = '', remote_ticket = '', ticket_tag = '', attachments = '{}',
	last_error = '', auth = '' where state <> 'purged' and `

// PurgeInbound takes everything out of mails that their writers wrote, also out of
// the timelines of their cases, and adds to those who did it and why. It returns
// how many mails there were.
func (t *Tx) PurgeInbound(ctx context.Context, ids []int64, by string, why reason.List, now time.Time) (int, error) {
	if by == "" || len(why) == 0 {
		return 0, fmt.Errorf("purge inbound mail: no user or no reason: %w", ErrState)
	}
	var gone []int64
	if err := t.q.SelectContext(ctx, &gone, purged+`id = any($1) returning id`, pq.Array(ids), CleanLine(by, 200), why, now); err != nil {
		return 0, fail("purge inbound mail", err)
	}
	var events []CaseEvent
	err := t.q.SelectContext(ctx, &events, `select distinct case_id, inbound_id from case_event where inbound_id = any($1) order by case_id, inbound_id`, pq.Array(gone))
	if err != nil {
		return 0, fail("find the events of purged mail", err)
	}
	// The events that people wrote about a mail stay: its words are in these kinds.
	if _, err := t.q.ExecContext(ctx, `update case_event set text = '', actor = '-', data = data - 'contact' - 'ticket'
		where inbound_id = any($1) and kind = any($2)`, pq.Array(gone), pq.Array(ofMail)); err != nil {
		return 0, fail("purge the words of inbound mail", err)
	}
	if _, err := t.q.ExecContext(ctx, `delete from case_ticket where inbound_id = any($1)`, pq.Array(gone)); err != nil {
		return 0, fail("purge the ticket of inbound mail", err)
	}
	for _, e := range events {
		if err := t.AddEvent(ctx, CaseEvent{CaseID: e.CaseID, At: now, Kind: EventNote, Actor: by, InboundID: e.InboundID, Why: why}); err != nil {
			return 0, err
		}
	}
	return len(gone), nil
}

// ofMail are the kinds of events that hold words of a mail.
var ofMail = []EventKind{EventBounce, EventForged, EventDelay, EventAutoReply, EventChallenge, EventFeedback, EventReply}

// ExpireInbound purges at most limit mails that belong to no case and came before
// the time, the oldest first, and returns how many.
func (q *Queries) ExpireInbound(ctx context.Context, before time.Time, limit int, now time.Time) (int, error) {
	res, err := q.q.ExecContext(ctx, purged+`id in (select id from inbound where state in ('processed','failed') and `+unfiled+`
		and received_at < $1 order by received_at limit $5 for update skip locked)`, before, ActorSystem, reason.Of(reason.PurgedOld), now, limit)
	if err != nil {
		return 0, fail("purge old unmatched mail", err)
	}
	n, err := res.RowsAffected()
	return int(n), fail("purge old unmatched mail", err)
}

// InboundToPurge returns the mails with the ids, or from an address (in From or the
// envelope), that are not purged yet, without their raw contents; at most limit.
func (q *Queries) InboundToPurge(ctx context.Context, ids []int64, address string, limit int) ([]Inbound, error) {
	var in []Inbound
	err := q.q.SelectContext(ctx, &in, `select `+inboundListed+` from inbound where state <> 'purged'
		and (id = any($1) or $2 <> '' and $2 in (lower(sender), lower(envelope_from))) order by id limit $3`, pq.Array(ids), BaseAddress(address), limit)
	return in, fail("find inbound mail to purge", err)
}
