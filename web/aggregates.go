package web

import (
	"context"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/explain"
)

// aggregatesPage is the data of view aggregates.
type aggregatesPage struct {
	Query url.Values
	Rows  []casedb.Aggregate
	Kinds []casedb.AggregateKind
	Tabs  tabCounts
	Next  string
	Bad   string // key of the line that says which filter was not understood
}

// aggregatePage is the data of view aggregate.
type aggregatePage struct {
	Aggregate casedb.Aggregate
	Words     string
	Sources   []casedb.SourceRow // of a campaign
	Next      string             // URL of more sources, empty: none
	Chart     template.HTML
	ChartRows []chartRow
}

// aggregates lists what many sources together show.
func (s *Server) aggregates(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	data := aggregatesPage{Kinds: casedb.AggregateKinds, Query: url.Values{}}
	var f casedb.AggregateFilter
	if k := casedb.AggregateKind(q.Get("kind")); slices.Contains(casedb.AggregateKinds, k) {
		f.Kind = k
		data.Query.Set("kind", string(k))
	}
	if text := casedb.CleanLine(q.Get("victim"), 64); text != "" {
		data.Query.Set("victim", text)
		a, err := netip.ParseAddr(text)
		if err != nil {
			data.Bad = "invalid.oneaddress"
		}
		f.Victim = a.Unmap().WithZone("")
	}
	var err error
	if data.Tabs, err = s.tabCounts(r.Context()); err != nil {
		return err
	}
	if data.Bad != "" {
		return s.render(w, r, v, http.StatusUnprocessableEntity, "aggregates", data)
	}
	var after casedb.AggregateCursor
	after.Last, after.ID = parseCursor(q.Get("after"))
	rows, more, err := s.db.ListAggregates(r.Context(), f, after, pageSize)
	if err != nil {
		return err
	}
	data.Rows = rows
	if more {
		last := rows[len(rows)-1]
		data.Next = listURL("/aggregates", data.Query, "after", cursorText(last.Last, last.ID))
	}
	return s.render(w, r, v, http.StatusOK, "aggregates", data)
}

// aggregate shows one event: what, when and how much, and why it is one.
func (s *Server) aggregate(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	a, err := s.db.Aggregate(r.Context(), id)
	if err != nil {
		return err
	}
	hours, err := s.aggregateHours(r.Context(), &a)
	if err != nil {
		return err
	}
	chart := Chart{Title: v.p.T("aggregate." + string(a.Kind)), Hours: hours}
	data := aggregatePage{Aggregate: a, Words: explain.Aggregate(&a, v.p.Lang()), Chart: chart.SVG(v.p), ChartRows: chart.Rows(v.p)}
	if a.Kind == casedb.AggregateCampaign {
		var after casedb.Addr
		if behind, err := netip.ParseAddr(r.URL.Query().Get("behind")); err == nil {
			after.Addr = behind.Unmap().WithZone("")
		}
		var more bool
		if data.Sources, more, err = s.db.CampaignSources(r.Context(), &a, after, pageSize); err != nil {
			return err
		}
		if more {
			data.Next = listURL(r.URL.Path, nil, "behind", data.Sources[pageSize-1].Source.String()) + "#sources"
		}
	}
	return s.render(w, r, v, http.StatusOK, "aggregate", data)
}

// aggregateHours returns the packets per hour of a flood or of a victim; a
// campaign's are not kept.
func (s *Server) aggregateHours(ctx context.Context, a *casedb.Aggregate) ([]casedb.PacketHour, error) {
	if a.Kind == casedb.AggregateVictim {
		return s.db.PacketHours(ctx, []netip.Addr{a.Victim.Addr}, a.First.Add(-time.Hour), a.Last.Add(time.Hour))
	}
	var hours []casedb.PacketHour
	for _, h := range a.Hours.V {
		hours = append(hours, casedb.PacketHour{At: h.At, Packets: h.Packets})
	}
	return hours, nil
}
