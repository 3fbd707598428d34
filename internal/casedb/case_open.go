package casedb

import (
	"context"
	"net/netip"
	"time"

	"github.com/lib/pq"
)

// CandidateFilter says which sources become cases.
type CandidateFilter struct {
	Kind      Kind
	Since     time.Time      // last seen at or after it
	Countries []string       // of the network, ISO 3166 in capitals
	Prefixes  []netip.Prefix // or inside one of these
	// IgnoredSince is how long an ignored case speaks for its sources: those
	// of a case ignored at or after it open no new one.
	IgnoredSince time.Time
}

// CaseCandidate is a source that belongs in a case and is in none, or that is in
// the owner's live case and in none of its letters.
type CaseCandidate struct {
	Source    Addr      `db:"source"`
	VerdictID int64     `db:"verdict_id"`
	Malware   string    `db:"malware"`
	Rule      string    `db:"rule"`
	Rejudged  bool      `db:"rejudged"` // judged so when nothing new was seen
	Last      time.Time `db:"last_at"`
	NetworkID int64     `db:"network_id"`
	// Untold is a source that is in the case: it joined when the words of the
	// letter under way were settled already, and nothing is under way now.
	Untold bool `db:"untold"`
}

// inConstituency says that source s of verdict v, in network n, is ours to look
// after. Where the directory does not say in which country a prefix is, the
// source's own counts, and a source of unknown country is taken for ours: a coordinator
// entered a contact for it.
const inConstituency = `(n.country = any($4::text[]) or v.source <<= any($5::inet[])
	or n.country = '' and n.directory_id is not null and $4::text[] <> '{}' and (s.country = any($4::text[]) or ` + countryUnknown + `))`

// countryUnknown says that the country of source s is unknown.
const countryUnknown = `s.country !~ '^[A-Z]{2}$' or s.country = 'ZZ'`

// candidateFrom finds the sources through the index verdict_kind: judged to be
// of the kind, of whom the owner may be told, seen lately, in a known and current
// network of the constituency, and in no case that speaks for them. A closed
// case speaks until the source is seen again, and the live case of a former
// owner until it is seen in the hands of the present one.
const candidateFrom = ` from verdict v join source s on s.address = v.source join network n on n.id = s.network_id
	where v.kind = $1 and v.last_at >= $2 and ` + accused + `
	and n.superseded_at is null and n.expires_at > $3
	and ` + inConstituency + `
	and not exists (select 1 from case_source cs join cases c on c.id = cs.case_id where cs.source = v.source
		and c.kind = v.kind and (c.state not in ('closed','ignored') and (c.owner_id = n.owner_id or v.last_at < n.fetched_at)
			or c.closed_at >= v.last_at or (c.state = 'ignored' and c.closed_at >= $6)))`

// untoldFrom finds the untold sources. A case that waits for a contact, or that
// a coordinator has to decide about before anybody was told anything, is left
// out: whatever is written for it will cover them.
const untoldFrom = ` from cases c join case_source cs on cs.case_id = c.id
	join verdict v on v.source = cs.source and v.kind = c.kind and ` + accused + `
	join source s on s.address = v.source join network n on n.id = s.network_id and n.owner_id = c.owner_id
	where c.kind = $1 and c.state not in ('closed','ignored') and v.last_at >= $2
	and n.superseded_at is null and n.expires_at > $3
	and ` + inConstituency + `
	and c.waiting <> 'contact' and (c.waiting = '' or exists (select 1 from message m where m.case_id = c.id
		and m.purpose = 'notification' and m.sent_at is not null))
	and exists (select 1 from message m where m.case_id = c.id and m.purpose = 'notification')
	and not exists (select 1 from message m where m.case_id = c.id and m.purpose = 'notification' and m.state in ('held','queued'))
	and not exists (select 1 from message m join message_source ms on ms.message_id = m.id
		where m.case_id = c.id and ms.source = cs.source)`

func (f CandidateFilter) args(now time.Time) []any {
	return []any{f.Kind, f.Since, now, pq.Array(f.Countries), prefixTexts(f.Prefixes), f.IgnoredSince}
}

