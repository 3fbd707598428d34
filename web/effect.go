package web

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/cell"
	"teiten/internal/locale"
	"teiten/internal/survival"
)

const (
	effectCurves = 6 // groups drawn; the others are in the table
	effectTable  = 50
	effectDays   = 90
)

// effectMarks are the days for which shares are given.
var effectMarks = []float64{7, 14, 30}

// effectPage is the data of view effect.
type effectPage struct {
	Filter  casedb.EffectFilter
	Groups  []effectGroup
	Counts  map[casedb.FollowupState]int
	Test    *survival.Test
	Effect  *effectOf // of being told, where there is a control group
	Chart   template.HTML
	By      []casedb.EffectGroup
	Kinds   []casedb.Kind
	LeftOut int // groups that are not in the table
	Query   template.URL
}

// effectGroup is one line of the table and one curve.
type effectGroup struct {
	Name     string          `json:"name"`
	N        int             `json:"n"`
	Quiet    int             `json:"quiet"`
	Returned int             `json:"returned"`
	Median   *float64        `json:"median_days"`
	At       []shareAt       `json:"quiet_by"`
	Steps    []survival.Step `json:"steps"`

	times []survival.Time
	label string
	end   float64
}

// Label is the group's name in the reader's language.
func (g effectGroup) Label() string { return g.label }

// MedianText writes the median with one digit; nothing without one.
func (g effectGroup) MedianText() string {
	if g.Median == nil {
		return ""
	}
	return strconv.FormatFloat(*g.Median, 'f', 1, 64)
}

// shareAt is the share that has gone quiet by a day.
type shareAt struct {
	Day   float64 `json:"day"`
	Share float64 `json:"share"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Known bool    `json:"known"` // a source was followed for so long
}

// effectOf is by how much more of those told have gone quiet by a day than of
// the control group.
type effectOf struct {
	Day   float64 `json:"day"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// effect shows whether the mails helped.
func (s *Server) effect(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.effectData(r.Context(), r.URL.Query(), v.p)
	if err != nil {
		return err
	}
	return s.render(w, r, v, http.StatusOK, "effect", data)
}

// effectFile gives the same as a file: csv, json or svg.
func (s *Server) effectFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.PathValue("file") == "draws.csv" {
		return s.drawsCSV(w, r)
	}
	data, err := s.effectData(r.Context(), r.URL.Query(), v.p)
	if err != nil {
		return err
	}
	h := w.Header()
	switch r.PathValue("file") {
	case "survival.json":
		h.Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(struct {
			By     casedb.EffectGroup `json:"by"`
			Groups []effectGroup      `json:"groups"`
			Test   *survival.Test     `json:"log_rank"`
			Effect *effectOf          `json:"effect"`
		}{data.Filter.By, data.Groups, data.Test, data.Effect})
	case "survival.svg":
		h.Set("Content-Type", "image/svg+xml")
		_, err = w.Write([]byte(data.Chart))
		return err
	case "survival.csv":
		h.Set("Content-Type", "text/csv; charset=utf-8")
		return effectCSV(w, data.Groups)
	}
	return casedb.ErrNotFound
}

// drawsCSV lists all draws for the control group, with whatever is needed to
// make them again.
func (s *Server) drawsCSV(w http.ResponseWriter, r *http.Request) error {
	const batch = 1000
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c := csv.NewWriter(w)
	c.UseCRLF = true
	if err := c.Write([]string{"case", "drawn_at", "seed", "drawn", "share", "arm", "until", "ended_at", "end", "ended_by", "reason", "tlp"}); err != nil {
		return err
	}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	english := s.catalog.Printer(locale.English) // as the heads of the columns
	for after := int64(0); ; {
		list, err := s.db.ControlDraws(r.Context(), after, batch)
		if err != nil {
			return err
		}
		for _, d := range list {
			after = d.CaseID
			if err := c.Write([]string{d.Number, at(&d.DrawnAt), cell.Neutralise(d.Seed), number(d.Drawn), number(d.Share), string(d.Arm), at(d.Until),
				at(d.EndedAt), string(d.EndKind), cell.Neutralise(d.EndedBy), cell.Neutralise(english.Reasons(d.EndWhy)),
				string(cmp.Or(d.TLP, s.cfg.TLP, casedb.DefaultTLP))}); err != nil {
				return err
			}
		}
		if len(list) < batch {
			c.Flush()
			return c.Error()
		}
	}
}

