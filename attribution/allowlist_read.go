package attribution

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/publicsuffix"

	"teiten/internal/casedb"
)

// ListFormat is the format of a list of scanners.
type ListFormat string

// The formats that ReadList tells apart by their content.
const (
	// FormatCIDR is one prefix or address a line; "#" begins a comment.
	FormatCIDR ListFormat = "cidr"
	// FormatMISP is a MISP warninglist: {"name", "version", "type": "cidr", "list": [...]}.
	FormatMISP ListFormat = "misp"
	// FormatNamed is one address a line with its reverse name behind "#".
	FormatNamed ListFormat = "named"
	// FormatNICT is [{"ip", "scanner", "last_seen"}].
	FormatNICT ListFormat = "nict"
)

// Limits of a list.
const (
	// MaxListBytes is the size beyond which a list is refused.
	MaxListBytes = 128 << 20
	// MaxListEntries is the number of entries beyond which a list is refused.
	MaxListEntries = 2_000_000
	maxListLine    = 64 << 10
	maxProblems    = 1000
	maxName        = 200
	// seenFor is how long before and after the day it was last seen an address
	// of a dated list counts as the organisation's: such addresses change hands.
	seenFor = 365 * 24 * time.Hour
	// The widest prefixes that a list may hold. A wider one is a mistake that
	// would excuse half the Internet.
	minBits4, minBits6 = 8, 19
)

// ErrTooLarge says that a list is beyond MaxListBytes.
var ErrTooLarge = errors.New("list is too large")

// ErrTooMany says that a list has more than MaxListEntries.
var ErrTooMany = errors.New("list has too many entries")

// ErrNoEntries says that nothing in a list could be used.
var ErrNoEntries = errors.New("no entries in the list")

// Problem is a line of a list that could not be used, or was with a doubt.
type Problem struct {
	Line int // from 1; for JSON the line on which the element begins
	Text string
	Why  string
	Used bool
}

// String writes the problem as "line 3: why: text".
func (p Problem) String() string {
	s := fmt.Sprintf("line %d: %s: %q", p.Line, p.Why, p.Text)
	if p.Used {
		s += " (used all the same)"
	}
	return s
}

// ScannerList is a list of scanners that was read.
type ScannerList struct {
	Name     string // the file's name without folders and ending
	Format   ListFormat
	Entries  []casedb.Scanner
	Problems []Problem // bad and doubtful lines, the first thousand
	Bad      int       // all lines that could not be used
	Doubtful int       // all lines that were used though something is odd about them: host bits, the other IP version
	Repeats  []Problem // lines that say what others say already, the first thousand
	Repeated int       // all of these: duplicates, which are dropped, and prefixes inside others
	lines    []int32   // of the entries
	version  int       // of IP that the name promises; 0: none
}

// ReadList reads a list of scanners in any of the formats. name is the file's
// name, from which a plain list takes its organisation. Lines that cannot be
// used are reported with their number and left out; an error means that the
// list as a whole is unusable.
func ReadList(r io.Reader, name string) (*ScannerList, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxListBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read list %s: %w", name, err)
	}
	if len(data) > MaxListBytes {
		return nil, fmt.Errorf("read list %s: %w", name, ErrTooLarge)
	}
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	base = strings.TrimSuffix(base, path.Ext(base))
	l := &ScannerList{Name: casedb.CleanLine(base, maxName)}
	switch lower := strings.ToLower(l.Name); {
	case strings.HasSuffix(lower, "v4"):
		l.version = 4
	case strings.HasSuffix(lower, "v6"):
		l.version = 6
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch first := bytes.TrimLeftFunc(data, unicode.IsSpace); {
	case len(first) > 0 && first[0] == '{':
		l.Format = FormatMISP
		err = l.readMISP(data)
	case len(first) > 0 && first[0] == '[':
		l.Format = FormatNICT
		err = l.readNICT(data)
	default:
		l.Format = FormatCIDR
		l.readLines(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read list %s: %w", name, err)
	}
	if len(l.Entries) > MaxListEntries {
		return nil, fmt.Errorf("read list %s: %w: more than %d", name, ErrTooMany, MaxListEntries)
	}
	l.findRepeats()
	if len(l.Entries) == 0 && l.Bad > 0 {
		return l, fmt.Errorf("read list %s: %w (%s)", name, ErrNoEntries, l.Problems[0])
	}
	return l, nil
}

func (l *ScannerList) problem(line int, text, why string) {
	l.Bad++
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, Problem{Line: line, Text: casedb.CleanLine(text, 100), Why: why})
	}
}

