package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/config"
	"teiten/internal/observation"
	"teiten/web"
)

type reportCmd struct {
	Windows  reportWindowsCmd  `cmd:"" help:"Sources of a TCP port per day: those with a given TCP window in the SYN, and all others."`
	Findings reportFindingsCmd `cmd:"" help:"What owners found and did."`
}

type reportWindowsCmd struct {
	configFlags
	Port       string        `arg:"" help:"The port, such as 445/TCP."`
	Files      []string      `arg:"" optional:"" name:"file" help:"Captures to count in instead of the case database: pcap or pcapng, plain, .gz or .zst; - is standard input."`
	WindowSize uint16        `help:"The TCP window." default:"8192" placeholder:"N"`
	Country    []string      `help:"Count sources of this country (ISO 3166) instead of the configured constituency; all: of every country." placeholder:"CODE"`
	From       string        `help:"First day; 28 days before the last one unless given." placeholder:"DATE"`
	To         string        `help:"Last day; the last one with observations unless given." placeholder:"DATE"`
	TimeZone   string        `help:"Time zone of the days; attribution.time_zone unless given." placeholder:"ZONE"`
	Window     time.Duration `help:"Length of an observation window in captures." default:"1h"`
	Format     string        `help:"csv, json or html." enum:"csv,json,html" default:"csv"`
	Language   string        `help:"Language of the page: en or ja." enum:"en,ja" default:"en"`
	Out        string        `short:"o" help:"Write to this file instead of standard output." placeholder:"OUT"`
}

func (*reportWindowsCmd) Help() string {
	return `Example: teiten report windows 445/TCP --country JP --from 2026-01-01 --to 2026-01-31
         teiten report windows 445/TCP --format html -o windows.html monday.pcap.gz tuesday.pcap.gz

Each source counts once a day, in the first group that fits: worm_like (the
window, and the whole header of worm-like probes of 445/TCP), window (the window
otherwise), undetermined (not all of its windows are known), other.

Days on which no sensor reported have no numbers. Sources that have not been
judged yet have no known country and are counted separately.`
}

// maxReportDays bounds the days of one report.
const maxReportDays = 1100

// Run prints the report.
func (c *reportWindowsCmd) Run(ctx context.Context, p *program) (err error) {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	ask, err := c.question(cfg)
	if err != nil {
		return err
	}
	from, to, err := c.period(ask.Location)
	if err != nil {
		return err
	}
	report := web.TCPWindowReport{Ask: ask}
	if len(c.Files) > 0 {
		report.Days, err = c.count(ctx, p, ask, from, to)
	} else {
		err = p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
			if to.IsZero() {
				last, err := db.LastObservationWindow(ctx)
				if err != nil {
					return err
				}
				if last.IsZero() {
					return errors.New("there are no observations")
				}
				to = casedb.StartOfDay(last, ask.Location)
			}
			if from.IsZero() {
				from = to.AddDate(0, 0, -27)
			}
			if err := checkPeriod(from, to); err != nil {
				return err
			}
			report.Days, err = db.TCPWindowDays(ctx, ask, from, to, nil)
			return err
		})
	}
	if err != nil {
		return err
	}
	out, finish, err := p.output(c.Out)
	if err != nil {
		return err
	}
	defer func() {
		if e := finish(err == nil); err == nil {
			err = e
		}
	}()
	switch c.Format {
	case "json":
		return writeWindowsJSON(out, report)
	case "html":
		return web.WriteTCPWindowReport(out, c.Language, report)
	}
	return writeWindowsCSV(out, report)
}