// effectCSV writes the steps of all curves (RFC 4180).
func effectCSV(w http.ResponseWriter, groups []effectGroup) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', 6, 64) }
	if err := c.Write([]string{"group", "day", "at_risk", "quiet", "active_share", "std_err", "low_95", "high_95"}); err != nil {
		return err
	}
	for _, g := range groups {
		for _, s := range g.Steps {
			if err := c.Write([]string{cell.Neutralise(g.Name), number(s.Time), strconv.Itoa(s.AtRisk), strconv.Itoa(s.Events), number(s.Survival),
				number(s.StdErr), number(s.Low), number(s.High)}); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

func (s *Server) effectData(ctx context.Context, q url.Values, p *locale.Printer) (*effectPage, error) {
	f := casedb.EffectFilter{By: casedb.EffectGroup(q.Get("by")), Kind: casedb.Kind(q.Get("kind"))}
	if !slices.Contains(casedb.EffectGroups, f.By) {
		f.By = casedb.EffectAll
	}
	if !slices.Contains(casedb.Kinds, f.Kind) {
		f.Kind = ""
	}
	f.From, _ = time.ParseInLocation(time.DateOnly, q.Get("from"), p.Zone())
	if to, err := time.ParseInLocation(time.DateOnly, q.Get("to"), p.Zone()); err == nil {
		f.To = to.AddDate(0, 0, 1)
	}
	times, err := s.db.EffectTimes(ctx, f)
	if err != nil {
		return nil, err
	}
	data := &effectPage{Filter: f, By: casedb.EffectGroups, Kinds: casedb.Kinds}
	if data.Counts, err = s.db.FollowupCounts(ctx, f); err != nil {
		return nil, err
	}
	q.Del("lang")
	data.Query = template.URL(q.Encode())
	data.Groups = effectGroups(times, f.By, p)
	data.compare()
	if len(data.Groups) > effectTable {
		data.LeftOut = len(data.Groups) - effectTable
		data.Groups = data.Groups[:effectTable]
	}
	set := curveSet{Title: p.T("effect.chart"), Empty: p.T("effect.none")}
	if len(data.Counts) > 0 {
		set.Empty = p.T("effect.notyet")
	}
	for i, g := range data.Groups {
		if i == effectCurves {
			break
		}
		set.Days = min(effectDays, max(set.Days, g.end, 14))
		set.Curves = append(set.Curves, curve{g.label, g.Steps, g.end})
	}
	data.Chart = set.SVG(p)
	return data, nil
}

// effectGroups makes the curves, the largest group first.
func effectGroups(times []casedb.EffectTime, by casedb.EffectGroup, p *locale.Printer) []effectGroup {
	groups := map[string]*effectGroup{}
	for _, t := range times {
		g := groups[t.Group]
		if g == nil {
			g = &effectGroup{Name: t.Group, label: effectLabel(p, by, t.Group)}
			groups[t.Group] = g
		}
		g.N++
		g.times = append(g.times, survival.Time{Duration: t.Days, Event: t.Event})
		g.end = max(g.end, t.Days)
		if t.Event {
			g.Quiet++
		}
		if t.Returned {
			g.Returned++
		}
	}
	var list []effectGroup
	for _, g := range groups {
		g.Steps = survival.Curve(g.times)
		if m, ok := survival.Median(g.Steps); ok {
			g.Median = &m
		}
		for _, day := range effectMarks {
			at := survival.At(g.Steps, day)
			g.At = append(g.At, shareAt{Day: day, Share: 1 - at.Survival, Low: 1 - at.High, High: 1 - at.Low, Known: g.end >= day})
		}
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b effectGroup) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Name, b.Name)) })
	return list
}

// compare tests whether the groups differ, and states the effect of the mail
// where there is a control group.
func (d *effectPage) compare() {
	if len(d.Groups) < 2 {
		return
	}
	arms := map[string]effectGroup{}
	var all [][]survival.Time
	for i, g := range d.Groups {
		if i < effectTable {
			all = append(all, g.times)
		}
		arms[g.Name] = g
	}
	test := survival.LogRank(all...)
	d.Test = &test
	told, control := arms[string(casedb.ArmNotified)], arms[string(casedb.ArmControl)]
	if d.Filter.By != casedb.EffectArm || control.N == 0 || told.N == 0 {
		return
	}
	// As far as the control group reaches.
	day := 0.0
	for _, m := range slices.Concat([]float64{1, 3}, effectMarks) {
		if control.end >= m {
			day = m
		}
	}
	if day > 0 {
		e := survival.Compare(told.Steps, control.Steps, day)
		d.Effect = &effectOf{Day: day, Value: e.Value, Low: e.Low, High: e.High}
	}
}

// effectLabel is a group's name for the reader.
func effectLabel(p *locale.Printer, by casedb.EffectGroup, name string) string {
	if by == casedb.EffectAll {
		return p.T("effect.everybody")
	}
	if name == "" {
		return p.T("effect.nobody")
	}
	prefix := map[casedb.EffectGroup]string{casedb.EffectArm: "arm.", casedb.EffectKind: "kind.", casedb.EffectMalware: "name.",
		casedb.EffectLanguage: "language.", casedb.EffectProvenance: "provenance."}[by]
	if prefix != "" && p.Has(prefix+name) {
		return p.T(prefix + name)
	}
	return name
}

// percent writes a share.
func percent(f float64) string { return fmt.Sprintf("%.0f %%", f*100) }

// signed writes a difference of shares in percentage points.
func signed(f float64) string { return fmt.Sprintf("%+.1f", f*100) }
