package casedb

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/lib/pq"
)

// CaseFilter says which cases a list shows. The zero filter is every case, the
// last changed first.
type CaseFilter struct {
	OnlyWaiting bool    // those that wait for a coordinator, longest first
	Waiting     Waiting // for one reason; implies OnlyWaiting
	Control     bool    // those held as controls
	State       CaseState
	Kind        Kind
	// Text is a case number ("TT-2026-000123" or "123"), an address, a prefix,
	// or a part of the owner's name.
	Text string
}

// Queue reports whether the list is in the order of waiting.
func (f CaseFilter) Queue() bool { return f.OnlyWaiting || f.Waiting != WaitingNone }

// CaseCursor is a place in a list of cases: behind the case with the id, whose
// time (waiting since, or last change) is At. The zero cursor is the start.
type CaseCursor struct {
	At time.Time
	ID int64
}

// CaseRow is a case as lists show it.
type CaseRow struct {
	Case
	OwnerName    string `db:"owner_name"`
	OwnerCountry string `db:"owner_country"`
	ContactEmail string `db:"contact_email"`
	Sources      int    `db:"sources"` // at most CountLimit+1
	FirstSource  Addr   `db:"first_source"`
	// ControlUntil is until when the case is held as a control; nil: it is none.
	ControlUntil *time.Time `db:"control_until"`
}

// CountLimit is where counts on pages end; a count above it means "more".
const CountLimit = 999

// Cursor returns the place behind the row in the list of the filter.
func (r *CaseRow) Cursor(f CaseFilter) CaseCursor {
	if f.Queue() && r.WaitingSince != nil {
		return CaseCursor{At: *r.WaitingSince, ID: r.ID}
	}
	return CaseCursor{At: r.UpdatedAt, ID: r.ID}
}

// CaseList is a page of a list of cases.
type CaseList struct {
	Rows []CaseRow
	More bool // there are rows behind the last, in the direction of reading
	// Narrowed says that the text matched so much that only a part was looked
	// at: the reader should type more.
	Narrowed bool
}

// The bounds of a search by text.
const (
	searchOwners    = 200  // owners looked up by index; above it the list is filtered instead
	searchAddresses = 2000 // sources within a prefix
)

// ListCases returns at most limit cases of the filter behind the cursor, or
// before it when back is set; always in the filter's order.
//
// Plans: the order comes from cases_queue, cases_waiting, cases_waiting_kind,
// cases_state, cases_kind or cases_updated; a text is resolved to a number,
// sources (case_source_source) or owners (cases_owner) first.
func (q *Queries) ListCases(ctx context.Context, f CaseFilter, from CaseCursor, back bool, limit int) (CaseList, error) {
	var list CaseList
	w := where{}
	key, descending := "updated_at", true
	if f.Queue() {
		key, descending = "waiting_since", false
		w.add(`c.waiting <> ''`)
	}
	if f.Waiting != WaitingNone {
		w.add(`c.waiting = ?`, f.Waiting)
	}
	if f.Control {
		w.add(`c.id in (select case_id from control_draw where arm = 'control' and ended_at is null)`)
	}
	if f.State != "" {
		w.add(`c.state = ?`, f.State)
	}
	if f.Kind != "" {
		w.add(`c.kind = ?`, f.Kind)
	}
	narrowed, none, err := q.searchCases(ctx, f.Text, &w)
	if err != nil || none {
		return list, err
	}
	list.Narrowed = narrowed
	if back {
		descending = !descending
	}
	compare, order := ">", "asc"
	if descending {
		compare, order = "<", "desc"
	}
	if from.ID != 0 {
		w.add(`(c.`+key+`, c.id) `+compare+` (?, ?)`, from.At, from.ID)
	}
	// The page's rows are chosen before anything is joined to them.
	query := `with page as materialized (select c.id, c.` + key + ` as place from cases c` + w.sql() +
		` order by c.` + key + ` ` + order + `, c.id ` + order + ` limit ` + w.arg(limit+1) + `)
		select ` + of("c", caseColumns) + `, o.name as owner_name, o.country as owner_country,
			coalesce(k.email, '') as contact_email, s.sources, s.first_source, d.until as control_until
		from page p join cases c on c.id = p.id join owner o on o.id = c.owner_id
		left join contact k on k.id = c.contact_id
		left join control_draw d on d.case_id = c.id and d.arm = 'control' and d.ended_at is null
		cross join lateral (select count(*) as sources, min(source) as first_source from
			(select source from case_source where case_id = c.id order by source limit ` + fmt.Sprint(CountLimit+1) + `) few) s
		order by p.place ` + order + `, p.id ` + order
	if err := q.q.SelectContext(ctx, &list.Rows, query, w.args...); err != nil {
		return list, fail("list cases", err)
	}
	if len(list.Rows) > limit {
		list.Rows, list.More = list.Rows[:limit], true
	}
	if back {
		for i, j := 0, len(list.Rows)-1; i < j; i, j = i+1, j-1 {
			list.Rows[i], list.Rows[j] = list.Rows[j], list.Rows[i]
		}
	}
	return list, nil
}