// question says what is counted.
func (c *reportWindowsCmd) question(cfg *config.Config) (ask casedb.TCPWindowQuestion, err error) {
	number, _ := strings.CutSuffix(strings.ToUpper(c.Port), "/TCP")
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return ask, usagef("port %s: want a TCP port such as 445/TCP", c.Port)
	}
	ask = casedb.TCPWindowQuestion{Port: uint16(port), Window: c.WindowSize, Countries: cfg.Constituency.Countries,
		Prefixes: config.Prefixes(cfg.Constituency.Prefixes)}
	if len(c.Country) > 0 {
		ask.Countries, ask.Prefixes = nil, nil
		for _, code := range c.Country {
			code = strings.ToUpper(code)
			if code != "ALL" && (len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
				return ask, usagef("--country %s: want a country code such as JP, or all", code)
			}
			ask.Countries = append(ask.Countries, code)
		}
		if slices.Contains(ask.Countries, "ALL") {
			ask.Countries = nil
		}
	}
	zone := c.TimeZone
	if zone == "" {
		zone = cfg.Attribution.TimeZone
	}
	if ask.Location, err = time.LoadLocation(zone); err != nil {
		return ask, usagef("--time-zone %s: %w", zone, err)
	}
	return ask, nil
}

// period reads the days asked for; zero where none is.
func (c *reportWindowsCmd) period(location *time.Location) (from, to time.Time, err error) {
	for flag, day := range map[string]struct {
		text string
		time *time.Time
	}{"--from": {c.From, &from}, "--to": {c.To, &to}} {
		if day.text == "" {
			continue
		}
		t, err := time.ParseInLocation(time.DateOnly, day.text, location)
		if err != nil {
			return from, to, usagef("%s %s: want a day such as 2026-01-15", flag, day.text)
		}
		*day.time = t
	}
	if !from.IsZero() && !to.IsZero() {
		err = checkPeriod(from, to)
	}
	return from, to, err
}

func checkPeriod(from, to time.Time) error {
	switch {
	case to.Before(from):
		return usagef("the last day %s is before the first one %s", to.Format(time.DateOnly), from.Format(time.DateOnly))
	case from.AddDate(0, 0, maxReportDays).Before(to):
		return usagef("more than %d days", maxReportDays)
	}
	return nil
}

// windowsTally counts in captures what casedb.WindowDays counts in the case
// database.
type tcpWindowsTally struct {
	ask      casedb.TCPWindowQuestion
	from, to time.Time
	days     map[time.Time]*windowsTallyDay
	sources  int
}

type windowsTallyDay struct {
	sensors map[string]bool
	sources map[netip.Addr]casedb.TCPWindowGroup
}

// maxReportSources bounds the sources a day, over all days, that captures may
// hold: about 2 GB.
const maxReportSources = 20_000_000

func (t *tcpWindowsTally) add(b *observation.Batch) (err error) {
	day := casedb.StartOfDay(b.Window, t.ask.Location)
	if !t.from.IsZero() && day.Before(t.from) || !t.to.IsZero() && day.After(t.to) {
		return nil
	}
	d := t.days[day]
	if d == nil {
		if len(t.days) > maxReportDays {
			return fmt.Errorf("captures of more than %d days: give --from and --to", maxReportDays)
		}
		d = &windowsTallyDay{map[string]bool{}, map[netip.Addr]casedb.TCPWindowGroup{}}
		t.days[day] = d
	}
	d.sensors[b.Sensor] = true
	b.Observations(func(o *observation.Observation) bool {
		if o.Class != observation.ClassSYN || o.Port != t.ask.Port {
			return true
		}
		was, ok := d.sources[o.Source]
		if !ok {
			if !t.counted(o.Source) {
				return true
			}
			if t.sources++; t.sources > maxReportSources {
				err = fmt.Errorf("more than %d sources a day in all: give fewer captures", maxReportSources)
				return false
			}
		}
		d.sources[o.Source] = max(was, casedb.TCPWindowGroupOf(o, t.ask.Window))
		return true
	})
	return err
}

func (t *tcpWindowsTally) counted(a netip.Addr) bool {
	if len(t.ask.Countries)+len(t.ask.Prefixes) == 0 {
		return true
	}
	return slices.ContainsFunc(t.ask.Prefixes, func(n netip.Prefix) bool { return n.Contains(a) }) ||
		slices.Contains(t.ask.Countries, owner.Country(a))
}

