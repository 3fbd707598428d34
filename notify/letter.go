package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the recipient's zone, on machines that have no zone files

	"teiten/internal/casedb"
	"teiten/internal/cell"
)

// letterData is what a case's letters are made of.
type letterData struct {
	Fields
	Text string // a coordinator's words

	ticket string // the tag of the recipient's ticket system
	wishes casedb.ContactWishes

	kind     casedb.Kind
	language string
	csv      []byte
	xarf     []byte
}

// letter collects what a message says about its case at the time now.
func (c *Composer) letter(ctx context.Context, q *casedb.Queries, m casedb.Message, now time.Time) (*letterData, error) {
	lc, err := q.LetterCase(ctx, *m.CaseID)
	if err != nil {
		return nil, err
	}
	u := c.us(m.Language)
	l := &letterData{kind: lc.Kind, language: m.Language, Fields: Fields{We: u.We, Spaced: u.Spaced(), Email: u.Email, Phone: u.Phone, URL: u.URL,
		Authority: u.Authority, Verify: u.Verify, TLP: string(c.label(lc.TLP)), Register: c.config.Register, Number: lc.Number, Owner: casedb.CleanLine(lc.Owner, 200)}}
	if l.ticket, err = q.TicketTag(ctx, *m.CaseID, m.Recipient); err != nil {
		return nil, err
	}
	if len(m.Raw) > 0 {
		return l, nil
	}
	if l.wishes, err = q.ContactWishes(ctx, m, now); err != nil {
		return nil, err
	}
	if m.Purpose != casedb.PurposeNotification {
		if m.Evidence {
			err = l.evidenceNow(ctx, q, *m.CaseID, now)
		}
		return l, err
	}
	// Only the owner may give the owner's answers.
	if c.config.Pages != "" && m.ID > 0 && m.Reason != casedb.ReasonProvider && m.Reason != casedb.ReasonCSIRT {
		l.Page = c.config.Pages + c.tokens.PagePath(lc.Number, &m)
	}
	windows, err := l.notification(ctx, q, m, lc.Country, now)
	if err != nil {
		return nil, err
	}
	if cmp.Or(Format(l.wishes.Format), c.config.Format) == FormatXARF && m.Reason != casedb.ReasonRecovered {
		l.xarf, err = c.xarf(m, lc.Kind, windows, l.csv, casedb.TLP(l.TLP))
		l.XARF = l.xarf != nil
	}
	return l, err
}

// span is the time that a letter tells of, and the zone in which it tells it.
type span struct {
	first, last time.Time // of the packets
	from, to    time.Time // of the windows
	zone        *time.Location
}

// notification fills in what a notification tells about the case's sources,
// and returns the evidence.
func (l *letterData) notification(ctx context.Context, q *casedb.Queries, m casedb.Message, country string, now time.Time) ([]casedb.LetterRow, error) {
	scope := casedb.ScopeOf(m, now)
	accused, err := q.LetterGroups(ctx, scope)
	if err != nil {
		return nil, err
	}
	if len(accused) == 0 {
		return nil, fmt.Errorf("case %s: %w", l.Number, ErrNothingToSay)
	}
	at := l.times(accused, country)
	if err := l.history(ctx, q, m, at.zone); err != nil {
		return nil, err
	}
	if l.kind == casedb.KindBackscatter {
		attacks, err := q.LetterAttacks(ctx, scope, at.first, maxAttacks+1)
		if err != nil {
			return nil, err
		}
		l.attack(attacks, at.zone)
	}
	counted, err := q.LetterPorts(ctx, scope, at.from, at.to)
	if err != nil {
		return nil, err
	}
	if len(counted) == 0 && m.Reason != casedb.ReasonRecovered {
		return nil, fmt.Errorf("case %s: %w", l.Number, ErrGone)
	}
	l.count(counted)
	if l.wishes.Networks {
		networks, err := q.LetterNetworks(ctx, scope, at.from, at.to, maxNetworks)
		if err != nil {
			return nil, err
		}
		l.Networks = strings.Join(networks, ", ")
	}
	if err := l.tables(ctx, q, scope, at); err != nil {
		return nil, err
	}
	return l.attach(ctx, q, scope, at.from, at.to)
}

