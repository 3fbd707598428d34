package casedb

import (
	"context"
	"time"
)

// CaseSourceRow is a source of a case with the verdict that brought it there
// and what it is judged now.
type CaseSourceRow struct {
	Verdict
	JoinedAt            time.Time `db:"joined_at"`
	Country             string    `db:"country"`
	LastSeen            time.Time `db:"last_seen"`
	CurrentKind         Kind      `db:"current_kind"` // empty: no verdict in force
	CurrentAcknowledged string    `db:"current_acknowledged"`
	OtherOwner          string    `db:"other_owner"` // the present owner of the address, if it is not the case's owner
}

// TimelineEvent is a case event as the timeline shows it. The sources that one
// actor joined at one moment are one line, with Data.Count of them.
type TimelineEvent struct {
	CaseEvent
	// Of the message or inbound mail the event is about; empty without.
	MessageSubject string       `db:"message_subject"`
	MessageBody    string       `db:"message_body"`
	MessageState   MessageState `db:"message_state"`
	InboundClass   InboundClass `db:"inbound_class"`
	InboundSender  string       `db:"inbound_sender"`
	InboundSubject string       `db:"inbound_subject"`
	InboundText    string       `db:"inbound_text"`
	InboundStatus  string       `db:"inbound_status"`
	InboundHard    bool         `db:"inbound_hard"`
	InboundTrusted bool         `db:"inbound_trusted"`
	RemoteTicket   string       `db:"remote_ticket"`

	InboundFiles JSON[InboundFiles] `db:"inbound_files"`
	// InboundMatchedBy is how the mail was matched to the case. For one matched
	// without our token, InboundHead is how its bytes begin and InboundEnvelope
	// its envelope sender.
	InboundMatchedBy string `db:"inbound_matched_by"`
	InboundHead      []byte `db:"inbound_head"`
	InboundEnvelope  string `db:"inbound_envelope"`
	InboundAuth      string `db:"inbound_auth"` // what our own mail server found about its sender
}

// CasePage is everything that the page of a case shows besides its sources and
// timeline.
type CasePage struct {
	Case     Case
	Owner    Owner
	Contact  *Contact  // nil: no contact
	Contacts []Contact // all that are known for the owner, best first
	Networks []Network // of the case's sources, without the raw answers
	Messages []Message // newest first, without the bytes sent
	Attempts []Attempt // of Messages, newest first
	Tickets  []CaseTicket
	Files    []MessageFile // of Messages, without their contents
	Sources  int           // at most CountLimit+1
}

// The bounds of a case page.
const (
	pageContacts = 50
	pageNetworks = 20
	pageMessages = 50
	pageAttempts = 100
	pageTickets  = 20
	pageFiles    = 100
)

// CasePage returns the data of the page of the case with the number.
func (q *Queries) CasePage(ctx context.Context, number string) (CasePage, error) {
	var p CasePage
	var err error
	if p.Case, err = q.CaseByNumber(ctx, Clean(number, 64)); err != nil {
		return p, err
	}
	id := p.Case.ID
	err = q.q.GetContext(ctx, &p.Owner, `select `+ownerColumns+` from owner where id = $1`, p.Case.OwnerID)
	if err != nil {
		return p, fail("get owner of case", err)
	}
	// The case's contact comes with the others even when it is retired.
	err = q.q.SelectContext(ctx, &p.Contacts, `select `+contactColumns+`
		from contact where (owner_id = $1 and retired_at is null) or id = $2
		order by rank, id limit $3`, p.Case.OwnerID, p.Case.ContactID, pageContacts)
	if err != nil {
		return p, fail("list contacts of case", err)
	}
	for i := range p.Contacts {
		if p.Case.ContactID != nil && p.Contacts[i].ID == *p.Case.ContactID {
			p.Contact = &p.Contacts[i]
		}
	}
	err = q.q.SelectContext(ctx, &p.Networks, `select `+networkSummary+`
		from network n where n.id in (select s.network_id from
			(select source from case_source where case_id = $1 order by source limit $2) few
			join source s on s.address = few.source)
		order by n.first_address, n.id limit $3`, id, CountLimit+1, pageNetworks)
	if err != nil {
		return p, fail("list networks of case", err)
	}
	err = q.q.SelectContext(ctx, &p.Messages, `select `+messageListed+`
		from message where case_id = $1 order by id desc limit $2`, id, pageMessages)
	if err != nil {
		return p, fail("list messages of case", err)
	}
	err = q.q.SelectContext(ctx, &p.Attempts, `select m.id as message_id, a.n, a.started_at, a.finished_at, a.outcome, a.code, a.enhanced,
			a.response
		from message m join message_attempt a on a.message_id in (m.id, m.digest_id)
		where m.case_id = $1 order by a.started_at desc limit $2`, id, pageAttempts)
	if err != nil {
		return p, fail("list attempts of case", err)
	}
	if p.Files, err = q.CaseFiles(ctx, id, pageFiles); err != nil {
		return p, err
	}
	if p.Tickets, err = q.CaseTickets(ctx, id, pageTickets); err != nil {
		return p, err
	}
	err = q.q.GetContext(ctx, &p.Sources, `select count(*) from (select 1 from case_source where case_id = $1 limit $2) few`,
		id, CountLimit+1)
	return p, fail("count sources of case", err)
}