// count reads the captures.
func (c *reportWindowsCmd) count(ctx context.Context, p *program, ask casedb.TCPWindowQuestion, from, to time.Time) ([]casedb.TCPWindowDay, error) {
	t := &tcpWindowsTally{ask: ask, from: from, to: to, days: map[time.Time]*windowsTallyDay{}}
	// A window lies on one day of the question's clock.
	files := captureFlags{Files: c.Files, Window: c.Window, Sensor: "-", location: ask.Location}
	if _, err := files.read(ctx, p, t.add); err != nil {
		return nil, err
	}
	for day := range t.days {
		if from.IsZero() || day.Before(from) {
			from = day
		}
		if to.IsZero() || day.After(to) {
			to = day
		}
	}
	if from.IsZero() || to.IsZero() {
		return nil, nil
	}
	if err := checkPeriod(from, to); err != nil {
		return nil, err
	}
	var days []casedb.TCPWindowDay
	for day := from; !day.After(to); day = casedb.StartOfDay(day.AddDate(0, 0, 1), ask.Location) {
		w := casedb.TCPWindowDay{Day: day}
		if d := t.days[day]; d != nil {
			w.Sensors = len(d.sensors)
			for _, g := range d.sources {
				w.Sources[g]++
			}
		}
		days = append(days, w)
	}
	return days, nil
}

// windowsLine is one day of the report in JSON; null where nothing is known.
type windowsLine struct {
	Day          string `json:"day"`
	Sensors      int    `json:"sensors"`
	WormLike     *int64 `json:"worm_like"`
	Window       *int64 `json:"window"`
	Undetermined *int64 `json:"undetermined"`
	Other        *int64 `json:"other"`
	Total        *int64 `json:"total"`
	Unjudged     *int64 `json:"unjudged"`
}

func windowsLineOf(d *casedb.TCPWindowDay) windowsLine {
	l := windowsLine{Day: d.Day.Format(time.DateOnly), Sensors: d.Sensors}
	if d.Sensors > 0 {
		total := d.Total()
		l.WormLike, l.Window = &d.Sources[casedb.TCPWindowWorm], &d.Sources[casedb.TCPWindowAsked]
		l.Undetermined, l.Other = &d.Sources[casedb.TCPWindowUnknown], &d.Sources[casedb.TCPWindowOther]
		l.Total, l.Unjudged = &total, &d.Unjudged
	}
	return l
}

func writeWindowsJSON(w io.Writer, r web.TCPWindowReport) error {
	out := struct {
		Port      string         `json:"port"`
		Window    uint16         `json:"window"`
		Countries []string       `json:"countries"`
		Prefixes  []netip.Prefix `json:"prefixes"`
		TimeZone  string         `json:"time_zone"`
		Days      []windowsLine  `json:"days"`
	}{fmt.Sprintf("%d/TCP", r.Ask.Port), r.Ask.Window, append([]string{}, r.Ask.Countries...), append([]netip.Prefix{}, r.Ask.Prefixes...),
		r.Ask.Location.String(), []windowsLine{}}
	for i := range r.Days {
		out.Days = append(out.Days, windowsLineOf(&r.Days[i]))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func writeWindowsCSV(w io.Writer, r web.TCPWindowReport) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"day", "sensors", "worm_like", "window", "undetermined", "other", "total", "unjudged"}) // errors are kept until Flush
	number := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	for i := range r.Days {
		l := windowsLineOf(&r.Days[i])
		_ = out.Write([]string{l.Day, strconv.Itoa(l.Sensors), number(l.WormLike), number(l.Window), number(l.Undetermined), number(l.Other),
			number(l.Total), number(l.Unjudged)})
	}
	out.Flush()
	return out.Error()
}