// CandidateOwners returns at most limit owners that have candidates.
func (q *Queries) CandidateOwners(ctx context.Context, f CandidateFilter, limit int, now time.Time) ([]int64, error) {
	var ids []int64
	err := q.q.SelectContext(ctx, &ids, `select n.owner_id`+candidateFrom+`
		union select n.owner_id`+untoldFrom+` limit $7`, append(f.args(now), limit)...)
	return ids, fail("find owners with candidates", err)
}

// LockCandidates returns at most limit candidates of one owner, in order of
// address, and keeps other openers from the owner until the transaction ends.
func (t *Tx) LockCandidates(ctx context.Context, f CandidateFilter, ownerID int64, limit int, now time.Time) ([]CaseCandidate, error) {
	// The lock of OpenOrJoinCase. The query must come after it, as a statement
	// of its own, to see what an opener before us committed.
	if _, err := t.q.ExecContext(ctx, `select pg_advisory_xact_lock($1, $2)`, lockOpenCase, int32(ownerID)); err != nil {
		return nil, fail("lock owner", err)
	}
	var c []CaseCandidate
	const columns = `select v.source, v.id as verdict_id, v.malware, v.rule, v.last_at, s.network_id,
		coalesce(v.evidence->'notes' @> '["` + NoteRejudged + `"]', false) as rejudged, `
	err := t.q.SelectContext(ctx, &c, columns+`false as untold`+candidateFrom+` and n.owner_id = $8
		union all `+columns+`true`+untoldFrom+` and n.owner_id = $8 order by source limit $7`, append(f.args(now), limit, ownerID)...)
	return c, fail("find candidates", err)
}

// SourcesWithoutNetwork returns at most limit sources that could become cases
// but have no current network and no lookup under way: those in the
// constituency by their own country or prefix, and those whose country is
// unknown.
func (q *Queries) SourcesWithoutNetwork(ctx context.Context, f CandidateFilter, limit int, now time.Time) ([]netip.Addr, error) {
	var rows []Addr
	err := q.q.SelectContext(ctx, &rows, `select v.source from verdict v join source s on s.address = v.source
		where v.kind = $1 and v.last_at >= $2 and `+accused+`
		and (`+countryUnknown+` or s.country = any($4::text[]) or v.source <<= any($5::inet[]))
		and not exists (select 1 from network n where n.id = s.network_id and n.superseded_at is null and n.expires_at > $3)
		and not exists (select 1 from owner_lookup l where l.address = v.source and (l.state = 'due'
			or (l.state = 'failed' and l.next_attempt_at > $3)))
		limit $6`, f.Kind, f.Since, now, pq.Array(f.Countries), prefixTexts(f.Prefixes), limit)
	if err != nil {
		return nil, fail("find sources without network", err)
	}
	addrs := make([]netip.Addr, len(rows))
	for i, a := range rows {
		addrs[i] = a.Addr
	}
	return addrs, nil
}

// NotificationState is the opener's view of a case's mails.
type NotificationState struct {
	UnderWay bool       `db:"under_way"` // a notification is held or queued
	LastSent *time.Time `db:"last_sent"`
	// Recovered: there is one, in whatever state, that the case has recovered.
	Recovered bool `db:"recovered"`
}

// NotificationState returns the state of a case's notifications.
func (q *Queries) NotificationState(ctx context.Context, caseID int64) (NotificationState, error) {
	var s NotificationState
	err := q.q.GetContext(ctx, &s, `select coalesce(bool_or(state in ('held','queued')), false) as under_way,
		max(sent_at) as last_sent, coalesce(bool_or(reason = 'recovered'), false) as recovered from message where case_id = $1 and purpose = 'notification'`, caseID)
	return s, fail("get notification state", err)
}

// PolicyModes returns the mode of every rule that has one.
func (q *Queries) PolicyModes(ctx context.Context) (map[string]RuleMode, error) {
	policies, err := q.RulePolicies(ctx)
	if err != nil {
		return nil, err
	}
	modes := make(map[string]RuleMode, len(policies))
	for _, p := range policies {
		modes[p.Rule] = p.Mode
	}
	return modes, nil
}

// MoveCase moves a locked case whose event another method has written, such as
// InsertMessage. It changes nothing if the case is there already.
func (t *Tx) MoveCase(ctx context.Context, c *Case, state CaseState, waiting Waiting, now time.Time) error {
	if c.State == state && c.Waiting == waiting {
		return nil
	}
	return t.setCase(ctx, c, state, waiting, now)
}
