package web

import (
	"context"
	"fmt"
	"html/template"
	"math"
	"net/netip"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// Chart is packets per hour with the moments of a case marked: the data of the
// SVG drawing and of the table next to it.
type Chart struct {
	Title string
	Hours []casedb.PacketHour // oldest first, hours without packets may be left out
	Marks []casedb.PageMark   // oldest first
}

// chartDays is how many days a chart shows at most, counted back from the last
// packet.
const chartDays = 14

// The size of a chart in its own units; the page scales it.
const (
	chartWidth  = 900
	chartHeight = 190
	chartLeft   = 54
	chartRight  = 46
	chartTop    = 26
	chartBottom = 26
)

// span returns the hours the chart shows: those with packets and, as far as
// they lie near, those with marks.
func (c Chart) span() (from, to time.Time) {
	if len(c.Hours) == 0 {
		return
	}
	const hour = time.Hour
	from = c.Hours[0].At.UTC().Truncate(hour)
	to = c.Hours[len(c.Hours)-1].At.UTC().Truncate(hour).Add(hour)
	if earliest := to.Add(-chartDays * 24 * hour); from.Before(earliest) {
		from = earliest
	}
	for _, m := range c.Marks {
		// A mark that follows soon after is worth some empty room.
		if end := m.At.UTC().Truncate(hour).Add(hour); end.After(to) && end.Sub(from) <= chartDays*24*hour {
			to = end
		}
	}
	if to.Sub(from) < 24*hour {
		to = from.Add(24 * hour)
	}
	return from, to
}

// SVG draws the chart in the printer's language. It is a pure function of its
// input and uses no style attributes, so that it can stand in a page under a
// strict content policy and in a report. Without packets it draws nothing.
func (c Chart) SVG(p *locale.Printer) template.HTML {
	from, to := c.span()
	if to.IsZero() {
		return ""
	}
	hours := to.Sub(from).Hours()
	width, height := float64(chartWidth-chartLeft-chartRight), float64(chartHeight-chartTop-chartBottom)
	var most, total int64
	for _, h := range c.Hours {
		if !h.At.Before(from) {
			most = max(most, h.Packets)
			total += h.Packets
		}
	}
	top := niceCeiling(most)
	x := func(t time.Time) float64 { return chartLeft + width*t.Sub(from).Hours()/hours }
	y := func(n int64) float64 { return chartTop + height*(1-float64(n)/float64(top)) }

	var b strings.Builder
	esc := template.HTMLEscapeString
	fmt.Fprintf(&b, `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="sans-serif" font-size="11">`,
		chartWidth, chartHeight, esc(c.Title))
	fmt.Fprintf(&b, "<title>%s</title><desc>%s</desc>", esc(c.Title),
		esc(p.T("chart.desc", numberText(total), p.Time(from), p.Time(to))))
	// Horizontal lines with their values.
	for _, n := range []int64{0, top / 2, top} {
		if n == 0 || n*2 == top || n == top {
			fmt.Fprintf(&b, `<line class="grid" stroke="#8888" x1="%d" x2="%d" y1="%s" y2="%s"/><text class="axis" fill="#777" text-anchor="end" x="%d" y="%s">%s</text>`,
				chartLeft, chartWidth-chartRight, num(y(n)), num(y(n)), chartLeft-6, num(y(n)+4), numberText(n))
		}
	}
	// Days, in the reader's zone.
	step := 1
	for days := hours / 24; days/float64(step) > 8; {
		step++
	}
	day := from.In(p.Zone())
	day = time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, p.Zone())
	for i := 0; day.Before(to); i, day = i+1, day.AddDate(0, 0, 1) {
		if day.Before(from) || i%step != 0 {
			continue
		}
		fmt.Fprintf(&b, `<line class="grid" stroke="#8884" x1="%s" x2="%s" y1="%d" y2="%d"/><text class="axis" fill="#777" x="%s" y="%d">%s</text>`,
			num(x(day)), num(x(day)), chartTop, chartHeight-chartBottom, num(x(day)+3), chartHeight-9, day.Format("01-02"))
	}
	bar := max(width/hours-0.5, 0.6)
	for _, h := range c.Hours {
		if h.At.Before(from) || h.Packets <= 0 {
			continue
		}
		// One packet among thousands must still be seen.
		fmt.Fprintf(&b, `<rect class="bar" fill="#2f6f9f" x="%s" y="%s" width="%s" height="%s"><title>%s: %s</title></rect>`,
			num(x(h.At)), num(min(y(h.Packets), y(0)-1)), num(bar), num(max(y(0)-y(h.Packets), 1)),
			esc(p.Time(h.At)), numberText(h.Packets))
	}
	free := 0.0 // where the next sign has room
	for _, m := range c.Marks {
		at := min(max(x(m.At), chartLeft), float64(chartWidth-chartRight))
		sign := max(at-6, free)
		free = sign + 15
		c.mark(&b, p, m, at, sign)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// markSign is how a kind of moment is drawn: sign and line differ by kind, not
// by colour alone. The sign fills a square of 12 by 12.
type markSign struct{ class, path, dash string }

func signOf(kind casedb.EventKind) markSign {
	switch kind {
	case casedb.EventSent: // an envelope
		return markSign{"mark mark-sent", "M0 2h12v8.5H0zM0 2l6 5 6-5", ""}
	case casedb.EventReply, casedb.EventAutoReply: // an arrow back
		return markSign{"mark mark-reply", "M5 1L1 5l4 4M1 5h7a3 3 0 0 1 3 3v3", "4 2"}
	case casedb.EventBounce: // a cross
		return markSign{"mark mark-bounce", "M1.5 1.5l9 9M10.5 1.5l-9 9", "2 2"}
	case casedb.EventClosed: // a square
		return markSign{"mark mark-closed", "M2 2h8v8H2z", "6 2"}
	}
	return markSign{"mark mark-opened", "M6 1.5a4.5 4.5 0 1 0 .01 0z", "1 3"}
}

// signHTML draws a sign for the legend.
func signHTML(kind casedb.EventKind) template.HTML {
	sign := signOf(kind)
	return template.HTML(`<svg class="chart-sign" width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"><path class="` + sign.class +
		`" fill="none" stroke="#b3541e" stroke-width="1.5" d="` + sign.path + `"/></svg>`)
}

// mark draws a moment: a line at its place, and its sign on top, from x on,
// with its words as title.
func (c Chart) mark(b *strings.Builder, p *locale.Printer, m casedb.PageMark, at, sign float64) {
	s := signOf(m.Kind)
	dash := ""
	if s.dash != "" {
		dash = ` stroke-dasharray="` + s.dash + `"`
	}
	fmt.Fprintf(b, `<g class="%s" stroke="#b3541e" stroke-width="1.5" fill="none"><title>%s: %s</title><line%s x1="%s" x2="%s" y1="%d" y2="%d"/><path transform="translate(%s 4)" d="%s"/></g>`,
		s.class, template.HTMLEscapeString(p.Time(m.At)), template.HTMLEscapeString(p.T("event."+string(m.Kind))), dash,
		num(at), num(at), chartTop-6, chartHeight-chartBottom, num(sign), s.path)
}

// num writes a coordinate.
func num(f float64) string {
	s := fmt.Sprintf("%.1f", f)
	return strings.TrimSuffix(s, ".0")
}

// niceCeiling is the least of 2, 4, 6, 10, 20, 40 ... that is not below n.
func niceCeiling(n int64) int64 {
	for unit := int64(1); unit < math.MaxInt64/20; unit *= 10 {
		for _, m := range []int64{2, 4, 6, 10} {
			if m*unit >= n {
				return m * unit
			}
		}
	}
	return n
}

// chartRow is one day of the table next to a chart.
type chartRow struct {
	Day     string // in the printer's zone
	Packets int64
	Hours   int // with packets
}

// Rows sums the chart up by day, for users who cannot see the picture.
func (c Chart) Rows(p *locale.Printer) []chartRow {
	var rows []chartRow
	from, _ := c.span()
	for _, h := range c.Hours {
		if h.At.Before(from) {
			continue
		}
		day := h.At.In(p.Zone()).Format("2006-01-02")
		if len(rows) == 0 || rows[len(rows)-1].Day != day {
			rows = append(rows, chartRow{Day: day})
		}
		r := &rows[len(rows)-1]
		r.Packets += h.Packets
		r.Hours++
	}
	return rows
}

// loadChart draws the packets of a case's sources with its mails and answers.
func (s *Server) loadChart(ctx context.Context, v caseVisit, data *casePage) error {
	p := v.p
	sources, err := s.db.CaseSources(ctx, data.Case.ID, casedb.Addr{}, chartSources)
	if err != nil {
		return err
	}
	var last time.Time
	addresses := make([]netip.Addr, len(sources))
	for i, src := range sources {
		addresses[i] = src.Source.Addr
	}
	if last, err = s.db.LastPacket(ctx, addresses); err != nil {
		return err
	}
	if last.IsZero() {
		return nil
	}
	from := last.Add(-chartDays * 24 * time.Hour)
	chart := Chart{Title: p.T("chart.case", data.Case.Number)}
	if chart.Hours, err = s.db.PacketHours(ctx, addresses, from, last.Add(time.Hour)); err != nil {
		return err
	}
	if chart.Marks, err = s.db.CaseMarks(ctx, data.Case.ID, from, 200); err != nil {
		return err
	}
	data.Chart, data.ChartRows = chart.SVG(p), chart.Rows(p)
	return nil
}
