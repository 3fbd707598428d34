package casedb

import (
	"context"
	"slices"
	"strings"
	"time"

	"teiten/internal/reason"
)

// settingSendStopped is the global stop switch: true, and no mail leaves.
const settingSendStopped = "send-stopped"

// SwitchChange is one line of the history of a switch: the stop switch, how far
// a rule's letters go on their own, or the suppression of an address.
type SwitchChange struct {
	ID     int64     `db:"id"`
	Name   string    `db:"name"`  // "sending", "rule worm445", "suppression noc@isp.example"
	Value  string    `db:"value"` // "stopped", "on", a rule's mode, or "lifted"
	At     time.Time `db:"at"`
	Actor  string    `db:"actor"`
	Reason string    `db:"reason"`
}

// The stop switch in the history.
const (
	SwitchSending  = "sending"
	SendingStopped = "stopped"
	SendingOn      = "on"
)

const switchRule = "rule "

// SwitchOfRule is the name of a rule's mode in the history.
func SwitchOfRule(rule string) string { return switchRule + rule }

// The suppressions in the history. Only their ends are decisions of people.
const (
	switchSuppression = "suppression "
	SuppressionLifted = "lifted"
)

// Rule returns the rule whose mode was changed; "" for another switch.
func (c SwitchChange) Rule() string { return afterPrefix(c.Name, switchRule) }

// Address returns the address whose suppression was lifted; "" for another switch.
func (c SwitchChange) Address() string { return afterPrefix(c.Name, switchSuppression) }

func afterPrefix(s, prefix string) string {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return ""
	}
	return rest
}

// SwitchChanges returns the history of all switches, the newest change first:
// at most limit with ids below before (0: from the newest on).
func (q *Queries) SwitchChanges(ctx context.Context, before int64, limit int) ([]SwitchChange, error) {
	var c []SwitchChange
	err := q.q.SelectContext(ctx, &c, `select id, name, value, at, actor, reason from switch_change
		where $1 = 0 or id < $1 order by id desc limit $2`, before, limit)
	return c, fail("list changes of switches", err)
}

func (t *Tx) addSwitchChange(ctx context.Context, c SwitchChange) error {
	_, err := t.q.ExecContext(ctx, `insert into switch_change (name, value, at, actor, reason) values ($1, $2, $3, $4, $5)`,
		c.Name, c.Value, c.At, c.Actor, Clean(c.Reason, 2000))
	return fail("note the change of a switch", err)
}

// SetSendStopped throws the global stop switch. It waits for senders that are
// choosing a message: when it returns, no attempt begins any more.
func (d *DB) SetSendStopped(ctx context.Context, stopped bool, by, reason string, now time.Time) error {
	return d.InTx(ctx, func(tx *Tx) error {
		if err := tx.LockSending(ctx); err != nil {
			return err
		}
		return tx.setSendStopped(ctx, stopped, by, reason, now)
	})
}

// setSendStopped throws the switch. The caller has locked sending.
func (t *Tx) setSendStopped(ctx context.Context, stopped bool, by, reason string, now time.Time) error {
	value := SendingOn
	if stopped {
		value = SendingStopped
	}
	if err := t.SetSetting(ctx, settingSendStopped, stopped, by, reason, now); err != nil {
		return err
	}
	return t.addSwitchChange(ctx, SwitchChange{Name: SwitchSending, Value: value, At: now, Actor: by, Reason: reason})
}

// SendStopped reports whether the global stop switch is on.
func (q *Queries) SendStopped(ctx context.Context) (bool, error) {
	var stopped bool
	err := q.q.GetContext(ctx, &stopped, `select exists (select 1 from setting where name = '`+settingSendStopped+`' and value = 'true')`)
	return stopped, fail("look at the stop switch", err)
}