// doubt names a line that is used all the same.
func (l *ScannerList) doubt(line int, text, why string) {
	l.Doubtful++
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, Problem{Line: line, Text: casedb.CleanLine(text, 100), Why: why, Used: true})
	}
}

func (l *ScannerList) add(line int, text, organisation string, from, to *time.Time) {
	prefix, why := parseListPrefix(text)
	if why != "" {
		l.problem(line, text, why)
		return
	}
	if len(l.Entries) > MaxListEntries {
		return // the list is refused
	}
	if prefix != prefix.Masked() {
		prefix = prefix.Masked()
		l.doubt(line, text, "host bits are set, read as "+prefix.String())
	}
	switch v6 := prefix.Addr().Is6(); {
	case l.version == 4 && v6:
		l.doubt(line, text, "IPv6 in a list of IPv4")
	case l.version == 6 && !v6:
		l.doubt(line, text, "IPv4 in a list of IPv6")
	}
	l.lines = append(l.lines, int32(min(line, math.MaxInt32)))
	if organisation = casedb.CleanLine(organisation, maxName); organisation == "" {
		organisation = l.Name
	}
	l.Entries = append(l.Entries, casedb.Scanner{Prefix: casedb.Prefix{Prefix: prefix}, Organisation: organisation,
		List: l.Name, ValidFrom: from, ValidTo: to})
}

// parseListPrefix reads an address or a prefix and says why it will not do.
func parseListPrefix(s string) (netip.Prefix, string) {
	var p netip.Prefix
	if strings.Contains(s, "/") {
		var err error
		if p, err = netip.ParsePrefix(s); err != nil {
			return p, "not a prefix"
		}
	} else {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return p, "not an address"
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return p, "too wide"
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p.Addr().Is4() && p.Bits() < minBits4 || p.Addr().Is6() && p.Bits() < minBits6 {
		return p, "too wide"
	}
	return p, ""
}

// findRepeats drops duplicates and names them, and names prefixes inside others
// of the same organisation.
func (l *ScannerList) findRepeats() {
	order := make([]int32, len(l.Entries))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &l.Entries[a], &l.Entries[b]
		return cmp.Or(x.Prefix.Addr().Compare(y.Prefix.Addr()), cmp.Compare(x.Prefix.Bits(), y.Prefix.Bits()),
			strings.Compare(x.Organisation, y.Organisation), cmp.Compare(a, b))
	})
	repeats := map[int32]string{} // by entry
	drop := map[int32]bool{}
	var around []int32 // the prefixes that hold the current one
	for k, i := range order {
		e := &l.Entries[i]
		for len(around) > 0 && !l.Entries[around[len(around)-1]].Prefix.Contains(e.Prefix.Addr()) {
			around = around[:len(around)-1]
		}
		if k > 0 {
			if j := order[k-1]; l.Entries[j].Prefix == e.Prefix && l.Entries[j].Organisation == e.Organisation {
				// Several dates of one address stay.
				if sameTime(l.Entries[j].ValidFrom, e.ValidFrom) && sameTime(l.Entries[j].ValidTo, e.ValidTo) {
					repeats[i], drop[i] = fmt.Sprintf("the same as line %d", l.lines[j]), true
				}
				continue
			}
		}
		for n := len(around) - 1; n >= 0; n-- {
			if w := &l.Entries[around[n]]; w.Prefix != e.Prefix && w.Organisation == e.Organisation {
				repeats[i] = fmt.Sprintf("inside %s of line %d", w.Prefix, l.lines[around[n]])
				break
			}
		}
		if e.Prefix.Bits() < e.Prefix.Addr().BitLen() {
			around = append(around, i)
		}
	}
	l.Repeated = len(repeats)
	for i := range l.Entries {
		if len(l.Repeats) == maxProblems {
			break
		}
		if why, ok := repeats[int32(i)]; ok {
			l.Repeats = append(l.Repeats, Problem{Line: int(l.lines[i]), Text: l.Entries[i].Prefix.String(), Why: why, Used: !drop[int32(i)]})
		}
	}
	if len(drop) > 0 {
		kept := l.Entries[:0]
		for i := range l.Entries {
			if !drop[int32(i)] {
				kept = append(kept, l.Entries[i])
			}
		}
		l.Entries = kept
	}
	l.lines = nil
}

