package casedb

import (
	"context"
	"time"

	"github.com/lib/pq"

	"teiten/internal/reason"
)

// heldForRule is the condition that message m is a letter that waits for nothing
// but the leave of its rules. A coordinator who has edited a letter decides about
// it.
const heldForRule = `m.state = 'held' and m.purpose = 'notification' and not m.edited and m.hold_why <> '[]' and not exists (
	select from jsonb_array_elements(m.hold_why) r where r->>'code' not in ('` + string(reason.RuleHolds) + `','` + string(reason.RuleFirst) + `'))`

// automaticRules are the rules whose letters go on their own.
func (q *Queries) automaticRules(ctx context.Context) (pq.StringArray, error) {
	var rules pq.StringArray
	err := q.q.GetContext(ctx, &rules, `select coalesce(array_agg(rule), '{}') from rule_policy where mode = 'automatic'`)
	return rules, fail("list automatic rules", err)
}

// CountHeldForRules returns, for each automatic rule, how many letters are still held
// only because their rules held them when they were written. A letter with a
// source of a rule that is not automatic is not among them.
func (q *Queries) CountHeldForRules(ctx context.Context) (map[string]int, error) {
	automatic, err := q.automaticRules(ctx)
	if err != nil || len(automatic) == 0 {
		return nil, err
	}
	var rows []struct {
		Rule string `db:"rule"`
		N    int    `db:"n"`
	}
	err = q.q.SelectContext(ctx, &rows, `select rule, count(*) as n from message m, unnest(m.rules) rule
		where `+heldForRule+` and m.rules <@ $1 group by rule`, automatic)
	counts := make(map[string]int, len(rows))
	for _, r := range rows {
		counts[r.Rule] = r.N
	}
	return counts, fail("count letters held for rules", err)
}

// HeldForRule returns at most limit of the letters that CountHeldForRules counts for
// the rule, the oldest first.
func (q *Queries) HeldForRule(ctx context.Context, rule string, limit int) ([]int64, error) {
	automatic, err := q.automaticRules(ctx)
	if err != nil {
		return nil, err
	}
	var ids []int64
	err = q.q.SelectContext(ctx, &ids, `select m.id from message m where `+heldForRule+` and m.rules <@ $1 and $2 = any(m.rules)
		order by m.id limit $3`, automatic, rule, limit)
	return ids, fail("list letters held for a rule", err)
}

// LockHeldForRule locks a letter and its live case. ErrState if the letter does not
// wait for the leave of its rules alone any more.
func (t *Tx) LockHeldForRule(ctx context.Context, id int64) (Message, Case, error) {
	m, c, err := t.lockMessage(ctx, id, 0)
	if err != nil {
		return m, Case{}, err
	}
	var waits bool
	if err := t.q.GetContext(ctx, &waits, `select `+heldForRule+` from message m where m.id = $1`, id); err != nil {
		return m, Case{}, fail("look why a letter is held", err)
	}
	if !waits || c == nil || !c.State.Live() {
		return m, Case{}, wrongState(m, "release")
	}
	return m, *c, nil
}

// ReleaseMessage queues a held letter without an approval: the sender decides about
// it as about any other, and nothing is overruled.
func (t *Tx) ReleaseMessage(ctx context.Context, m Message, c *Case, at time.Time, by string, now time.Time) error {
	if m.State != MessageHeld {
		return wrongState(m, "release")
	}
	if err := t.moveMessages(ctx, "release message", messageMove{To: MessageQueued}, at, m.ID); err != nil {
		return err
	}
	ch := CaseChange{Event: CaseEvent{Kind: EventQueued, Actor: by, MessageID: &m.ID,
		Data: JSON[EventData]{EventData{Contact: m.Recipient, Reason: m.Reason}}}}
	if c.State == CaseNew {
		ch.State = CaseOpen
	}
	if err := t.decided(ctx, c, &ch); err != nil {
		return err
	}
	return t.ChangeCase(ctx, c, ch, now)
}

// KeepHeld says why a held letter is held now.
func (t *Tx) KeepHeld(ctx context.Context, m Message, why reason.List, now time.Time) error {
	if _, err := t.q.ExecContext(ctx, `update message set hold_why = $2, version = version + 1 where id = $1 and state = 'held'`, m.ID, cleaned(why)); err != nil {
		return fail("keep message held", err)
	}
	return t.noteRules(ctx, m.ID, ScopeOf(m, now))
}
