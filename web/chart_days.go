package web

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"teiten/internal/locale"
)

// DayChart is a number per day in groups: bars of which the groups are the
// parts, the first one at the bottom.
type DayChart struct {
	Title  string
	Groups []string // their names
	Days   []DayBar // one after the other
}

// DayBar is one day of a DayChart.
type DayBar struct {
	Day   string // 2026-01-15
	Known bool   // false: nothing was watched, which is not zero
	Parts []int64
}

// partSign is how a group is drawn. Groups differ by filling and line, not by
// colour alone.
type partSign struct{ fill, opacity, dash string }

var partSigns = [...]partSign{{"#2f6f9f", "1", ""}, {"#2f6f9f", ".55", ""}, {"none", "1", ` stroke-dasharray="2 2"`}, {"#2f6f9f", ".15", ""}}

// rect draws a part, or the sign of one.
func (s partSign) rect(b *strings.Builder, x, y, width, height float64, title string) {
	class := "bar"
	if s.fill == "none" {
		class = "open"
	}
	fmt.Fprintf(b, `<rect class="%s" fill="%s" fill-opacity="%s" stroke="#2f6f9f" stroke-width=".8"%s x="%s" y="%s" width="%s" height="%s">%s</rect>`,
		class, s.fill, s.opacity, s.dash, num(x), num(y), num(width), num(height), title)
}

// SVG draws the chart in the printer's language; see Chart.SVG. Without a known
// day it draws nothing.
func (c DayChart) SVG(p *locale.Printer) template.HTML {
	var most int64
	known := false
	for _, d := range c.Days {
		most, known = max(most, d.total()), known || d.Known
	}
	if !known {
		return ""
	}
	width, height := float64(chartWidth-chartLeft-chartRight), float64(chartHeight-chartTop-chartBottom)
	top := niceCeiling(most)
	step := width / float64(len(c.Days))
	esc := template.HTMLEscapeString
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="sans-serif" font-size="11"><title>%s</title>`,
		chartWidth, chartHeight, esc(c.Title), esc(c.Title))
	for _, n := range []int64{0, top / 2, top} {
		y := chartTop + height*(1-float64(n)/float64(top))
		fmt.Fprintf(&b, `<line class="grid" stroke="#8888" x1="%d" x2="%d" y1="%s" y2="%s"/><text class="axis" fill="#777" text-anchor="end" x="%d" y="%s">%s</text>`,
			chartLeft, chartWidth-chartRight, num(y), num(y), chartLeft-6, num(y+4), numberText(n))
	}
	every := 1
	for len(c.Days)/every > 14 {
		every++
	}
	for i, d := range c.Days {
		x := chartLeft + step*float64(i)
		if i%every == 0 {
			fmt.Fprintf(&b, `<text class="axis" fill="#777" text-anchor="middle" x="%s" y="%d">%s</text>`, num(x+step/2), chartHeight-9, esc(d.Day[min(5, len(d.Day)):]))
		}
		if !d.Known {
			fmt.Fprintf(&b, `<text class="axis" fill="#777" text-anchor="middle" x="%s" y="%d">×<title>%s: %s</title></text>`,
				num(x+step/2), chartHeight-chartBottom-4, esc(d.Day), esc(p.T("windows.unwatched")))
			continue
		}
		y := float64(chartTop) + height
		for g, n := range d.Parts {
			if n <= 0 {
				continue
			}
			h := height * float64(n) / float64(top)
			y -= h
			partSigns[g%len(partSigns)].rect(&b, x+step*.15, y, step*.7, h, fmt.Sprintf("<title>%s: %s %s</title>", esc(d.Day), esc(c.Groups[g]), numberText(n)))
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func (d DayBar) total() (n int64) {
	for _, part := range d.Parts {
		n += part
	}
	return n
}

// partHTML draws the sign of the i-th group for a legend.
func partHTML(i int) template.HTML {
	var b strings.Builder
	b.WriteString(`<svg class="chart-part" width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">`)
	partSigns[i%len(partSigns)].rect(&b, 1, 1, 10, 10, "")
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// dayText writes a day as it stands in tables and URLs.
func dayText(t time.Time) string { return t.Format(time.DateOnly) }