// times makes the groups and fills in when their packets came, in UTC and in
// the zone that people of the country likely keep.
func (l *letterData) times(accused []casedb.LetterGroup, country string) span {
	at := span{zone: time.UTC}
	at.first, at.last = l.group(accused)
	at.from, at.to = period(at.first, at.last)
	if zone, name := likelyZone(country); zone != nil {
		at.zone, l.Zone = zone, name
	}
	l.FirstZ, l.LastZ = at.first.UTC().Format(timeLayout), at.last.UTC().Format(timeLayout)
	l.First, l.Last = at.first.In(at.zone).Format(timeLayout), at.last.In(at.zone).Format(timeLayout)
	return at
}

// tables fills in the table of each group; together they have maxTableRows.
func (l *letterData) tables(ctx context.Context, q *casedb.Queries, scope casedb.LetterScope, at span) error {
	for i := range l.Groups {
		g := &l.Groups[i]
		rows, err := q.LetterTable(ctx, scope, g.Malware, at.from, at.to, maxTableRows/len(l.Groups))
		if err != nil {
			return err
		}
		g.tabulate(rows, at.zone)
		if l.Sources == 1 && len(rows) > 0 {
			l.Address = rows[0].Source.String()
		}
	}
	return nil
}

// evidenceNow adds what a letter about all of the case would have attached.
func (l *letterData) evidenceNow(ctx context.Context, q *casedb.Queries, caseID int64, now time.Time) error {
	scope := casedb.LetterScope{CaseID: caseID, Now: now}
	accused, err := q.LetterGroups(ctx, scope)
	if err != nil {
		return err
	}
	if len(accused) == 0 {
		return fmt.Errorf("case %s: %w", l.Number, ErrNothingToSay)
	}
	from, to := period(l.group(accused))
	_, err = l.attach(ctx, q, scope, from, to)
	return err
}

// attach fills in the CSV and returns what is in it.
func (l *letterData) attach(ctx context.Context, q *casedb.Queries, scope casedb.LetterScope, from, to time.Time) ([]casedb.LetterRow, error) {
	windows, err := q.LetterWindows(ctx, scope, from, to, maxCSVRows)
	if err != nil {
		return nil, err
	}
	if l.CSVRows = len(windows); len(windows) > 0 {
		l.CSVLeft = windows[0].Total - len(windows)
	}
	l.csv, err = evidenceCSV(windows, l.kind)
	return windows, err
}

// period returns the windows in which packets from first to last can be: one
// that holds first began before it.
func period(first, last time.Time) (from, to time.Time) { return first.Add(-24 * time.Hour), last }

// history fills in when the owner was told before.
func (l *letterData) history(ctx context.Context, q *casedb.Queries, m casedb.Message, zone *time.Location) error {
	before, err := q.NotificationState(ctx, *m.CaseID)
	if err == nil && before.LastSent != nil {
		l.Told = before.LastSent.In(zone).Format(time.DateOnly)
	}
	return err
}

// maxAttacks is how many attacks a letter tells of.
const maxAttacks = 10

// attack fills in the attacks.
func (l *letterData) attack(attacks []casedb.LetterAttack, zone *time.Location) {
	l.AttacksLeft = max(0, len(attacks)-maxAttacks)
	for _, a := range attacks[:min(len(attacks), maxAttacks)] {
		line := Attack{Victim: a.Victim.String(), Ports: strings.Join(a.Ports[:min(5, len(a.Ports))], ", "), Packets: a.Packets, Peak: int64(a.Peak + 0.5),
			First: a.First.In(zone).Format(timeLayout), Last: a.Last.In(zone).Format(timeLayout),
			FirstZ: a.First.UTC().Format(timeLayout), LastZ: a.Last.UTC().Format(timeLayout)}
		if f := a.Evidence.V.Fixed; f != nil {
			line.SameSequence, line.SameWindow = nearlyAll(f.Sequence, f.SequenceOf), nearlyAll(f.Window, f.WindowOf)
		}
		l.Attacks = append(l.Attacks, line)
	}
}

func nearlyAll(n, of uint64) bool { return of >= 10 && n*10 >= of*9 }