// Timeline returns at most limit lines of a case's timeline before the event
// with the id (0: from the newest), newest first, and whether there are older
// ones.
func (q *Queries) Timeline(ctx context.Context, caseID, before int64, limit int) (lines []TimelineEvent, more bool, err error) {
	// Events of one transaction have one time, so joined sources group by it.
	err = q.q.SelectContext(ctx, &lines, `with few as materialized (
			select max(id) as id, min(id) as first, at, actor, count(*) as n from case_event
			where case_id = $1 and kind = 'source-joined'
			group by at, actor having $2::bigint = 0 or max(id) < $2 order by 1 desc limit $3
		), page as materialized (
			(select `+eventColumns+` from case_event
				where case_id = $1 and kind <> 'source-joined' and ($2::bigint = 0 or id < $2) order by id desc limit $3)
			union all
			select id, $1, at, 'source-joined', actor, null, null, (select string_agg(text, ' ' order by e.id) from
					(select id, text from case_event where case_id = $1 and id between few.first and few.id
					and kind = 'source-joined' and at = few.at and actor = few.actor order by id limit 8) e), '[]'::jsonb,
				jsonb_build_object('count', n) from few
			order by id desc limit $3
		)
		select `+of("p", eventColumns)+`,
			coalesce(m.subject, '') as message_subject, coalesce(m.body, '') as message_body, coalesce(m.state, '') as message_state,
			coalesce(i.class, '') as inbound_class, coalesce(i.sender, '') as inbound_sender,
			coalesce(i.subject, '') as inbound_subject, coalesce(i.text, '') as inbound_text,
			coalesce(i.status, '') as inbound_status, coalesce(i.hard, false) as inbound_hard,
			coalesce(i.trusted, false) as inbound_trusted, coalesce(i.remote_ticket, '') as remote_ticket,
			coalesce(i.attachments, '{}') as inbound_files,
			coalesce(i.matched_by, '') as inbound_matched_by, coalesce(i.envelope_from, '') as inbound_envelope, coalesce(i.auth, '') as inbound_auth,
			case when i.matched_by in ('subject','header') then substring(i.raw from 1 for 16384) end as inbound_head
		from page p left join message m on m.id = p.message_id left join inbound i on i.id = p.inbound_id
		order by p.id desc`, caseID, before, limit+1)
	if err != nil {
		return nil, false, fail("read timeline", err)
	}
	if len(lines) > limit {
		return lines[:limit], true, nil
	}
	return lines, false, nil
}

// CaseSourceRows returns at most limit sources of a case in order of address,
// after the given one (the zero Addr: from the start), with their verdicts.
func (q *Queries) CaseSourceRows(ctx context.Context, caseID int64, after Addr, limit int) ([]CaseSourceRow, error) {
	var rows []CaseSourceRow
	err := q.q.SelectContext(ctx, &rows, `select `+of("v", verdictColumns)+`,
			few.joined_at, s.country, s.last_at as last_seen, coalesce(n.kind, '') as current_kind,
			coalesce(n.acknowledged, '') as current_acknowledged, coalesce(other.name, '') as other_owner
		from (select source, verdict_id, joined_at from case_source
			where case_id = $1 and ($2::inet is null or source > $2::inet) order by source limit $3) few
		join verdict v on v.id = few.verdict_id
		join source s on s.address = few.source
		left join verdict n on n.source = few.source and n.superseded_at is null
		left join network w on w.id = s.network_id and w.superseded_at is null
		left join owner other on other.id = w.owner_id and other.id <> (select owner_id from cases where id = $1)
		order by few.source`, caseID, after, limit)
	return rows, fail("list sources of case", err)
}

// PageMark is a moment that the chart of a case marks.
type PageMark struct {
	At   time.Time `db:"at"`
	Kind EventKind `db:"kind"`
}

// CaseMarks returns the moments of a case's mails and answers from the time
// on, oldest first, at most limit.
func (q *Queries) CaseMarks(ctx context.Context, caseID int64, from time.Time, limit int) ([]PageMark, error) {
	var marks []PageMark
	err := q.q.SelectContext(ctx, &marks, `select at, kind from case_event where case_id = $1 and at >= $2
		and kind in ('opened','message-sent','bounce','reply','autoreply','closed') order by id limit $3`, caseID, from, limit)
	return marks, fail("list marks of case", err)
}
