package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// sourcePage is the data of view source.
type sourcePage struct {
	casedb.SourcePage
	Verdicts     []verdictRow
	Aggregates   []casedb.Aggregate // what it is the victim or a part of
	Observations []casedb.StoredObservation
	Next         string // URL of older observations, empty: none
	Chart        template.HTML
	ChartRows    []chartRow
}

// verdictRow is a verdict with its words.
type verdictRow struct {
	casedb.Verdict
	Words words
}

// source shows one source: what it was judged, what it sent, who owns it.
func (s *Server) source(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	a, err := netip.ParseAddr(r.PathValue("address"))
	if err != nil {
		return casedb.ErrNotFound
	}
	a = a.Unmap().WithZone("")
	loaded, err := s.db.SourcePage(ctx, a)
	if err != nil {
		return err
	}
	data := sourcePage{SourcePage: loaded}
	var current *casedb.Verdict
	for i, verdict := range loaded.Verdicts {
		if verdict.SupersededAt == nil {
			current = &loaded.Verdicts[i]
		}
		data.Verdicts = append(data.Verdicts, verdictRow{Verdict: verdict, Words: verdictWords(v.p, &verdict)})
	}
	if data.Aggregates, err = s.db.SourceAggregates(ctx, a, current); err != nil {
		return err
	}
	place := parseObservationKey(r.URL.Query().Get("before"))
	data.Observations, err = s.db.SourceObservations(ctx, casedb.Addr{Addr: a}, place, pageSize+1)
	if err != nil {
		return err
	}
	if len(data.Observations) > pageSize {
		data.Observations = data.Observations[:pageSize]
		data.Next = "/sources/" + a.String() + "?before=" + url.QueryEscape(observationKeyText(data.Observations[pageSize-1].Key())) + "#observations"
	}
	from := loaded.Source.Last.Add(-chartDays * 24 * time.Hour)
	hours, err := s.db.SourceHours(ctx, casedb.Addr{Addr: a}, from, loaded.Source.Last.Add(time.Hour))
	if err != nil {
		return err
	}
	chart := Chart{Title: v.p.T("chart.source", a.String()), Hours: sumHours(hours)}
	data.Chart, data.ChartRows = chart.SVG(v.p), chart.Rows(v.p)
	return s.render(w, r, v, http.StatusOK, "source", data)
}

// sumHours adds up the ports of each hour.
func sumHours(counts []casedb.HourCount) []casedb.PacketHour {
	var hours []casedb.PacketHour
	for _, c := range counts {
		if len(hours) == 0 || !hours[len(hours)-1].At.Equal(c.Hour) {
			hours = append(hours, casedb.PacketHour{At: c.Hour})
		}
		hours[len(hours)-1].Packets += c.Packets
	}
	return hours
}

// observationKeyText writes a place in the list of observations for a URL.
func observationKeyText(k casedb.ObservationKey) string {
	return fmt.Sprintf("%d.%d.%d.%d.%s", k.Window.UnixMicro(), k.BatchID, k.Proto, k.Port, k.Class)
}

// parseObservationKey reads what observationKeyText wrote; anything else is
// the start.
func parseObservationKey(s string) *casedb.ObservationKey {
	parts := strings.SplitN(s, ".", 5)
	if len(parts) != 5 || len(s) > 200 {
		return nil
	}
	window, err1 := strconv.ParseInt(parts[0], 10, 64)
	batch, err2 := strconv.ParseInt(parts[1], 10, 64)
	proto, err3 := strconv.ParseUint(parts[2], 10, 8)
	port, err4 := strconv.ParseUint(parts[3], 10, 16)
	class, known := observation.ParseClass(parts[4])
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return nil
		}
	}
	if !known || window < -1<<55 || window > 1<<55 {
		return nil
	}
	return &casedb.ObservationKey{Window: time.UnixMicro(window).UTC(), BatchID: batch, Proto: uint8(proto), Port: uint16(port), Class: class}
}