// searchCases adds the conditions of a text to w. None says that nothing can
// match.
func (q *Queries) searchCases(ctx context.Context, text string, w *where) (narrowed, none bool, err error) {
	text = CleanLine(text, 200)
	if text == "" {
		return false, false, nil
	}
	if numbers, err := q.caseNumbers(ctx, text); err != nil {
		return false, false, err
	} else if len(numbers) > 0 {
		w.add(`c.number = any(?)`, pq.StringArray(numbers))
		return false, false, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		w.add(`c.id in (select case_id from case_source where source = ?)`, Addr{a})
		return false, false, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		var ids []int64
		err := q.q.SelectContext(ctx, &ids, `select distinct case_id from
			(select case_id from case_source where source <<= $1 limit $2) few`, Prefix{p}, searchAddresses)
		if err != nil {
			return false, false, fail("search cases by prefix", err)
		}
		w.add(`c.id = any(?)`, pq.Int64Array(ids))
		var more int
		err = q.q.GetContext(ctx, &more, `select count(*) from (select 1 from case_source where source <<= $1
			offset $2 limit 1) few`, Prefix{p}, searchAddresses)
		return more > 0, len(ids) == 0, fail("search cases by prefix", err)
	}
	const owners = `select id from owner where strpos(lower(name), lower($1)) > 0`
	var ids []int64
	if err := q.q.SelectContext(ctx, &ids, owners+` limit $2`, text, searchOwners+1); err != nil {
		return false, false, fail("search owners", err)
	}
	if len(ids) <= searchOwners {
		w.add(`c.owner_id = any(?)`, pq.Int64Array(ids))
		return false, len(ids) == 0, nil
	}
	w.add(`c.owner_id in (select id from owner where strpos(lower(name), lower(?)) > 0)`, text)
	return false, false, nil
}

// NamesCase reports whether a text of a search is a case number or an address, so
// that its writer means one case.
func NamesCase(text string) bool {
	number := numberText(CleanLine(text, 200))
	_, err := netip.ParseAddr(text)
	return err == nil || strings.HasPrefix(number, "TT-") || isShortNumber(number)
}

func numberText(text string) string { return strings.ToUpper(strings.Trim(text, "[]# ")) }

// isShortNumber reports whether a text can be the last part of a case number.
func isShortNumber(text string) bool {
	return text != "" && len(text) <= 9 && strings.Trim(text, "0123456789") == ""
}

// caseNumbers returns the case numbers a text can mean: a whole number, or its
// last part in any year.
func (q *Queries) caseNumbers(ctx context.Context, text string) ([]string, error) {
	text = numberText(text)
	if strings.HasPrefix(text, "TT-") {
		return []string{text}, nil
	}
	if !isShortNumber(text) {
		return nil, nil
	}
	var numbers []string
	err := q.q.SelectContext(ctx, &numbers, `select 'TT-' || year || '-' || lpad($1, greatest(6, length($1)), '0')
		from case_number order by year desc limit 50`, strings.TrimLeft(text, "0"))
	return numbers, fail("list years of cases", err)
}

// CaseCounts says how many cases match a search, by what they wait for; those that
// wait for nothing stand under WaitingNone. Each is counted to CountLimit+1.
type CaseCounts map[Waiting]int

// Total returns all of them, at most CountLimit+1.
func (c CaseCounts) Total() (n int) {
	for _, k := range c {
		n = min(n+k, CountLimit+1)
	}
	return n
}

// CountCases returns how many cases the filter finds in each view, whatever view it
// is for itself.
//
// Plans: as those of ListCases, once for each thing to wait for.
func (q *Queries) CountCases(ctx context.Context, f CaseFilter) (CaseCounts, error) {
	w := where{}
	if f.State != "" {
		w.add(`c.state = ?`, f.State)
	}
	if f.Kind != "" {
		w.add(`c.kind = ?`, f.Kind)
	}
	if _, none, err := q.searchCases(ctx, f.Text, &w); err != nil || none {
		return CaseCounts{}, err
	}
	w.conditions = append(w.conditions, `c.waiting = r.waiting`)
	reasons := make(pq.StringArray, 0, len(WaitingReasons)+1)
	for _, r := range append([]Waiting{WaitingNone}, WaitingReasons...) {
		reasons = append(reasons, string(r))
	}
	var rows []struct {
		Waiting Waiting `db:"waiting"`
		N       int     `db:"n"`
	}
	query := `select r.waiting, n.n from unnest(` + w.arg(reasons) + `::text[]) as r(waiting) cross join lateral (select count(*) as n from
		(select 1 from cases c` + w.sql() + ` limit ` + w.arg(CountLimit+1) + `) few) n`
	if err := q.q.SelectContext(ctx, &rows, query, w.args...); err != nil {
		return nil, fail("count found cases", err)
	}
	counts := make(CaseCounts, len(rows))
	for _, r := range rows {
		counts[r.Waiting] = r.N
	}
	return counts, nil
}

// CountWaiting returns how many cases wait for each reason, counting to
// CountLimit+1.
func (q *Queries) CountWaiting(ctx context.Context) (CaseCounts, error) {
	var rows []struct {
		Waiting Waiting `db:"waiting"`
		N       int     `db:"n"`
	}
	reasons := make(pq.StringArray, len(WaitingReasons))
	for i, r := range WaitingReasons {
		reasons[i] = string(r)
	}
	err := q.q.SelectContext(ctx, &rows, `select r.waiting, n.n from unnest($1::text[]) as r(waiting)
		cross join lateral (select count(*) as n from
			(select 1 from cases c where c.waiting = r.waiting and c.waiting <> '' limit $2) few) n`, reasons, CountLimit+1)
	counts := make(CaseCounts, len(rows))
	for _, r := range rows {
		counts[r.Waiting] = r.N
	}
	return counts, fail("count waiting cases", err)
}

// where collects the optional conditions of a filter, with ? for arguments.
type where struct {
	conditions []string
	args       []any
}

// add adds a condition whose question marks stand for args.
func (w *where) add(condition string, args ...any) {
	for _, a := range args {
		condition = strings.Replace(condition, "?", w.arg(a), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// arg adds an argument and returns its place in the query.
func (w *where) arg(a any) string {
	w.args = append(w.args, a)
	return fmt.Sprintf("$%d", len(w.args))
}

// sql returns the where clause, empty without conditions.
func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " where " + strings.Join(w.conditions, " and ")
}
