package casework_test

import (
	"context"
	"testing"
	"time"

	"teiten/internal/casedb"

	"teiten/internal/reason"
)

// approve releases a held message, and sends it.
func (d *desk) approve(id int64) {
	d.t.Helper()
	m, err := d.db.Message(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, id, m.Version, "taro", d.now)
	})
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
}

// TestTheFirstMailIsApproved: to a contact that nobody has written to, and of
// a rule that has to earn it; what follows goes on its own.
func TestTheFirstMailIsApproved(t *testing.T) {
	t.Parallel()
	for mode, hold := range map[casedb.RuleMode]string{
		casedb.RuleAutomatic: "contact-first", casedb.RuleApproveOnce: "rule-first"} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.mode(mode)
			d.see("192.0.2.10")
			d.open()
			d.want(messagesText, "held first abuse@isp.example ["+hold+"] ja")
			d.approve(1)
			d.now = d.now.Add(48 * time.Hour)
			d.see("192.0.2.11")
			d.open()
			d.want(`select format('%s %s [%s]', state, reason, coalesce(hold_why->0->>'code', '')) from message where id = 2`, "queued new-sources []")
			// Another rule has earned nothing yet.
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
			d.exec(`insert into rule_policy (rule, mode, changed_at, changed_by, reason) values ('mirai', 'approve-once', $1, 'lead', 'test')`, d.now)
			d.now = d.now.Add(48 * time.Hour)
			d.see("192.0.2.12")
			d.exec(`update verdict set rule = 'mirai' where source = '192.0.2.12'`)
			d.open()
			d.want(`select format('%s %s [%s]', state, reason, coalesce(hold_why->0->>'code', '')) from message where id = 3`,
				"held new-sources [rule-first]")
		})
	}
}

// TestWhatWasWrongEarnsNothing: a case that was ignored after its letter is no
// reason to let the next one go.
func TestWhatWasWrongEarnsNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.mode(casedb.RuleApproveOnce)
	d.see("192.0.2.10")
	d.open()
	d.approve(1)
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
		c, err := tx.LockCase(ctx, 1)
		if err != nil {
			return err
		}
		return tx.IgnoreCase(ctx, &c, "taro", reason.Typed("not infected"), d.now)
	})
	d.now = d.now.Add(48 * time.Hour)
	d.see("192.0.2.11")
	d.open()
	d.want(`select format('%s %s [%s]', state, reason, coalesce(hold_why->0->>'code', '')) from message where purpose = 'notification' and id > 1`,
		"held first [rule-first]")
}
