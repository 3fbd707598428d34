package attribution_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/corpus"
)

const (
	cidrList = "# scanners of Example Research\n192.0.2.0/26\n\n  198.51.100.7 \n2001:db8::/32 # our IPv6\n"
	mispList = `{
  "description": "made up",
  "list": [
    "192.0.2.0/26",
    "2001:db8::/48"
  ],
  "matching_attributes": ["ip-src"],
  "name": "Example IP Ranges Used for Scanning",
  "type": "cidr",
  "version": 1
}`
	namedList = "# Reference: https://scanners.example/\n192.0.2.1 # scan-01.research.example\n192.0.2.2 # probe.example.org\n192.0.2.3\n    \n"
	nictList  = `[
    {
        "ip":"192.0.2.1",
        "scanner":"Example Research (scan.example)",
        "last_seen":"2025-12-29"
    },
    {"ip":"192.0.2.2", "scanner":"Example Census"}
]`
)

func TestReadListTellsTheFormats(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		format     attribution.ListFormat
		want       []string
	}{
		{"research_v4.txt", cidrList, attribution.FormatCIDR, []string{"192.0.2.0/26 research", "198.51.100.7/32 research", "2001:db8::/32 research"}},
		{"lists/example.json", mispList, attribution.FormatMISP, []string{"192.0.2.0/26 Example", "2001:db8::/48 Example"}},
		{"mass.txt", namedList, attribution.FormatNamed, []string{"192.0.2.1/32 research.example", "192.0.2.2/32 example.org", "192.0.2.3/32 mass"}},
		{"survey.json", nictList, attribution.FormatNICT, []string{"192.0.2.1/32 Example Research (scan.example)", "192.0.2.2/32 Example Census"}},
		{"bom.txt", "\ufeff192.0.2.1\r\n192.0.2.2/32\r\n", attribution.FormatCIDR, []string{"192.0.2.1/32 bom", "192.0.2.2/32 bom"}},
		{"empty.txt", "", attribution.FormatCIDR, nil},
	} {
		l, err := attribution.ReadList(strings.NewReader(test.text), test.name)
		if err != nil || l.Bad != 0 {
			t.Errorf("%s: %v, problems %v", test.name, err, l)
			continue
		}
		var got []string
		for _, e := range l.Entries {
			got = append(got, e.Prefix.String()+" "+e.Organisation)
		}
		if l.Format != test.format || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %s %q, want %s %q", test.name, l.Format, got, test.format, test.want)
		}
	}
}

func TestReadListNamesTheLinesItCannotUse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		lines []int
	}{
		{"192.0.2.1\nnonsense\n0.0.0.0/0\n192.0.2.1/33\n2001:db8::1%eth0\n192.0.2.1,\n", []int{2, 3, 4, 5, 6}},
		{"{\"name\": \"x\", \"list\": [\n\"192.0.2.1\",\n7,\n\"192.0.2.300\"\n]}", []int{3, 4}},
		{"[\n{\"ip\": \"192.0.2.1\"},\n{\"ip\": \"192.0.2.2\", \"last_seen\": \"yesterday\"},\n\"192.0.2.3\"]", []int{3, 4}},
	} {
		l, err := attribution.ReadList(strings.NewReader(test.text), "list")
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		var lines []int
		for _, p := range l.Problems {
			lines = append(lines, p.Line)
		}
		if !slices.Equal(lines, test.lines) || l.Bad != len(lines) || len(l.Entries) != 1 {
			t.Errorf("%q: got problems %v and %d entries, want lines %v", test.text, l.Problems, len(l.Entries), test.lines)
		}
	}
	for _, text := range []string{"nonsense\n", `{"name": "x"}`, `{"list": ["a"], "type": "regex"}`, `[{"ip": `, `{`, "[1]", "\x00\x01"} {
		if l, err := attribution.ReadList(strings.NewReader(text), "list"); err == nil {
			t.Errorf("%q: got %+v, want an error", text, l)
		}
	}
	if _, err := attribution.ReadList(strings.NewReader("nonsense"), "list"); !errors.Is(err, attribution.ErrNoEntries) {
		t.Errorf("got %v, want ErrNoEntries", err)
	}
	if _, err := attribution.ReadList(bytes.NewReader(make([]byte, attribution.MaxListBytes+1)), "list"); !errors.Is(err, attribution.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func FuzzReadList(f *testing.F) {
	for _, s := range []string{cidrList, mispList, namedList, nictList, "[[", `{"list":[`, "192.0.2.0/0", "::ffff:192.0.2.1/97"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := attribution.ReadList(bytes.NewReader(data), "made up.txt")
		if err != nil {
			return
		}
		if len(l.Problems) > 1000 || len(l.Problems) > l.Bad+l.Doubtful {
			t.Errorf("got %d problems of %d", len(l.Problems), l.Bad)
		}
		for _, e := range l.Entries {
			if !e.Prefix.IsValid() || e.Prefix != (casedb.Prefix{Prefix: e.Prefix.Masked()}) || e.Organisation == "" || e.Prefix.Bits() < 8 {
				t.Errorf("got entry %+v", e)
			}
		}
		attribution.NewAllowlist(l.Entries)
	})
}

