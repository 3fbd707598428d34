package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
)

// pageSize is how many rows a list shows.
const pageSize = 50

// casesPage is the data of view cases.
type casesPage struct {
	Filter   casedb.CaseFilter
	List     casedb.CaseList
	Counts   casedb.CaseCounts // of a search what it finds, else the whole queue
	Controls int               // cases held as controls
	Tabs     []tab
	States   []casedb.CaseState
	Kinds    []casedb.Kind
	Query    url.Values
	Next     string // URL of the next page, empty: none
	Previous string
	Filtered bool
	// Elsewhere is how many cases the search finds in all views, if it finds none
	// in this one; AllURL is where they are.
	Elsewhere int
	AllURL    string
	// Contradictions are sources that need attention, with a case or without.
	Contradictions int
}

// tab is one view of the queue.
type tab struct {
	Key     string // of the catalogue
	Count   int
	URL     string
	Current bool
	Counted bool
}

// caseFilter reads a filter from a query; what it does not know is left out.
func caseFilter(q url.Values) casedb.CaseFilter {
	f := casedb.CaseFilter{Text: casedb.CleanLine(q.Get("q"), 200)}
	switch view := q.Get("view"); view {
	case "all":
	case "":
		// The queue is the home page; a search goes over all cases. The form says in
		// which view it stood, which counts if nothing is searched for.
		if f.Text == "" && q.Get("in") != "" {
			return caseFilter(url.Values{"view": {q.Get("in")}, "state": q["state"], "kind": q["kind"]})
		}
		f.OnlyWaiting = f.Text == "" && q.Get("state") == "" && q.Get("kind") == ""
	case "waiting":
		f.OnlyWaiting = true
	case viewControl:
		f.Control = true
	default:
		if slices.Contains(casedb.WaitingReasons, casedb.Waiting(view)) {
			f.Waiting = casedb.Waiting(view)
		}
	}
	if v := casedb.CaseState(q.Get("state")); slices.Contains(casedb.CaseStates, v) {
		f.State = v
	}
	if v := casedb.Kind(q.Get("kind")); slices.Contains(casedb.Kinds, v) {
		f.Kind = v
	}
	return f
}

// viewControl is the list of the control group.
const viewControl = "control"

// viewName is the value of the query's view for the filter.
func viewName(f casedb.CaseFilter) string {
	switch {
	case f.Waiting != casedb.WaitingNone:
		return string(f.Waiting)
	case f.OnlyWaiting:
		return "waiting"
	case f.Control:
		return viewControl
	}
	return "all"
}

// cursorText writes a place in a list for a URL.
func cursorText(at time.Time, id int64) string {
	return strconv.FormatInt(at.UnixMicro(), 10) + "." + strconv.FormatInt(id, 10)
}

// parseCursor reads what cursorText wrote; anything else is the start.
func parseCursor(s string) (time.Time, int64) {
	micro, id, ok := strings.Cut(s, ".")
	m, err1 := strconv.ParseInt(micro, 10, 64)
	n, err2 := strconv.ParseInt(id, 10, 64)
	// Times beyond PostgreSQL's range are in no row.
	if !ok || err1 != nil || err2 != nil || n <= 0 || m < -1<<55 || m > 1<<55 {
		return time.Time{}, 0
	}
	return time.UnixMicro(m).UTC(), n
}

