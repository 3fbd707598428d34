package casedb

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// CaseTicket is the ticket that the subjects of a case's mails to an address name:
// the ticket that the other side gave to the case.
type CaseTicket struct {
	CaseID    int64     `db:"case_id"`
	Address   string    `db:"address"`
	Tag       string    `db:"tag"` // empty: taken away by a coordinator
	InboundID *int64    `db:"inbound_id"`
	SetBy     string    `db:"set_by"` // empty: read from the inbound mail
	SetAt     time.Time `db:"set_at"`
}

const ticketColumns = `case_id, address, tag, inbound_id, set_by, set_at`

// CaseTickets returns at most limit tickets of a case, the latest first.
func (q *Queries) CaseTickets(ctx context.Context, caseID int64, limit int) ([]CaseTicket, error) {
	var c []CaseTicket
	err := q.q.SelectContext(ctx, &c, `select `+ticketColumns+` from case_ticket where case_id = $1
		order by set_at desc, address limit $2`, caseID, limit)
	return c, fail("list tickets of case", err)
}

// TicketTag returns the tag that the subject of a mail of the case to the address
// names; "" for nothing.
func (q *Queries) TicketTag(ctx context.Context, caseID int64, address string) (string, error) {
	var tag string
	err := q.q.GetContext(ctx, &tag, `select tag from case_ticket where case_id = $1 and address = $2`, caseID, BaseAddress(address))
	if err = fail("get ticket", err); isNotFound(err) {
		return "", nil
	}
	return tag, err
}

// keepTicket keeps the ticket that an inbound mail of a case names, for its
// sender and for whom the answered message m went to. A mail that anybody who
// knows the case's number can have written gives none, and a person's decision
// stays. A number that only the text names does not replace another.
func (t *Tx) keepTicket(ctx context.Context, in Inbound, c *Case, m *Message, now time.Time) error {
	if in.TicketTag == "" || in.MatchedBy == MatchedBySubject || (in.Class != InboundAutoReply && in.Class != InboundHuman) {
		return nil
	}
	addresses := map[string]bool{BaseAddress(in.Sender): true}
	if m != nil {
		addresses[BaseAddress(m.Recipient)] = true
	}
	for address := range addresses {
		if address == "" {
			continue
		}
		_, err := t.q.ExecContext(ctx, `insert into case_ticket as k (`+ticketColumns+`) values ($1, $2, $3, $4, '', $5)
			on conflict (case_id, address) do update set tag = excluded.tag, inbound_id = excluded.inbound_id, set_at = excluded.set_at
			where k.set_by = '' and k.tag <> excluded.tag and $6`, c.ID, address, CleanLine(in.TicketTag, 100), in.ID, now,
			strings.Contains(in.Subject, in.RemoteTicket))
		if err != nil {
			return fail("keep ticket", err)
		}
	}
	return nil
}

// SetTicket makes a tag the one that the subjects of a case's mails to an
// address name, or takes it away if it is empty. ErrState for an address that
// the case has nothing to do with.
func (t *Tx) SetTicket(ctx context.Context, c *Case, address, tag, by string, now time.Time) error {
	address, tag = BaseAddress(address), CleanLine(tag, 100)
	var known bool
	err := t.q.GetContext(ctx, &known, `select exists (select 1 from case_ticket where case_id = $1 and address = $2)
		or exists (select 1 from message where case_id = $1 and lower(recipient) = $2)
		or exists (select 1 from contact where id = $3 and lower(email) = $2)`, c.ID, address, c.ContactID)
	if err != nil {
		return fail("look for the ticket's address", err)
	}
	if !known || address == "" {
		return fmt.Errorf("ticket of %q in case %s: %w", address, c.Number, ErrState)
	}
	_, err = t.q.ExecContext(ctx, `insert into case_ticket (`+ticketColumns+`) values ($1, $2, $3, null, $4, $5)
		on conflict (case_id, address) do update set tag = excluded.tag, inbound_id = null, set_by = excluded.set_by, set_at = excluded.set_at`,
		c.ID, address, tag, by, now)
	if err != nil {
		return fail("set ticket", err)
	}
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: EventTicket, Actor: by, Text: tag,
		Data: JSON[EventData]{EventData{Contact: CleanLine(address, 254), Ticket: tag}}}}, now)
}