// SendStop returns the stop of all mail, with user, time and reason; nil: it is not stopped.
func (q *Queries) SendStop(ctx context.Context) (*SwitchChange, error) {
	var c SwitchChange
	err := q.q.GetContext(ctx, &c, `select 0 as id, 'sending' as name, 'stopped' as value, changed_at as at,
		changed_by as actor, reason from setting where name = $1 and value = 'true'`, settingSendStopped)
	if err = fail("look at the stop switch", err); err != nil {
		if isNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	return &c, nil
}

// RuleMode says how far a rule's letters go on their own.
type RuleMode string

// The modes, as in the CHECK constraint of table rule_policy.
const (
	RuleOff         RuleMode = "off"          // of escalation alone: nothing is written
	RuleHold        RuleMode = "hold"         // a coordinator approves every letter
	RuleApproveOnce RuleMode = "approve-once" // the first to a contact; later ones go on their own
	RuleAutomatic   RuleMode = "automatic"
)

// RuleModes lists every mode, the strictest first.
var RuleModes = []RuleMode{RuleOff, RuleHold, RuleApproveOnce, RuleAutomatic}

// RuleEscalation is the rule for writing to another contact if an owner does
// not answer. It judges nothing; a letter needs its leave and that of the
// rules that its sources were judged by.
const RuleEscalation = "escalation"

// ModesOf returns the modes that a rule can have. The first is that of a rule
// without a setting.
func ModesOf(rule string) []RuleMode {
	if rule == RuleEscalation {
		return RuleModes
	}
	return RuleModes[1:] // to switch a rule off is to hold its letters
}

// RulePolicy is the mode of one rule, with the user who set it and the reason.
type RulePolicy struct {
	Rule      string    `db:"rule"`
	Mode      RuleMode  `db:"mode"`
	ChangedAt time.Time `db:"changed_at"`
	ChangedBy string    `db:"changed_by"`
	Reason    string    `db:"reason"`
}

// RulePolicies returns the rules that have a mode; all other rules hold their
// letters.
func (q *Queries) RulePolicies(ctx context.Context) ([]RulePolicy, error) {
	var p []RulePolicy
	err := q.q.SelectContext(ctx, &p, `select rule, mode, changed_at, changed_by, reason from rule_policy order by rule`)
	return p, fail("list rule policies", err)
}

// SetRulePolicy sets a rule's mode and keeps the change in the history.
func (d *DB) SetRulePolicy(ctx context.Context, p RulePolicy) error {
	return d.InTx(ctx, func(tx *Tx) error {
		_, err := tx.q.ExecContext(ctx, `insert into rule_policy (rule, mode, changed_at, changed_by, reason)
			values ($1, $2, $3, $4, $5) on conflict (rule) do update set mode = excluded.mode,
			changed_at = excluded.changed_at, changed_by = excluded.changed_by, reason = excluded.reason`,
			p.Rule, p.Mode, p.ChangedAt, p.ChangedBy, p.Reason)
		if err != nil {
			return fail("set rule policy", err)
		}
		return tx.addSwitchChange(ctx, SwitchChange{Name: SwitchOfRule(p.Rule), Value: string(p.Mode), At: p.ChangedAt,
			Actor: p.ChangedBy, Reason: p.Reason})
	})
}

// RuleLeave says which rules' letters may go to a contact on their own.
type RuleLeave struct {
	Modes    map[string]RuleMode // rules that are missing hold
	Approved []string            // rules of letters to the contact that a person approved and that were sent
}

// Holds returns why a letter about sources of these rules must not go on its
// own, or nothing.
func (l RuleLeave) Holds(rules ...string) reason.List {
	var why reason.List
	for _, r := range rules {
		switch {
		case l.Modes[r] == RuleAutomatic:
		case l.Modes[r] == RuleApproveOnce:
			if !slices.Contains(l.Approved, r) {
				why = reason.Of(reason.RuleFirst)
			}
		default:
			return reason.Of(reason.RuleHolds)
		}
	}
	return why
}

// RuleLeave returns which rules' letters may go to an owner's contact on their
// own. A letter whose case turned out to be none earned nothing.
func (q *Queries) RuleLeave(ctx context.Context, ownerID int64, email string) (RuleLeave, error) {
	modes, err := q.PolicyModes(ctx)
	if err != nil {
		return RuleLeave{}, err
	}
	l := RuleLeave{Modes: modes}
	err = q.q.SelectContext(ctx, &l.Approved, `select distinct unnest(m.rules) from message m join cases c on c.id = m.case_id
		where lower(m.recipient) = lower($2) and c.owner_id = $1 and c.state <> 'ignored' and m.purpose = 'notification'
		and m.state = 'sent' and m.approved_by <> ''`, ownerID, email)
	return l, fail("find what was approved for the contact", err)
}

// RuleRecord has the results of the letters of one rule. A letter that tells of
// several rules' sources counts for each.
type RuleRecord struct {
	Rule     string `db:"rule"`
	Approved int    `db:"approved"` // as they were composed
	Edited   int    `db:"edited"`   // approved or sent in a coordinator's words
	Canceled int    `db:"canceled"` // by a person
	Wrong    int    `db:"wrong"`    // answered or complained about, and the case ignored after that
	Alone    int    `db:"alone"`    // sent without anybody's approval
}

// RuleRecords returns, from the events of the letters written since, how the
// letters of each rule fared.
func (q *Queries) RuleRecords(ctx context.Context, since time.Time) ([]RuleRecord, error) {
	var r []RuleRecord
	err := q.q.SelectContext(ctx, &r, `with letter as (
			select m.id, m.case_id, m.rules, m.edited, m.sent_at, m.approved_by <> '' as approved,
				m.state = 'canceled' and exists (select 1 from case_event e where e.case_id = m.case_id and e.message_id = m.id
					and e.kind = 'message-canceled' and e.actor <> $2 and not e.why @> '[{"code":"contact-changed"}]') as canceled,
				m.sent_at is not null and exists (select 1 from case_event e join case_event i on i.case_id = e.case_id and i.id > e.id
					where e.case_id = m.case_id and e.at >= m.sent_at and e.kind in ('reply','feedback') and i.kind = 'ignored') as wrong
			from message m where m.purpose = 'notification' and m.created_at >= $1)
		select rule, count(*) filter (where approved and not edited) as approved,
			count(*) filter (where edited and not canceled) as edited, count(*) filter (where canceled) as canceled,
			count(*) filter (where wrong) as wrong,
			count(*) filter (where sent_at is not null and not approved) as alone
		from letter, unnest(rules) as rule group by rule order by rule`, since, ActorSystem)
	return r, fail("count what became of the rules' letters", err)
}
