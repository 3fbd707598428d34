package evaluation_test

import (
	"net/netip"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/evaluation"
)

func verdict(source string, kind casedb.Kind, packets uint64, port string) casedb.Verdict {
	v := casedb.Verdict{Source: casedb.Addr{Addr: netip.MustParseAddr(source)}, Kind: kind, Rule: "r", Ports: []string{port}}
	v.Evidence.V.Packets = packets
	return v
}

func expectations(t *testing.T, text string) []evaluation.Expectation {
	t.Helper()
	list, err := evaluation.ReadExpectations(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestReportCountsPerKind(t *testing.T) {
	t.Parallel()
	list := expectations(t, "file\tsource\tkind\ttool\tmalware\tacknowledged\tnote\n"+
		"# made up\n\n"+
		"a.pcap\ttop1\tscanner\t*\t-\t*\tthe loudest\n"+
		"a.pcap\t192.0.2.9\tinfected\t-\tmirai\t*\n"+
		"a.pcap\tport:80/TCP\tbackscatter|unknown\t-\t-\t*\n"+
		"a.pcap\tcount:2\tspoofed\t-\t-\t*\n"+
		"a.pcap\tall\t!infected|scanner\t-\t-\t*\n"+
		"a.pcap\taggregate\tdos_victim\t-\t-\t*\n")
	mirai := verdict("192.0.2.9", casedb.KindInfected, 3, "23/TCP")
	mirai.Malware = "mirai"
	var r evaluation.Report
	r.Add("a.pcap", list, []casedb.Verdict{
		verdict("192.0.2.1", casedb.KindScanner, 9, "22/TCP"),
		mirai,
		verdict("192.0.2.2", casedb.KindUnknown, 1, "80/TCP"),
		verdict("192.0.2.3", casedb.KindSpoofed, 1, "9/TCP"),
		verdict("192.0.2.4", casedb.KindUnknown, 1, "9/TCP"),
		verdict("192.0.2.5", casedb.KindInfected, 1, "445/TCP"), // the false accusation
	}, []evaluation.Aggregate{{Kind: "spoofed_flood", Sources: 1}})
	r.Add("b.pcap", list, []casedb.Verdict{verdict("192.0.2.5", casedb.KindInfected, 1, "445/TCP")}, nil) // nothing is said of it
	for name, want := range map[string][2]int{"infected": {1, 1}, "scanner": {1, 1}, "spoofed": {1, 2}, "dos_victim": {0, 1}} {
		if hits, of := r.Recall(name); hits != want[0] || of != want[1] {
			t.Errorf("recall of %s: got %d of %d, want %v", name, hits, of, want)
		}
	}
	if n := r.FalseAccusations(); n != 1 {
		t.Errorf("got %d false accusations, want 1", n)
	}
	var subjects []string
	for _, d := range r.Disagreements() {
		subjects = append(subjects, d.Subject)
	}
	if got := strings.Join(subjects, " "); got != "count:2 192.0.2.5 aggregate aggregate" {
		t.Errorf("got disagreements about %s", got)
	}
	var out strings.Builder
	if err := r.Write(&out); err != nil || !strings.Contains(out.String(), "1 false accusations") {
		t.Errorf("got %v and:\n%s", err, &out)
	}
}

// TestAccusationWithoutALine: a source that no line of its capture names must
// not be accused either.
func TestAccusationWithoutALine(t *testing.T) {
	t.Parallel()
	list := expectations(t, "*.pcap\t192.0.2.1\tscanner\t-\t-\t*\n")
	var r evaluation.Report
	r.Add("a.pcap", list, []casedb.Verdict{verdict("192.0.2.1", casedb.KindScanner, 1, "1/TCP"),
		verdict("192.0.2.2", casedb.KindInfected, 1, "1/TCP")}, nil)
	if r.FalseAccusations() != 1 {
		t.Errorf("got %d", r.FalseAccusations())
	}
}

func TestBadExpectationsAreNamed(t *testing.T) {
	t.Parallel()
	_, err := evaluation.ReadExpectations(strings.NewReader("a\tall\tscanner\t-\t-\t*\n" +
		"a\tall\tburglar\t-\t-\t*\na\tcount:0\tscanner\t-\t-\t*\na\tnobody\tscanner\t-\t-\t*\na all\n[\tall\tscanner\t-\t-\t-\na\tall\tscanner||\t-\t-\t-\n"))
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"line 2", "line 3", "line 4", "line 5", "line 6", "line 7"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
}

func FuzzReadExpectations(f *testing.F) {
	f.Add("file\tsource\tkind\ttool\tmalware\tacknowledged\tnote\na\tall\t!infected|scanner\t*\t-\t*\tx\n")
	f.Add("a\tcount:99999999999999999999\tscanner\t-\t-\t-\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := evaluation.ReadExpectations(strings.NewReader(text))
		if err != nil {
			return
		}
		var r evaluation.Report
		r.Add("a", list, []casedb.Verdict{verdict("192.0.2.1", casedb.KindInfected, 1, "1/TCP")}, nil)
		if err := r.Write(&strings.Builder{}); err != nil {
			t.Error(err)
		}
	})
}