const timeLayout = "2006-01-02 15:04:05"

// group makes the groups and returns the times of the first and last packet
// that are told.
func (l *letterData) group(accused []casedb.LetterGroup) (first, last time.Time) {
	for _, a := range accused { // in order of malware
		if n := len(l.Groups); n == 0 || l.Groups[n-1].Malware != a.Malware {
			l.Groups = append(l.Groups, Group{Malware: a.Malware})
		}
		l.Groups[len(l.Groups)-1].Sources += a.Sources
		l.Sources += a.Sources
	}
	for i := range l.Groups {
		l.Groups[i].Mixed = len(l.Groups) > 1
	}
	return told(accused)
}

// told is when the packets came that a letter about the groups tells of.
func told(accused []casedb.LetterGroup) (first, last time.Time) {
	first, last = accused[0].First, accused[0].Last
	for _, a := range accused {
		if a.First.Before(first) {
			first = a.First
		}
		if a.Last.After(last) {
			last = a.Last
		}
	}
	if earliest := last.Add(-lookBack); first.Before(earliest) {
		first = earliest
	}
	return first, last
}

// PacketsOf returns how many packets of each of the sources a letter of the scope
// tells of; the sources that it may not name are not among them.
func PacketsOf(ctx context.Context, q *casedb.Queries, scope casedb.LetterScope, sources []casedb.Addr) (map[netip.Addr]int64, error) {
	accused, err := q.LetterGroups(ctx, scope)
	if err != nil || len(accused) == 0 {
		return nil, err
	}
	from, to := period(told(accused))
	return q.LetterPackets(ctx, scope, sources, from, to)
}

// count fills in packets and ports.
func (l *letterData) count(counted []casedb.LetterPort) {
	all := map[string]int64{}
	byMalware := map[string]map[string]int64{}
	for _, p := range counted {
		name := portName(p.Proto, p.Port)
		all[name] += p.Packets
		l.Packets += p.Packets
		if byMalware[p.Malware] == nil {
			byMalware[p.Malware] = map[string]int64{}
		}
		byMalware[p.Malware][name] += p.Packets
	}
	l.Ports = topPorts(all, 5)
	for i := range l.Groups {
		l.Groups[i].Ports = topPorts(byMalware[l.Groups[i].Malware], 5)
	}
}

// tabulate writes the table of a group in 75 columns. An address that is longer
// than IPv4's stands in a line of its own, so that the columns stay under each
// other.
func (g *Group) tabulate(rows []casedb.LetterRow, zone *time.Location) {
	var b strings.Builder
	for _, r := range rows {
		source := r.Source.String()
		if len(source) > 15 {
			b.WriteString(source + "\n")
			source = ""
		}
		fmt.Fprintf(&b, "%-15s %-9s %7d  %s  %s\n", source, portName(r.Proto, r.Port), r.Packets,
			r.First.In(zone).Format(timeLayout), r.Last.In(zone).Format(timeLayout))
	}
	g.Table = b.String()
	if len(rows) > 0 {
		g.LeftOut = rows[0].Total - len(rows)
	}
}

func (l *letterData) defaultSubject(c *Composer) string {
	if l.language == "ja" {
		return c.config.OrganisationJA + " からのご連絡"
	}
	return "Message from " + c.config.OrganisationEN
}

// topPorts lists the n ports with the most packets.
func topPorts(ports map[string]int64, n int) string {
	names := make([]string, 0, len(ports))
	for name := range ports {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := ports[b] - ports[a]; d != 0 {
			return int(max(-1, min(1, d)))
		}
		return strings.Compare(a, b)
	})
	return strings.Join(names[:min(n, len(names))], ", ")
}