func sameTime(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

// readLines reads one prefix or address a line. Where what stands behind "#" is
// a host name, the organisation is the name's registered domain.
func (l *ScannerList) readLines(data []byte) {
	organisation := organisationOfFile(l.Name)
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(make([]byte, 4<<10), len(data)+1)
	for n := 1; scan.Scan(); n++ {
		if len(scan.Bytes()) > maxListLine {
			l.problem(n, string(scan.Bytes()[:100]), "line is too long")
			continue
		}
		text, comment, _ := strings.Cut(scan.Text(), "#")
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		name := organisation
		if d := registeredDomain(comment); d != "" {
			l.Format = FormatNamed
			name = d
		}
		l.add(n, text, name, nil, nil)
	}
}

// organisationOfFile turns "censys_v4" into "censys".
func organisationOfFile(name string) string {
	for _, end := range []string{"_v4", "_v6", "-v4", "-v6", "_ipv4", "_ipv6"} {
		name = strings.TrimSuffix(name, end)
	}
	return name
}

// registeredDomain returns the registered domain of a host name in a comment,
// "" if the comment is none.
func registeredDomain(comment string) string {
	host := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(comment), "."))
	if host == "" || len(host) > 253 || strings.ContainsAny(host, " \t/:@") || !strings.Contains(host, ".") {
		return ""
	}
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return d
}

// mispList is a MISP warninglist.
type mispList struct {
	Name string            `json:"name"`
	Type string            `json:"type"`
	List []json.RawMessage `json:"list"`
}

func (l *ScannerList) readMISP(data []byte) error {
	var m mispList
	if err := json.Unmarshal(data, &m); err != nil {
		return jsonError(data, err)
	}
	if m.List == nil {
		return errors.New(`not a MISP warninglist: it has no "list"`)
	}
	if m.Type != "" && m.Type != "cidr" {
		return fmt.Errorf("a MISP warninglist of type %q, not cidr", m.Type)
	}
	organisation := organisationOfTitle(m.Name)
	lines := newLineCounter(data)
	for _, raw := range m.List {
		var text string
		line := lines.find(raw)
		if err := json.Unmarshal(raw, &text); err != nil {
			l.problem(line, string(raw), "not a string")
			continue
		}
		l.add(line, strings.TrimSpace(text), organisation, nil, nil)
	}
	return nil
}

// organisationOfTitle takes the organisation out of a warninglist's name:
// "Censys IP Ranges Used for Scanning", "List of published IP address ranges for
// Modat Scanner".
func organisationOfTitle(title string) string {
	s := casedb.CleanLine(title, maxName)
	lower := strings.ToLower(s)
	if i := strings.LastIndex(lower, " for "); i > 0 && strings.HasPrefix(lower, "list of ") {
		s = s[i+len(" for "):]
	}
	for _, begin := range []string{" ip range", " ip-range", " ip address", " ips "} {
		if i := strings.Index(strings.ToLower(s), begin); i > 0 {
			s = s[:i]
		}
	}
	for _, end := range []string{" scanners", " scanner"} {
		if n := len(s) - len(end); n > 0 && strings.EqualFold(s[n:], end) {
			s = s[:n]
		}
	}
	return strings.TrimSpace(s)
}

// nictEntry is one address of NICT's survey-scanner list.
type nictEntry struct {
	IP       string `json:"ip"`
	Scanner  string `json:"scanner"`
	LastSeen string `json:"last_seen"`
}

func (l *ScannerList) readNICT(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return jsonError(data, err)
	}
	lines := newLineCounter(data)
	for _, raw := range list {
		line := lines.find(raw)
		var e nictEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			l.problem(line, string(raw), "not an object of ip, scanner and last_seen")
			continue
		}
		var from, to *time.Time
		if e.LastSeen != "" {
			seen, err := time.Parse(time.DateOnly, e.LastSeen)
			if err != nil {
				l.problem(line, e.LastSeen, "last_seen is not a date")
				continue
			}
			a, b := seen.Add(-seenFor), seen.Add(seenFor)
			from, to = &a, &b
		}
		l.add(line, strings.TrimSpace(e.IP), e.Scanner, from, to)
	}
	return nil
}

// jsonError adds the line to a syntax error.
func jsonError(data []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := int64(-1)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if offset >= 0 && offset <= int64(len(data)) {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte("\n")), err)
	}
	return err
}

// lineCounter finds the lines of JSON elements, which are asked for in order.
type lineCounter struct {
	data []byte
	line int
}

func newLineCounter(data []byte) *lineCounter { return &lineCounter{data: data, line: 1} }

// find returns the line on which raw begins. Raw messages are copies, so the
// text is looked for, never behind what was found before.
func (c *lineCounter) find(raw []byte) int {
	i := bytes.Index(c.data, raw)
	if i < 0 {
		return c.line
	}
	c.line += bytes.Count(c.data[:i], []byte("\n"))
	line := c.line
	c.line += bytes.Count(raw, []byte("\n"))
	c.data = c.data[i+len(raw):]
	return line
}
