package casedb

import (
	"context"
	"net/netip"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// NoteRejudged is the note of a verdict that was reached by judging again what
// was judged before. Notifications that follow from it wait for a coordinator.
const NoteRejudged = "rejudged"

// JudgedBatches returns at most limit judged batches whose windows begin at or
// after since, in order of window and id, from behind the last one of the page
// before (nil: from the start).
func (q *Queries) JudgedBatches(ctx context.Context, since time.Time, after *BatchRef, limit int) ([]BatchRef, error) {
	from, id := since.UTC(), int64(0)
	if after != nil {
		from, id = after.Window.UTC(), after.ID
	}
	var refs []BatchRef
	err := q.q.SelectContext(ctx, &refs, `select `+of("b", batchRefColumns)+`, s.name as sensor
		from batch b join sensor s on s.id = b.sensor_id
		where b.judged_at is not null and b.standing = 'counted' and (b.window_start, b.id) > ($1, $2) order by b.window_start, b.id limit $3`, from, id, limit)
	for i := range refs {
		refs[i].Window = refs[i].Window.UTC()
	}
	return refs, fail("judged batches", err)
}

// CurrentVerdicts returns the verdicts in force of the sources.
func (q *Queries) CurrentVerdicts(ctx context.Context, sources []netip.Addr) ([]Verdict, error) {
	var list []Verdict
	err := q.q.SelectContext(ctx, &list, `select `+verdictColumns+`
		from verdict where superseded_at is null and source = any($1::inet[])`, addrTexts(sources))
	return list, fail("current verdicts", err)
}

// KindSource is a source with the kind that it was, or is, judged to be.
type KindSource struct {
	Source netip.Addr
	Kind   Kind
}

// kindTexts are the addresses and the kinds of a list, as the parameters of an
// unnest.
func kindTexts(list []KindSource) (addrs, kinds pq.StringArray) {
	addrs, kinds = make(pq.StringArray, len(list)), make(pq.StringArray, len(list))
	for i, s := range list {
		addrs[i], kinds[i] = s.Source.Unmap().WithZone("").String(), string(s.Kind)
	}
	return addrs, kinds
}

// clearedCases finds the live cases that hold a source which is cleared of
// their kind, the parameters $1 and $2, and no other of that kind whose owner
// may be told.
const clearedCases = ` from cases c where c.state not in ('closed','ignored')
	and exists (select 1 from case_source cs join unnest($1::inet[], $2::text[]) as x (source, kind) on x.source = cs.source
		where cs.case_id = c.id and x.kind = c.kind)
	and not exists (select 1 from case_source cs join verdict v on v.source = cs.source and v.kind = c.kind and ` + accused + `
		where cs.case_id = c.id and not exists (select 1 from unnest($1::inet[], $2::text[]) as x (source, kind)
			where x.source = cs.source and x.kind = c.kind))`

// RejudgeEffect is the effect of new verdicts on cases.
type RejudgeEffect struct {
	// Closed cases hold nothing any more that their owner must be told; with
	// Attention of them an owner has been told, so a coordinator must look.
	Closed, Attention int
	// Opened cases would be new: owners with sources to tell and no live case of
	// their kind.
	Opened int
	// Unknown sources would open cases, but their owners are not known yet.
	Unknown int
}

// RejudgeEffect says what it would do if the cleared sources were no longer to
// be told about and the accused ones were.
func (q *Queries) RejudgeEffect(ctx context.Context, cleared, accused []KindSource) (e RejudgeEffect, err error) {
	addrs, kinds := kindTexts(cleared)
	if err = q.q.QueryRowxContext(ctx, `select count(*), count(*) filter (where c.state not in ('new','open'))`+clearedCases,
		addrs, kinds).Scan(&e.Closed, &e.Attention); err != nil {
		return e, fail("cases of cleared sources", err)
	}
	addrs, kinds = kindTexts(accused)
	err = q.q.QueryRowxContext(ctx, `select count(distinct (n.owner_id, a.kind)) filter (where n.id is not null and not exists (select 1 from cases c
				where c.owner_id = n.owner_id and c.kind = a.kind and c.state not in ('closed','ignored'))),
			count(*) filter (where n.id is null)
		from unnest($1::inet[], $2::text[]) as a (source, kind) left join source s on s.address = a.source
		left join network n on n.id = s.network_id and n.superseded_at is null`, addrs, kinds).Scan(&e.Opened, &e.Unknown)
	return e, fail("cases of accused sources", err)
}

// SettleRejudged deals with the live cases of sources that new verdicts have
// cleared of their kind, after these were saved: a case that holds nothing else is ignored and
// its waiting messages canceled, unless its owner was told already: then a
// coordinator must look.
func (t *Tx) SettleRejudged(ctx context.Context, cleared []KindSource, ruleset string, now time.Time) error {
	addrs, kinds := kindTexts(cleared)
	var ids pq.Int64Array
	if err := t.q.GetContext(ctx, &ids, `select coalesce(array_agg(c.id order by c.id), '{}')`+clearedCases, addrs, kinds); err != nil {
		return fail("cases of cleared sources", err)
	}
	for _, id := range ids {
		c, err := t.LockCase(ctx, id)
		if err != nil {
			return err
		}
		why := reason.Of(reason.Rejudged, ruleset)
		switch {
		case !c.State.Live():
		case c.State == CaseNew || c.State == CaseOpen:
			err = t.IgnoreCase(ctx, &c, ActorSystem, why, now)
		default:
			err = t.ChangeCase(ctx, &c, CaseChange{Waiting: WaitFor(WaitingAttention),
				Event: CaseEvent{Kind: EventNote, Actor: ActorSystem, Why: why}}, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// HoldQueued holds the case's queued notification, if there is one: it would
// tell of a source that came from judging again.
func (t *Tx) HoldQueued(ctx context.Context, caseID int64, by string, why reason.List, now time.Time) error {
	var list []Message
	if err := t.q.SelectContext(ctx, &list, `select id, version from message
		where case_id = $1 and purpose = 'notification' and state = 'queued'`, caseID); err != nil {
		return fail("find queued notification", err)
	}
	for _, m := range list {
		if err := t.HoldMessage(ctx, m.ID, m.Version, by, why, now); err != nil {
			return err
		}
	}
	return nil
}