// idCursor reads a place in a list that is the id of its last row; anything
// that is none is the start.
func idCursor(s string) int64 {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

// cases shows the queue, or a filtered list of all cases.
func (s *Server) cases(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	q := r.URL.Query()
	data := casesPage{Filter: caseFilter(q), States: casedb.CaseStates, Kinds: casedb.Kinds}
	if to, err := s.straightTo(ctx, q, data.Filter); err != nil {
		return err
	} else if to != "" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	back := q.Get("before") != ""
	place := q.Get("after")
	if back {
		place = q.Get("before")
	}
	at, id := parseCursor(place)
	var err error
	data.List, err = s.db.ListCases(ctx, data.Filter, casedb.CaseCursor{At: at, ID: id}, back, pageSize)
	if err != nil {
		return err
	}
	view := viewName(data.Filter)
	data.Query = url.Values{"view": {view}}
	for key, value := range map[string]string{"state": string(data.Filter.State), "kind": string(data.Filter.Kind), "q": data.Filter.Text} {
		if value != "" {
			data.Query.Set(key, value)
			data.Filtered = true
		}
	}
	if err := s.countCases(ctx, &data); err != nil {
		return err
	}
	data.Tabs = s.tabs(data, view)
	rows := data.List.Rows
	if len(rows) > 0 {
		first, last := rows[0].Cursor(data.Filter), rows[len(rows)-1].Cursor(data.Filter)
		if data.List.More || back {
			data.Next = listURL("/cases", data.Query, "after", cursorText(last.At, last.ID))
		}
		if (back && data.List.More) || (!back && id != 0) {
			data.Previous = listURL("/cases", data.Query, "before", cursorText(first.At, first.ID))
		}
	} else if data.Filtered && view != "all" && !back && id == 0 {
		data.Elsewhere, data.AllURL = data.Counts.Total(), listURL("/cases", data.Query, "view", "all")
	}
	return s.render(w, r, v, http.StatusOK, "cases", data)
}

// countCases counts the queue or, of a search, what it finds in each view.
func (s *Server) countCases(ctx context.Context, data *casesPage) (err error) {
	if data.Filtered {
		data.Counts, err = s.db.CountCases(ctx, data.Filter)
	} else {
		data.Counts, err = s.db.CountWaiting(ctx)
	}
	if err != nil {
		return err
	}
	if data.Controls, err = s.db.CountControls(ctx); err != nil {
		return err
	}
	data.Contradictions, err = s.db.CountAttention(ctx)
	return err
}

// straightTo is where a search goes without a list: to the one case with the
// number, or the one case of the address; without a case, to the page of the
// source. Empty: a list answers it, as does a tab, which names its view.
func (s *Server) straightTo(ctx context.Context, q url.Values, f casedb.CaseFilter) (string, error) {
	if f.Text == "" || q.Has("view") || f.State != "" || f.Kind != "" || q.Has("after") || q.Has("before") || !casedb.NamesCase(f.Text) {
		return "", nil
	}
	found, err := s.db.ListCases(ctx, f, casedb.CaseCursor{}, false, 1)
	if err != nil || found.More {
		return "", err
	}
	if len(found.Rows) == 1 {
		return "/cases/" + url.PathEscape(found.Rows[0].Number), nil
	}
	a, err := netip.ParseAddr(f.Text)
	if err != nil {
		return "", nil
	}
	a = a.Unmap().WithZone("")
	switch _, err := s.db.SourcePage(ctx, a); {
	case errors.Is(err, casedb.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return "/sources/" + a.String(), nil
}

// tabs are the views of the queue, each with its own address and the other
// filters kept.
func (s *Server) tabs(data casesPage, view string) []tab {
	link := func(view string) string {
		q := url.Values{}
		for key, values := range data.Query {
			q[key] = values
		}
		return listURL("/cases", q, "view", view)
	}
	waiting := 0
	for _, reason := range casedb.WaitingReasons {
		waiting = min(waiting+data.Counts[reason], casedb.CountLimit+1)
	}
	tabs := []tab{{Key: "queue.waiting", Count: waiting, URL: link("waiting"), Current: view == "waiting", Counted: true}}
	for _, reason := range casedb.WaitingReasons {
		tabs = append(tabs, tab{Key: "waiting." + string(reason), Count: data.Counts[reason], URL: link(string(reason)),
			Current: view == string(reason), Counted: true})
	}
	if data.Controls > 0 || view == viewControl {
		tabs = append(tabs, tab{Key: "queue.control", Count: data.Controls, URL: link(viewControl), Current: view == viewControl, Counted: !data.Filtered})
	}
	return append(tabs, tab{Key: "queue.all", Count: data.Counts.Total(), URL: link("all"), Current: view == "all", Counted: data.Filtered})
}

// listURL is the address of a list with one more parameter.
func listURL(path string, q url.Values, key, value string) string {
	all := url.Values{}
	for k, v := range q {
		all[k] = v
	}
	all.Set(key, value)
	return path + "?" + all.Encode()
}