func protoName(proto int) string {
	switch proto {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmp6"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(proto)
}

// portName writes a port as the reports do: 445/TCP, 53/UDP, ICMP.
func portName(proto, port int) string {
	name := strings.ToUpper(protoName(proto))
	if proto == 1 || proto == 58 {
		return name
	}
	return fmt.Sprintf("%d/%s", port, name)
}

// csvColumns are the columns of Shadowserver's event4_honeypot_darknet report
// that we can fill, and last_seen after its timestamp. There is no dst_ip: it
// would name a sensor.
var csvColumns = []string{"timestamp", "last_seen", "protocol", "src_ip", "src_port", "src_geo", "dst_port", "infection", "family", "tag", "count"}

// evidenceCSV writes the evidence for an owner (RFC 4180). Times are UTC. A
// victim's packets are answers: their source port is that of its service.
func evidenceCSV(rows []casedb.LetterRow, kind casedb.Kind) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(csvColumns); err != nil {
		return nil, fmt.Errorf("write evidence: %w", err)
	}
	for _, r := range rows {
		sourcePort, destPort := "", ""
		if r.SourcePort.Valid {
			sourcePort = strconv.Itoa(int(r.SourcePort.Int32))
		}
		if r.Proto == 6 || r.Proto == 17 || r.Proto == 132 {
			destPort = strconv.Itoa(r.Port)
		}
		if kind == casedb.KindBackscatter {
			sourcePort, destPort = destPort, ""
		}
		record := []string{r.First.UTC().Format(timeLayout), r.Last.UTC().Format(timeLayout), protoName(r.Proto), r.Source.String(),
			sourcePort, r.Country, destPort, infection(r.Malware), r.Malware, r.Rule, strconv.FormatInt(r.Packets, 10)}
		for i := range record {
			record[i] = cell.Neutralise(casedb.CleanLine(record[i], 1000))
		}
		if err := w.Write(record); err != nil {
			return nil, fmt.Errorf("write evidence: %w", err)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

func infection(malware string) string {
	if malware == "" {
		return ""
	}
	return "worm"
}

// likelyZone returns the time zone that the people of a country most likely
// keep, for countries with one zone. Nil: show UTC only.
func likelyZone(country string) (*time.Location, string) {
	zone, ok := countryZones[strings.ToUpper(country)]
	if !ok {
		return nil, ""
	}
	location, err := time.LoadLocation(zone[0])
	if err != nil {
		return nil, ""
	}
	return location, zone[1]
}

// countryZones names zone and label of the countries whose people all keep the
// same time.
var countryZones = map[string][2]string{
	"JP": {"Asia/Tokyo", "JST"}, "KR": {"Asia/Seoul", "KST"}, "TW": {"Asia/Taipei", "UTC+8"}, "CN": {"Asia/Shanghai", "UTC+8"},
	"HK": {"Asia/Hong_Kong", "UTC+8"}, "SG": {"Asia/Singapore", "UTC+8"}, "MY": {"Asia/Kuala_Lumpur", "UTC+8"},
	"PH": {"Asia/Manila", "UTC+8"}, "TH": {"Asia/Bangkok", "UTC+7"}, "VN": {"Asia/Ho_Chi_Minh", "UTC+7"},
	"IN": {"Asia/Kolkata", "IST"}, "PK": {"Asia/Karachi", "UTC+5"}, "BD": {"Asia/Dhaka", "UTC+6"}, "LK": {"Asia/Colombo", "UTC+5:30"},
	"AE": {"Asia/Dubai", "UTC+4"}, "TR": {"Europe/Istanbul", "UTC+3"}, "ZA": {"Africa/Johannesburg", "UTC+2"},
	"GB": {"Europe/London", "London time"}, "IE": {"Europe/Dublin", "Dublin time"}, "DE": {"Europe/Berlin", "Berlin time"},
	"FR": {"Europe/Paris", "Paris time"}, "NL": {"Europe/Amsterdam", "Amsterdam time"}, "BE": {"Europe/Brussels", "Brussels time"},
	"CH": {"Europe/Zurich", "Zurich time"}, "AT": {"Europe/Vienna", "Vienna time"}, "IT": {"Europe/Rome", "Rome time"},
	"SE": {"Europe/Stockholm", "Stockholm time"}, "NO": {"Europe/Oslo", "Oslo time"}, "DK": {"Europe/Copenhagen", "Copenhagen time"},
	"FI": {"Europe/Helsinki", "Helsinki time"}, "PL": {"Europe/Warsaw", "Warsaw time"}, "CZ": {"Europe/Prague", "Prague time"},
}