func TestAllowlist(t *testing.T) {
	t.Parallel()
	date := func(s string) *time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return &d
	}
	entry := func(prefix, organisation, list string, from, to *time.Time) casedb.Scanner {
		return casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix(prefix)}, Organisation: organisation, List: list,
			ValidFrom: from, ValidTo: to}
	}
	a := attribution.NewAllowlist([]casedb.Scanner{
		entry("192.0.2.0/24", "Wide", "b", nil, nil),
		entry("192.0.2.0/26", "Old", "a", nil, date("2024-01-01")),
		entry("192.0.2.64/26", "Census", "b", nil, nil),
		entry("192.0.2.64/26", "census.example", "c", nil, nil),
		entry("192.0.2.64/26", "Somebody", "registration", nil, nil),
		entry("2001:db8::/32", "Six", "b", date("2025-01-01"), nil),
		{},
	})
	for _, test := range []struct {
		addr, at, organisation string
		conflicts              []string
	}{
		{"192.0.2.1", "2023-06-01", "Old", []string{"Wide"}},
		{"192.0.2.1", "2024-06-01", "Wide", nil},
		{"192.0.2.70", "2024-06-01", "Somebody", []string{"Census", "census.example", "Wide"}},
		{"192.0.2.200", "2024-06-01", "Wide", nil},
		{"::ffff:192.0.2.200", "2024-06-01", "Wide", nil},
		{"2001:db8::1", "2024-06-01", "", nil},
		{"2001:db8::1", "2025-06-01", "Six", nil},
		{"198.51.100.1", "2025-06-01", "", nil},
	} {
		m, ok := a.Lookup(netip.MustParseAddr(test.addr), *date(test.at))
		if m.Organisation != test.organisation || ok != (test.organisation != "") || !slices.Equal(m.Conflicts, test.conflicts) {
			t.Errorf("%s at %s: got %+v, want %q and %v", test.addr, test.at, m, test.organisation, test.conflicts)
		}
	}
	if _, ok := a.Lookup(netip.Addr{}, time.Time{}); ok || a.Len() != 6 {
		t.Errorf("got %d entries", a.Len())
	}
}

// TestScannerListsOfTheCorpus reads lists in all formats, made up and as others
// write them.
func TestScannerListsOfTheCorpus(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "scanners", func(t *testing.T, c corpus.Corpus) { readScannerLists(t, c.Dir) })
}

func readScannerLists(t *testing.T, root string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d lists in %s, %v", len(files), root, err)
	}
	formats := map[attribution.ListFormat]int{}
	for _, file := range files {
		if ext := filepath.Ext(file); ext == ".md" || ext == ".csv" {
			continue
		}
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		l, err := attribution.ReadList(in, file)
		in.Close()
		if err != nil {
			t.Error(err)
			continue
		}
		// One list holds paths and mistyped addresses among its 18,000 lines.
		if len(l.Entries) == 0 || l.Bad*1000 > len(l.Entries) || len(l.Problems) != l.Bad+l.Doubtful {
			t.Errorf("%s: got %d entries, %d problems, the first %v", filepath.Base(file), len(l.Entries), l.Bad, l.Problems)
		}
		formats[l.Format] += len(l.Entries)
	}
	t.Logf("entries by format: %v", formats)
	if len(formats) != 4 {
		t.Errorf("got formats %v, want four", formats)
	}
}

// TestOddLinesAreNamed: host bits, the other IP version, duplicates and
// prefixes inside others are named by line and used, duplicates once.
func TestOddLinesAreNamed(t *testing.T) {
	t.Parallel()
	l, err := attribution.ReadList(strings.NewReader("192.0.2.0/24\n192.0.2.65/26\n2001:db8::/32\n192.0.2.0/24\nnobody\n198.51.100.1\n"), "example_v4.txt")
	if err != nil {
		t.Fatal(err)
	}
	var problems, repeats []string
	for _, p := range l.Problems {
		problems = append(problems, p.String())
	}
	for _, p := range l.Repeats {
		repeats = append(repeats, p.String())
	}
	if diff := cmp.Diff([]string{
		`line 2: host bits are set, read as 192.0.2.64/26: "192.0.2.65/26" (used all the same)`,
		`line 3: IPv6 in a list of IPv4: "2001:db8::/32" (used all the same)`,
		`line 5: not an address: "nobody"`,
	}, problems); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		`line 2: inside 192.0.2.0/24 of line 1: "192.0.2.64/26" (used all the same)`,
		`line 4: the same as line 1: "192.0.2.0/24"`,
	}, repeats); diff != "" {
		t.Error(diff)
	}
	if len(l.Entries) != 4 || l.Bad != 1 || l.Doubtful != 2 || l.Repeated != 2 {
		t.Errorf("got %d entries, %d bad, %d doubtful, %d repeated", len(l.Entries), l.Bad, l.Doubtful, l.Repeated)
	}
}
