package casedb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Finding is an owner's finding at a source, or at the sources of a case, as a
// coordinator recorded it.
type Finding struct {
	ID        int64          `db:"id" json:"id"`
	CaseID    int64          `db:"case_id" json:"-"`
	Number    string         `db:"number" json:"case"`     // of the case
	Source    Addr           `db:"source" json:"source"`   // not valid: of the case as a whole
	InboundID *int64         `db:"inbound_id" json:"-"`    // the mail that says so
	Result    string         `db:"result" json:"result"`   // FindingResults
	Device    string         `db:"device" json:"device"`   // FindingDevices, or empty
	Product   string         `db:"product" json:"product"` // Windows Server
	Version   string         `db:"version" json:"version"` // 2008 R2
	Support   string         `db:"support" json:"support"` // FindingSupport, or empty: not known
	Malware   string         `db:"malware" json:"malware"` // as the owner's product names it, or a family
	Entry     string         `db:"entry" json:"entry"`     // FindingEntries, or empty: not known
	Actions   pq.StringArray `db:"actions" json:"actions"` // FindingActions
	Note      string         `db:"note" json:"note"`       // one or two sentences
	Withdrawn bool           `db:"withdrawn" json:"-"`     // what it replaces was wrong, and nothing is in its place
	CreatedAt time.Time      `db:"created_at" json:"at"`
	CreatedBy string         `db:"created_by" json:"by"`
	Replaces  *int64         `db:"replaces" json:"replaces"` // the finding that it corrects
	TLP       TLP            `db:"tlp" json:"tlp"`           // the case's own label; empty: as configured
}

// The closed lists of findings, as in the CHECK constraints of the table.
var (
	FindingResults = []string{"infected", "misused", "misconfigured", "nothing", "unknown"}
	FindingDevices = []string{"windows-server", "windows", "linux", "nas", "router", "camera", "iot", "other"}
	FindingSupport = []string{"supported", "ended"}
	FindingEntries = []string{"exposed-port", "unpatched", "weak-password", "vpn", "mobile-line", "mail", "usb", "other"}
	FindingActions = []string{"cleaned", "reinstalled", "patched", "port-closed", "disconnected", "replaced", "password", "none"}
)

// check cleans a finding and refuses what is in none of the lists.
func (f *Finding) check() error {
	f.Product, f.Version = CleanLine(f.Product, 100), CleanLine(f.Version, 60)
	f.Malware, f.Note = CleanLine(f.Malware, 100), Clean(f.Note, 2000)
	in := func(list []string, value string) bool { return value == "" || slices.Contains(list, value) }
	if f.Result == "" || !in(FindingResults, f.Result) || !in(FindingDevices, f.Device) || !in(FindingSupport, f.Support) || !in(FindingEntries, f.Entry) {
		return fmt.Errorf("finding: %w", ErrState)
	}
	for _, a := range f.Actions {
		if !slices.Contains(FindingActions, a) {
			return fmt.Errorf("finding: action %q: %w", CleanLine(a, 40), ErrState)
		}
	}
	slices.Sort(f.Actions)
	f.Actions = slices.Compact(f.Actions)
	if f.Actions == nil {
		f.Actions = pq.StringArray{}
	}
	return nil
}

// FindingCodes is what the event of a finding holds of it: codes of the closed
// lists, and names as the owner gave them.
type FindingCodes struct {
	Result  string   `json:"result"`
	Device  string   `json:"device,omitempty"`
	Product string   `json:"product,omitempty"`
	Version string   `json:"version,omitempty"`
	Support string   `json:"support,omitempty"`
	Malware string   `json:"malware,omitempty"`
	Entry   string   `json:"entry,omitempty"`
	Actions []string `json:"actions,omitempty"`
}

// codes are what the event of the finding holds.
func (f *Finding) codes() *FindingCodes {
	return &FindingCodes{Result: f.Result, Device: f.Device, Product: f.Product, Version: f.Version, Support: f.Support, Malware: f.Malware,
		Entry: f.Entry, Actions: f.Actions}
}

// Line is the codes in one line, for programs that read the timeline.
func (f *FindingCodes) Line() string {
	parts := []string{f.Result}
	for _, p := range []string{strings.TrimSpace(f.Product + " " + f.Version), f.Malware, f.Entry, strings.Join(f.Actions, ", ")} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "; ")
}

// findingLine reads what Line writes. The text of old events is all there is of
// their findings. A name that is no code may be the product's or the malware's;
// the first one counts as the product's.
func findingLine(line string) *FindingCodes {
	parts := strings.Split(line, "; ")
	f := &FindingCodes{Result: parts[0]}
	if !slices.Contains(FindingResults, f.Result) {
		return nil
	}
	for _, part := range parts[1:] {
		actions := strings.Split(part, ", ")
		switch known := func(a string) bool { return slices.Contains(FindingActions, a) }; {
		case !slices.ContainsFunc(actions, func(a string) bool { return !known(a) }):
			f.Actions = actions
		case slices.Contains(FindingEntries, part):
			f.Entry = part
		case f.Product == "":
			f.Product = part
		default:
			f.Malware = strings.TrimPrefix(f.Malware+"; "+part, "; ")
		}
	}
	return f
}

// Found returns the finding that the event records; nil for other events, and
// for one that says nothing of it.
func (e CaseEvent) Found() *FindingCodes {
	switch {
	case e.Kind != EventFinding:
		return nil
	case e.Data.V.Finding != nil:
		return e.Data.V.Finding
	}
	return findingLine(e.Text)
}

