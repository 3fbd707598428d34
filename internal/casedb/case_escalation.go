package casedb

import (
	"context"
	"slices"
	"time"

	"github.com/lib/pq"
)

// The reasons to write to another contact if an owner does not answer, in message.reason.
const (
	ReasonEscalated = "escalated"          // another contact of the owner
	ReasonProvider  = "escalated-provider" // the owner of the network around
	ReasonCSIRT     = "escalated-csirt"    // the directory's contact for the country
)

// EscalationReasons lists them, in the order of the steps.
var EscalationReasons = []string{ReasonEscalated, ReasonProvider, ReasonCSIRT}

// IsEscalation reports whether a message is a step of an escalation.
func IsEscalation(reason string) bool { return slices.Contains(EscalationReasons, reason) }

// ForCountry reports whether the contact is the directory's for a country.
func (c Contact) ForCountry() bool { return c.DirectoryID != nil && c.Rank == rankCountry }

// EscalationState is how far the escalation of a case is.
type EscalationState struct {
	LastStep *time.Time     `db:"last_step"` // when the last step was written, sent or not
	Tried    pq.StringArray `db:"tried"`     // addresses that were written to, or refused by a coordinator, in base form
	Ended    bool           `db:"ended"`     // no contact was left
}

// EscalationState returns how far the escalation of a case is.
func (q *Queries) EscalationState(ctx context.Context, caseID int64) (EscalationState, error) {
	var s EscalationState
	err := q.q.GetContext(ctx, &s, `select max(created_at) filter (where reason = any($2)) as last_step,
			coalesce(array_agg(distinct lower(recipient)) filter (where attempts > 0 or sent_at is not null or reason = any($2)), '{}') as tried,
			exists (select 1 from case_event e where e.case_id = $1 and e.kind = 'escalation-ended') as ended
		from message where case_id = $1 and purpose = 'notification'`, caseID, pq.StringArray(EscalationReasons))
	return s, fail("get escalation", err)
}

// Provider returns another owner: that of the narrowest known network that
// contains all sources of a case that its owner was told of. ErrNotFound if no
// such network is known.
func (q *Queries) Provider(ctx context.Context, c Case, now time.Time) (int64, error) {
	var id int64
	err := q.q.GetContext(ctx, &id, `with told as (select cs.source from case_source cs where cs.case_id = $1 and `+wasTold+`)
		select n.owner_id from network_prefix p join network n on n.id = p.network_id
		where p.prefix >>= (select min(source) from told) and n.owner_id <> $2 and n.superseded_at is null and n.expires_at > $3
			and not exists (select 1 from told where source not between n.first_address and n.last_address)
		order by masklen(p.prefix) desc, n.id limit 1`, c.ID, c.OwnerID, now)
	return id, fail("find the network around", err)
}

// Escalate writes a step to a contact that had none before, about the sources
// that InsertReminder would name. It records the step in the case.
func (t *Tx) Escalate(ctx context.Context, m Message, since time.Time, actor string) (Message, error) {
	m, err := t.InsertReminder(ctx, m, since, actor)
	if err != nil {
		return m, err
	}
	return m, t.AddEvent(ctx, CaseEvent{CaseID: *m.CaseID, At: m.CreatedAt, Kind: EventEscalated, Actor: actor, MessageID: &m.ID,
		Data: JSON[EventData]{EventData{Contact: m.Recipient, Reason: m.Reason}}})
}

// EndEscalation records, once, that no contact is left: a coordinator has to
// decide.
func (t *Tx) EndEscalation(ctx context.Context, c *Case, actor string, now time.Time) error {
	return t.ChangeCase(ctx, c, CaseChange{Waiting: WaitFor(WaitingAttention), Event: CaseEvent{Kind: EventEscalationEnded, Actor: actor}}, now)
}
