package web

import (
	"fmt"
	"html/template"
	"strings"

	"teiten/internal/locale"
	"teiten/internal/survival"
)

// curveSet is a picture of shares that are still active over time.
type curveSet struct {
	Title  string
	Empty  string  // what stands instead of curves where there are none
	Days   float64 // shown
	Curves []curve
}

type curve struct {
	Name  string
	Steps []survival.Step
	End   float64 // until when anybody was followed
}

// curveDashes tell curves apart without colour.
var curveDashes = []string{"", "8 4", "2 3", "10 3 2 3", "5 5", "1 5"}

var curveColours = []string{"#2f6f9f", "#b3541e", "#3f8f4f", "#7a4fa0", "#8a6d1d", "#555555"}

// SVG draws the curves with their confidence bands. Like Chart.SVG it is a
// pure function and uses no style attributes.
func (c curveSet) SVG(p *locale.Printer) template.HTML {
	const height = 300
	if len(c.Curves) == 0 || c.Days <= 0 {
		text := template.HTMLEscapeString(c.Empty)
		return template.HTML(fmt.Sprintf(`<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="sans-serif" font-size="12">`+
			`<title>%s</title><text class="axis" fill="#777" text-anchor="middle" x="%d" y="%d">%s</text></svg>`, chartWidth, height, text, text, chartWidth/2, height/2, text))
	}
	wide, high := float64(chartWidth-chartLeft-chartRight), float64(height-chartTop-chartBottom)
	x := func(days float64) float64 { return chartLeft + wide*min(days, c.Days)/c.Days }
	y := func(share float64) float64 { return chartTop + high*(1-share) }
	esc := template.HTMLEscapeString
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="sans-serif" font-size="11">`,
		chartWidth, height, esc(c.Title))
	fmt.Fprintf(&b, "<title>%s</title>", esc(c.Title))
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		fmt.Fprintf(&b, `<line class="grid" stroke="#8888" x1="%d" x2="%d" y1="%s" y2="%s"/><text class="axis" fill="#777" text-anchor="end" x="%d" y="%s">%.0f %%</text>`,
			chartLeft, chartWidth-chartRight, num(y(share)), num(y(share)), chartLeft-6, num(y(share)+4), share*100)
	}
	step := 7
	for c.Days/float64(step) > 10 {
		step *= 2
	}
	for day := 0; float64(day) <= c.Days; day += step {
		fmt.Fprintf(&b, `<text class="axis" fill="#777" text-anchor="middle" x="%s" y="%d">%s</text>`, num(x(float64(day))), height-9,
			esc(p.N("effect.ndays", day)))
	}
	for i, k := range c.Curves {
		colour, dash := curveColours[i%len(curveColours)], curveDashes[i%len(curveDashes)]
		line, band := k.paths(c.Days, x, y)
		fmt.Fprintf(&b, `<path fill="%s" fill-opacity="0.12" stroke="none" d="%s"/>`, colour, band)
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s" d="%s"><title>%s</title></path>`, colour, dash, line, esc(k.Name))
		fmt.Fprintf(&b, `<line stroke="%s" stroke-width="2" stroke-dasharray="%s" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d" fill="currentColor">%s</text>`,
			colour, dash, chartWidth-220, chartWidth-190, chartTop+8+i*16, chartTop+8+i*16, chartWidth-184, chartTop+12+i*16, esc(shorten(k.Name, 28)))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// paths returns the step line and the outline of its band.
func (k curve) paths(days float64, x, y func(float64) float64) (line, band string) {
	end := min(days, k.End)
	var mid, upper strings.Builder
	var lower []string // backwards
	fmt.Fprintf(&mid, "M%s %s", num(x(0)), num(y(1)))
	fmt.Fprintf(&upper, "M%s %s", num(x(0)), num(y(1)))
	lower = append(lower, fmt.Sprintf("L%s %s", num(x(0)), num(y(1))))
	low := 1.0
	for _, s := range k.Steps {
		if s.Time > end {
			break
		}
		fmt.Fprintf(&mid, "H%sV%s", num(x(s.Time)), num(y(s.Survival)))
		fmt.Fprintf(&upper, "H%sV%s", num(x(s.Time)), num(y(s.High)))
		lower = append(lower, fmt.Sprintf("L%s %sL%s %s", num(x(s.Time)), num(y(s.Low)), num(x(s.Time)), num(y(low))))
		low = s.Low
	}
	fmt.Fprintf(&mid, "H%s", num(x(end)))
	fmt.Fprintf(&upper, "H%sL%s %s", num(x(end)), num(x(end)), num(y(low)))
	for i := len(lower) - 1; i >= 0; i-- {
		upper.WriteString(lower[i])
	}
	return mid.String(), upper.String() + "Z"
}

// shorten cuts a name for a legend.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
