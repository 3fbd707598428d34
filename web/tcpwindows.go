package web

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// TCPWindowReport is how many sources sent SYNs to a port with a TCP window, day
// by day, against all others.
type TCPWindowReport struct {
	Ask  casedb.TCPWindowQuestion
	Days []casedb.TCPWindowDay
}

// windowGroups are the groups in the order in which they are shown.
var windowGroups = []casedb.TCPWindowGroup{casedb.TCPWindowWorm, casedb.TCPWindowAsked, casedb.TCPWindowUnknown, casedb.TCPWindowOther}

// groups leaves out what a question cannot have: the worm-like header has
// window 8192.
func (r TCPWindowReport) groups() []casedb.TCPWindowGroup {
	if r.Ask.Window != 8192 {
		return windowGroups[1:]
	}
	return windowGroups
}

// windowsFigures is what the partial of the same name shows.
type windowsFigures struct {
	Title  string
	Scope  string
	Chart  template.HTML
	Groups []windowsGroup
	Rows   []windowsRow // the newest day first
}

type windowsGroup struct {
	Name string
	Sign template.HTML
}

type windowsRow struct {
	Day      string
	Sensors  int
	Sources  []int64
	Total    int64
	Unjudged int64
	Columns  int // besides the day's column
}

// figures puts the report into words and a chart.
func (r TCPWindowReport) figures(p *locale.Printer) windowsFigures {
	f := windowsFigures{Title: p.T("windows.heading", r.Ask.Port, r.Ask.Window), Scope: p.T("windows.everywhere")}
	if len(r.Ask.Countries)+len(r.Ask.Prefixes) > 0 {
		scope := append([]string{}, r.Ask.Countries...)
		for _, n := range r.Ask.Prefixes {
			scope = append(scope, n.String())
		}
		f.Scope = strings.Join(scope, ", ")
	}
	chart := DayChart{Title: f.Title}
	for i, g := range r.groups() {
		name := p.T("windows.group." + g.String())
		chart.Groups = append(chart.Groups, name)
		f.Groups = append(f.Groups, windowsGroup{name, partHTML(i)})
	}
	for _, d := range r.Days {
		row := windowsRow{Day: dayText(d.Day), Sensors: d.Sensors, Total: d.Total(), Unjudged: d.Unjudged, Columns: len(f.Groups) + 3}
		for _, g := range r.groups() {
			row.Sources = append(row.Sources, d.Sources[g])
		}
		f.Rows = append(f.Rows, row)
		chart.Days = append(chart.Days, DayBar{Day: row.Day, Known: d.Sensors > 0, Parts: row.Sources})
	}
	slices.Reverse(f.Rows)
	f.Chart = chart.SVG(p)
	return f
}

// WriteTCPWindowReport writes the report as a page that stands by itself.
func WriteTCPWindowReport(w io.Writer, lang string, r TCPWindowReport) error {
	catalog, err := locale.Load()
	if err != nil {
		return err
	}
	a, err := loadAssets()
	if err != nil {
		return err
	}
	v, err := parseViews(catalog, a)
	if err != nil {
		return err
	}
	t := v.byLang[lang]["windows"]
	if t == nil {
		return fmt.Errorf("no language %s", lang)
	}
	css, err := staticFiles.ReadFile("static/teiten.css")
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, "windows-document", map[string]any{"Lang": lang, "CSS": template.CSS(css), "Figures": r.figures(catalog.Printer(lang))})
}

// windowsDays is how many days a page shows.
const windowsDays = 28

// windowsPage is the data of view windows.
type windowsPage struct {
	Query   url.Values
	Tabs    tabCounts
	Bad     string // key of the line that says which field was not understood
	Figures *windowsFigures
	Default string // the constituency, where no country is asked for
	To      string // the last day shown
	Earlier string
	Later   string
}

var countryPattern = regexp.MustCompile(`^[A-Za-z]{2}$`)

// windows shows the report of a port and window over four weeks.
func (s *Server) windows(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	data := windowsPage{Query: url.Values{}, Default: strings.Join(s.cfg.Countries, ", ")}
	var err error
	if data.Tabs, err = s.tabCounts(ctx); err != nil {
		return err
	}
	report := TCPWindowReport{}
	var to time.Time
	if report.Ask, to, data.Bad, err = s.windowsQuestion(ctx, r.URL.Query(), data.Query); err != nil {
		return err
	}
	if data.Bad != "" {
		return s.render(w, r, v, http.StatusUnprocessableEntity, "windows", data)
	}
	from := to.AddDate(0, 0, 1-windowsDays)
	if report.Days, err = s.db.TCPWindowDays(ctx, report.Ask, from, to, &s.windowMemory); err != nil {
		return err
	}
	figures := report.figures(v.p)
	data.Figures, data.To = &figures, dayText(to)
	page := func(to time.Time) string { return listURL("/sources/windows", data.Query, "to", dayText(to)) }
	data.Earlier = page(from.AddDate(0, 0, -1))
	if last, err := s.lastDay(ctx); err != nil {
		return err
	} else if last.After(to) {
		data.Later = page(to.AddDate(0, 0, windowsDays))
	}
	return s.render(w, r, v, http.StatusOK, "windows", data)
}

// lastDay is the day of the newest observations, or today.
func (s *Server) lastDay(ctx context.Context) (time.Time, error) {
	last, err := s.db.LastObservationWindow(ctx)
	if last.IsZero() {
		last = s.now()
	}
	return casedb.StartOfDay(last, s.cfg.Location), err
}

// windowsQuestion reads the form; bad is the key of what is wrong with it. What
// was given is kept in the form's values.
func (s *Server) windowsQuestion(ctx context.Context, q, kept url.Values) (ask casedb.TCPWindowQuestion, to time.Time, bad string, err error) {
	ask = casedb.TCPWindowQuestion{Port: 445, Window: 8192, Countries: s.cfg.Countries, Prefixes: s.cfg.Prefixes, Location: s.cfg.Location}
	field := func(key string) string {
		text := strings.TrimSpace(casedb.CleanLine(q.Get(key), 32))
		if text != "" {
			kept.Set(key, text)
		}
		return text
	}
	if text := field("port"); text != "" {
		number, isTCP := strings.CutSuffix(strings.ToUpper(text), "/TCP")
		n, e := strconv.ParseUint(number, 10, 16)
		if e != nil || !isTCP && strings.Contains(text, "/") {
			bad = "invalid.port"
		}
		ask.Port = uint16(n)
	}
	if text := field("window"); text != "" {
		n, e := strconv.ParseUint(text, 10, 16)
		if e != nil {
			bad = "invalid.window"
		}
		ask.Window = uint16(n)
	}
	if text := field("country"); text != "" {
		if !countryPattern.MatchString(text) {
			bad = "invalid.country"
		}
		ask.Countries, ask.Prefixes = []string{strings.ToUpper(text)}, nil
	}
	text := casedb.CleanLine(q.Get("to"), 32)
	if text == "" {
		to, err = s.lastDay(ctx)
		return ask, to, bad, err
	}
	if to, err = time.ParseInLocation(time.DateOnly, text, s.cfg.Location); err != nil || to.Year() < 1970 || to.Year() > 2200 {
		bad = "invalid.day"
	}
	return ask, to, bad, nil
}