const findingColumns = `f.id, f.case_id, c.number, f.source, f.inbound_id, f.result, f.device, f.product, f.version, f.support, f.malware, f.entry,
	f.actions, f.note, f.withdrawn, f.created_at, f.created_by, f.replaces, c.tlp`

// findingInForce says that finding f is neither replaced nor a withdrawal.
const findingInForce = `not f.withdrawn and not exists (select 1 from finding r where r.replaces = f.id)`

// AddFinding records a finding in a case that is as the coordinator saw it, or
// what replaces one. ErrConflict if that was replaced already, ErrNotFound if it
// is another case's. A source must be the case's.
func (t *Tx) AddFinding(ctx context.Context, version int, f Finding, by string, now time.Time) (Finding, error) {
	c, err := t.LockCaseVersion(ctx, f.CaseID, version)
	if err != nil {
		return f, err
	}
	if f.Withdrawn {
		if f.Replaces == nil {
			return f, fmt.Errorf("withdraw no finding: %w", ErrState)
		}
		f = Finding{CaseID: f.CaseID, Result: "unknown", Withdrawn: true, Replaces: f.Replaces}
	}
	if err := f.check(); err != nil {
		return f, err
	}
	if f.Replaces != nil {
		var of int64
		if err := t.q.GetContext(ctx, &of, `select case_id from finding where id = $1 and not withdrawn`, *f.Replaces); err != nil {
			return f, fail("find the finding to replace", err)
		}
		if of != c.ID {
			return f, fmt.Errorf("finding %d: %w", *f.Replaces, ErrNotFound)
		}
	}
	var source *string
	if f.Source.IsValid() {
		text := f.Source.String()
		source = &text
		var there bool
		if err := t.q.GetContext(ctx, &there, `select true from case_source where case_id = $1 and source = $2`, c.ID, f.Source); err != nil {
			return f, fail("find the source of the finding", err)
		}
	}
	if f.InboundID != nil {
		var there bool
		if err := t.q.GetContext(ctx, &there, `select true from inbound where id = $1 and case_id = $2`, *f.InboundID, c.ID); err != nil {
			return f, fail("find the mail of the finding", err)
		}
	}
	err = t.q.GetContext(ctx, &f.ID, `insert into finding (case_id, source, inbound_id, result, device, product, version, support, malware, entry,
			actions, note, withdrawn, created_at, created_by, replaces)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) returning id`,
		c.ID, source, f.InboundID, f.Result, f.Device, f.Product, f.Version, f.Support, f.Malware, f.Entry, f.Actions, f.Note, f.Withdrawn, now, by, f.Replaces)
	if err != nil {
		return f, fail("add finding", err)
	}
	f.CreatedAt, f.CreatedBy = now, by
	event := CaseEvent{Kind: EventFinding, Actor: by, InboundID: f.InboundID}
	if f.Withdrawn {
		event.Kind = EventFindingWithdrawn
	} else {
		event.Data.V.Finding = f.codes()
	}
	return f, t.ChangeCase(ctx, &c, CaseChange{Event: event}, now)
}

// CaseFindings returns the findings of a case in force, the newest first.
func (q *Queries) CaseFindings(ctx context.Context, caseID int64, limit int) ([]Finding, error) {
	var list []Finding
	err := q.q.SelectContext(ctx, &list, `select `+findingColumns+` from finding f join cases c on c.id = f.case_id
		where f.case_id = $1 and `+findingInForce+` order by f.id desc limit $2`, caseID, limit)
	return list, fail("list findings of case", err)
}

// Findings returns at most limit findings in force that were recorded from
// (inclusive) to (exclusive), with ids above after, the oldest first.
func (q *Queries) Findings(ctx context.Context, from, to time.Time, after int64, limit int) ([]Finding, error) {
	var list []Finding
	err := q.q.SelectContext(ctx, &list, `select `+findingColumns+` from finding f join cases c on c.id = f.case_id
		where f.created_at >= $1 and f.created_at < $2 and f.id > $3 and `+findingInForce+` order by f.id limit $4`, from.UTC(), to.UTC(), after, limit)
	return list, fail("list findings", err)
}

// FindingCount is how many findings, of how many cases, say one thing.
type FindingCount struct {
	Field    string `db:"field" json:"field"` // result, device, product, support, malware, entry or action
	Value    string `db:"value" json:"value"` // empty: not known
	Findings int    `db:"findings" json:"findings"`
	Cases    int    `db:"cases" json:"cases"`
}

// CountFindings counts the findings in force that were recorded from
// (inclusive) to (exclusive), field by field, the most frequent first. A
// finding with several actions counts in each.
func (q *Queries) CountFindings(ctx context.Context, from, to time.Time) ([]FindingCount, error) {
	var list []FindingCount
	err := q.q.SelectContext(ctx, &list, `with chosen as materialized (select f.* from finding f
			where f.created_at >= $1 and f.created_at < $2 and `+findingInForce+`)
		select field, value, count(*) as findings, count(distinct case_id) as cases from (
			select f.case_id, v.field, v.value, v.place from chosen f cross join lateral (values (1, 'result', f.result), (2, 'device', f.device),
				(3, 'product', trim(f.product || ' ' || f.version)), (4, 'support', f.support), (5, 'malware', f.malware), (6, 'entry', f.entry)) as v (place, field, value)
			union all
			select f.case_id, 'action', a, 7 from chosen f cross join lateral unnest(f.actions) as a
		) x group by place, field, value order by place, findings desc, value limit 2000`, from.UTC(), to.UTC())
	return list, fail("count findings", err)
}
