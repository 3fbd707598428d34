package attribution_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/observation"
)

var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// seen describes an observation for a test; the zero value is one SYN to
// 445/TCP of 198.51.100.1.
type seen struct {
	proto   uint8
	port    uint16
	class   observation.Class
	packets uint64
	dests   uint32
	dest    string
	after   time.Duration // since monday
	length  time.Duration
	marks   []observation.MarkCount
	peers   uint16
	sample  observation.Sample
	sensor  string
}

func (s seen) observation(source string) *observation.Observation {
	if s.proto == 0 {
		s.proto = 6
	}
	if s.port == 0 && s.proto == 6 {
		s.port = 445
	}
	if s.class == observation.ClassNone {
		s.class = observation.ClassSYN
	}
	if s.dest == "" {
		s.dest = "198.51.100.1"
	}
	at := monday.Add(s.after)
	o := &observation.Observation{Window: at.Truncate(time.Hour), Source: netip.MustParseAddr(source), Proto: s.proto, Port: s.port,
		Class: s.class, Packets: max(s.packets, 1), Destinations: max(s.dests, 1), DestinationsExact: true,
		Destination: netip.MustParseAddr(s.dest), PeerPorts: max(s.peers, 1), First: at, Last: at.Add(s.length), Marks: s.marks}
	o.Bytes = 40 * o.Packets
	s.sample.When, s.sample.Source, s.sample.Destination = at, o.Source, o.Destination
	if s.sample.DestPort == 0 {
		s.sample.DestPort = s.port
	}
	o.Samples = []observation.Sample{s.sample}
	o.Fingerprints = []observation.Fingerprint{{TTL: s.sample.TTL, Window: s.sample.Window, Options: strings.Repeat("00", len(s.sample.Options)),
		Packets: o.Packets}}
	return o
}

func marks(list ...any) (m []observation.MarkCount) {
	for i := 0; i < len(list); i += 2 {
		m = append(m, observation.MarkCount{Mark: list[i].(observation.Mark), Packets: uint64(list[i+1].(int))})
	}
	return m
}

func profile(source string, list ...seen) *attribution.Profile {
	p := attribution.NewProfile(netip.MustParseAddr(source), nil)
	for _, s := range list {
		sensor := s.sensor
		if sensor == "" {
			sensor = "north"
		}
		p.Add(sensor, s.observation(source))
	}
	return p
}

func portsOf(n int, from uint16, s seen) (list []seen) {
	for i := range n {
		s.port = from + uint16(i)
		list = append(list, s)
	}
	return list
}

// protocols asks for n IP protocols.
func protocols(n int) (list []seen) {
	for i := range n {
		list = append(list, seen{proto: uint8(60 + i), class: observation.ClassOther})
	}
	return list
}

const day = 24 * time.Hour

var registered = &attribution.Match{Organisation: "Example Research", List: "registration"}

// ruleTest is what was seen of a source and how it is judged.
type ruleTest struct {
	name       string
	source     string
	seen       []seen
	match      *attribution.Match
	kind       casedb.Kind
	rule       string
	tool       string
	malware    string
	actionable bool
}

func worm(packets uint64, dests uint32) seen {
	return seen{packets: packets, dests: dests, marks: marks(observation.MarkWorm445, int(packets)), sample: observation.Sample{Window: 8192, TTL: 113}}
}

func (s seen) at(after time.Duration, dest string) seen {
	s.after, s.dest = after, dest
	return s
}

// talk is packets of conversations.
func talk(packets uint64) seen { return seen{class: observation.ClassACK, packets: packets} }

func synack(port, peer uint16, dest string) seen {
	return seen{class: observation.ClassSYNACK, port: port, dest: dest, packets: 3, sample: observation.Sample{SourcePort: port, DestPort: peer}}
}

func query(packets uint64, dests uint32, peers uint16) seen {
	return seen{proto: 17, port: 53, class: observation.ClassUDP, packets: packets, dests: dests, peers: peers,
		marks: marks(observation.MarkReflectQuery, int(packets), observation.MarkSamePayload, int(packets))}
}

// infectedTests are what infected hosts and their look-alikes send.
func infectedTests() []ruleTest {
	return []ruleTest{
		{name: "worm to several addresses", seen: []seen{worm(6, 3)}, kind: casedb.KindInfected, rule: attribution.RuleWorm445,
			malware: casedb.MalwareMS17010, actionable: true},
		{name: "worm to one address on two days", seen: []seen{worm(2, 1), worm(2, 1).at(day, "198.51.100.1")},
			kind: casedb.KindInfected, rule: attribution.RuleWorm445, malware: casedb.MalwareMS17010, actionable: true},
		{name: "worm to two addresses in two windows", seen: []seen{worm(2, 1), worm(2, 1).at(time.Hour, "198.51.100.2")},
			kind: casedb.KindInfected, rule: attribution.RuleWorm445, malware: casedb.MalwareMS17010, actionable: true},
		{name: "an SMB client of one host", seen: []seen{worm(47, 1)}, kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "an SMB client that talks", seen: []seen{worm(20, 5), talk(20)}, kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "worm's header among many ports", seen: append(portsOf(12, 1000, seen{}), worm(12, 6)), kind: casedb.KindScanner,
			rule: attribution.RuleTSUBAME},
		{name: "worm that writes ZMap's id", seen: []seen{{packets: 6, dests: 3,
			marks: marks(observation.MarkWorm445, 6, observation.MarkZMap, 6), sample: observation.Sample{Window: 8192, TTL: 113}}},
			kind: casedb.KindInfected, rule: attribution.RuleWorm445, malware: casedb.MalwareMS17010, actionable: true},
		{name: "worm from an acknowledged scanner", seen: []seen{worm(6, 3)}, match: registered, kind: casedb.KindScanner,
			rule: attribution.RuleAcknowledged, malware: casedb.MalwareMS17010},
		{name: "Mirai", seen: []seen{{port: 23, packets: 5, dests: 5, marks: marks(observation.MarkMirai, 5)}}, kind: casedb.KindInfected,
			rule: attribution.RuleMirai, malware: casedb.MalwareMirai, actionable: true},
		{name: "Mirai among the host's own connections", seen: []seen{{port: 23, packets: 22, marks: marks(observation.MarkMirai, 11)}, {port: 23,
			class: observation.ClassACK, packets: 100}}, kind: casedb.KindInfected, rule: attribution.RuleMirai,
			malware: casedb.MalwareMirai, actionable: true},
		{name: "Mirai, one packet", seen: []seen{{port: 23, marks: marks(observation.MarkMirai, 1)}}, kind: casedb.KindInfected,
			rule: attribution.RuleMirai, malware: casedb.MalwareMirai},
		{name: "one chance hit of Mirai's mark", seen: []seen{{port: 80, packets: 500, dests: 3, marks: marks(observation.MarkMirai, 1)}},
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "Mirai, destination hidden", seen: []seen{{port: 23, packets: 4, marks: marks(observation.MarkMiraiK, 4), sample: observation.Sample{Window: 14600}}},
			kind: casedb.KindInfected, rule: attribution.RuleMiraiHidden, malware: casedb.MalwareMirai, actionable: true},
		{name: "a flood's shared sequence number", seen: []seen{{port: 25565, packets: 3, marks: marks(observation.MarkMiraiK, 3)}},
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "Slammer", seen: []seen{{proto: 17, port: 1434, class: observation.ClassUDP, packets: 4, marks: marks(observation.MarkSlammer, 4)}},
			kind: casedb.KindInfected, rule: attribution.RuleSlammer, malware: casedb.MalwareSlammer, actionable: true},
		{name: "Slammer, as few packets as anybody can forge", seen: []seen{{proto: 17, port: 1434, class: observation.ClassUDP, packets: 3,
			marks: marks(observation.MarkSlammer, 3)}}, kind: casedb.KindInfected, rule: attribution.RuleSlammer, malware: casedb.MalwareSlammer},
	}
}

// toolTests are what scanners with a mark of their own send.
func toolTests() []ruleTest {
	return []ruleTest{
		{name: "ZMap with its kernel's resets", seen: []seen{{port: 80, packets: 100, dests: 100, marks: marks(observation.MarkZMap, 100)},
			{port: 40000, class: observation.ClassRST, packets: 90}}, kind: casedb.KindScanner, rule: attribution.RuleZMap, tool: "zmap"},
		{name: "ZMap, one packet", seen: []seen{{port: 80, marks: marks(observation.MarkZMap, 1), sample: observation.Sample{Window: 65535, TTL: 240}}},
			kind: casedb.KindScanner, rule: attribution.RuleZMap, tool: "zmap"},
		{name: "id 54321 by chance", seen: []seen{{port: 80, packets: 1994, marks: marks(observation.MarkZMap, 1)}}, kind: casedb.KindUnknown,
			rule: attribution.RuleUnknown},
		{name: "id 54321 of a stack that is not ZMap's", seen: []seen{{port: 80, marks: marks(observation.MarkZMap, 1),
			sample: observation.Sample{Window: 29200, TTL: 50, DF: true}}}, kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "ZMap by its options", seen: []seen{{port: 443, packets: 20, dests: 20, marks: marks(observation.MarkZMapOptions, 20)}},
			kind: casedb.KindScanner, rule: attribution.RuleZMapOptions, tool: "zmap"},
		{name: "Masscan", seen: []seen{{port: 22, packets: 3, dests: 3, marks: marks(observation.MarkMasscan, 3)}}, kind: casedb.KindScanner,
			rule: attribution.RuleMasscan, tool: "masscan"},
		{name: "Masscan, one packet of the new kind", seen: []seen{{port: 22, marks: marks(observation.MarkMasscanK, 1),
			sample: observation.Sample{TTL: 240, Window: 1025, Options: []byte{2, 4, 5, 180}}}}, kind: casedb.KindScanner,
			rule: attribution.RuleMasscanHidden, tool: "masscan"},
		{name: "Masscan's mark on one packet of a nearby stack", seen: []seen{{port: 22, marks: marks(observation.MarkMasscanK, 1),
			sample: observation.Sample{TTL: 55, Window: 1024, Options: []byte{2, 4, 5, 180}}}}, kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "three ports of many addresses", seen: portsOf(3, 8080, seen{packets: 30, dests: 30}), kind: casedb.KindScanner,
			rule: attribution.RuleBlock},
		{name: "high UDP ports of many peers", seen: portsOf(5, 40000, seen{proto: 17, class: observation.ClassUDP, packets: 30, dests: 30}),
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "IP protocols", seen: protocols(12), kind: casedb.KindScanner, rule: attribution.RuleProtocols},
		{name: "few IP protocols", seen: protocols(9), kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "Nmap", seen: []seen{{port: 22, packets: 40, marks: marks(observation.MarkNmap, 20)}}, kind: casedb.KindScanner,
			rule: attribution.RuleNmap, tool: "nmap"},
		{name: "Unicornscan", seen: []seen{{port: 22, packets: 4, marks: marks(observation.MarkUnicornscan, 4)}}, kind: casedb.KindScanner,
			rule: attribution.RuleUnicornscan, tool: "unicornscan"},
		{name: "hping3 sweep", seen: []seen{{port: 22, packets: 100, dests: 100, marks: marks(observation.MarkHping, 100)}},
			kind: casedb.KindScanner, rule: attribution.RuleHping, tool: "hping3"},
		{name: "hping3 flood", seen: []seen{{port: 22, packets: 200, marks: marks(observation.MarkHping, 200)}}, kind: casedb.KindUnknown,
			rule: attribution.RuleUnknown},
		{name: "Angry IP Scanner", seen: []seen{{proto: 1, port: 2048, class: observation.ClassICMPEcho, packets: 9, dests: 9, marks: marks(observation.MarkAngryIP, 9)}},
			kind: casedb.KindScanner, rule: attribution.RuleAngryIP, tool: "angryip"},
		{name: "acknowledged scanner", seen: []seen{{port: 443, packets: 9, dests: 9, marks: marks(observation.MarkZMap, 9)}}, match: registered,
			kind: casedb.KindScanner, rule: attribution.RuleAcknowledged, tool: "zmap"},
	}
}

// synacks go from several high ports to one port of several addresses.
func synacks(header observation.Sample) (list []seen) {
	for i := range uint16(5) {
		s := synack(40000+1000*i, 80, fmt.Sprintf("198.51.100.%d", i+1))
		header.SourcePort, header.DestPort = s.sample.SourcePort, s.sample.DestPort
		s.sample = header
		list = append(list, s)
	}
	return list
}

// answerTests are answers, errors and forged sources.
func answerTests() []ruleTest {
	return []ruleTest{
		{name: "backscatter of a listed address", seen: []seen{synack(80, 2000, "198.51.100.1")}, match: registered,
			kind: casedb.KindBackscatter, rule: attribution.RuleBackscatter},
		{name: "SYN/ACK backscatter", seen: []seen{synack(80, 2000, "198.51.100.1"), synack(80, 3000, "198.51.100.2")},
			kind: casedb.KindBackscatter, rule: attribution.RuleBackscatter},
		{name: "scan with SYN/ACKs", seen: synacks(observation.Sample{Window: 65535, Options: []byte{2, 4, 5, 0xb4}}),
			kind: casedb.KindScanner, rule: attribution.RuleSynackScan},
		{name: "answers to SYNs from one forged port", seen: synacks(observation.Sample{Window: 65535, Options: make([]byte, 20), DF: true}),
			kind: casedb.KindBackscatter, rule: attribution.RuleBackscatter},
		{name: "answers of a talking server", seen: []seen{synack(80, 2000, "198.51.100.1"), {port: 2000, class: observation.ClassACK, packets: 30}},
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "ICMP backscatter", seen: []seen{{proto: 1, port: 53, class: observation.ClassICMPUnreach, packets: 4, dests: 4,
			sample: observation.Sample{Quoted: &observation.Quote{Proto: 17, Source: netip.MustParseAddr("198.51.100.1"), DestPort: 53}}}},
			kind: casedb.KindBackscatter, rule: attribution.RuleBackscatter},
		{name: "answers from a UDP service", seen: []seen{{proto: 17, port: 40000, class: observation.ClassUDP, packets: 4,
			sample: observation.Sample{SourcePort: 161, DestPort: 40000}}}, kind: casedb.KindBackscatter, rule: attribution.RuleBackscatter},
		{name: "reflection victim, repeated", seen: []seen{query(240, 24, 5)}, kind: casedb.KindReflection, rule: attribution.RuleReflection},
		{name: "reflection victim, one port", seen: []seen{query(24, 24, 1)}, kind: casedb.KindReflection, rule: attribution.RuleReflection},
		{name: "search for reflectors", seen: []seen{query(200, 200, 100)}, kind: casedb.KindScanner, rule: attribution.RuleDurumeric},
		{name: "multicast source", source: "ff02::1", seen: []seen{{proto: 58, port: 128 << 8, class: observation.ClassICMPEcho, packets: 9, dest: "2001:db8::1"}},
			kind: casedb.KindSpoofed, rule: attribution.RuleBogon},
		{name: "reserved source", source: "240.1.2.3", seen: []seen{{}}, kind: casedb.KindSpoofed, rule: attribution.RuleBogon},
	}
}

// trafficTests are neighbours' broadcasts, and scans by their shape.
func trafficTests() []ruleTest {
	return []ruleTest{
		{name: "Dropbox to the directed broadcast address", seen: []seen{{proto: 17, port: 17500, class: observation.ClassUDP, packets: 40, dest: "192.0.2.255"}},
			kind: casedb.KindMisconfigured, rule: attribution.RuleBroadcast},
		{name: "NetBIOS from a neighbour", seen: []seen{{proto: 17, port: 138, class: observation.ClassUDP, packets: 40, dest: "192.0.2.77"}},
			kind: casedb.KindMisconfigured, rule: attribution.RuleBroadcast},
		{name: "NetBIOS from elsewhere", seen: []seen{{proto: 17, port: 138, class: observation.ClassUDP, packets: 40, dest: "198.51.100.77"}},
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "a neighbour that scans for NetBIOS", seen: []seen{{proto: 17, port: 137, class: observation.ClassUDP, packets: 200, dests: 200, dest: "192.0.2.1"}},
			kind: casedb.KindScanner, rule: attribution.RuleDurumeric},
		{name: "a host that asks for an address", source: "0.0.0.0", seen: []seen{{proto: 17, port: 67, class: observation.ClassUDP, dest: "255.255.255.255"}},
			kind: casedb.KindMisconfigured, rule: attribution.RuleBroadcast},
		{name: "broadcast", seen: []seen{{proto: 17, port: 17500, class: observation.ClassUDP, packets: 20, dest: "255.255.255.255"}},
			kind: casedb.KindMisconfigured, rule: attribution.RuleBroadcast},
		{name: "ten ports in one day", seen: portsOf(10, 20, seen{}), kind: casedb.KindScanner, rule: attribution.RuleTSUBAME},
		{name: "nine ports in one day", seen: portsOf(9, 20, seen{}), kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "five ports before and five after midnight in Tokyo", seen: append(portsOf(5, 20, seen{after: 14 * time.Hour}),
			portsOf(5, 30, seen{after: 16 * time.Hour})...), kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "ten ports over midnight in UTC", seen: append(portsOf(5, 20, seen{after: 23 * time.Hour}),
			portsOf(5, 30, seen{after: 25 * time.Hour})...), kind: casedb.KindScanner, rule: attribution.RuleTSUBAME},
		{name: "stealth scan", seen: portsOf(20, 20, seen{class: observation.ClassFIN}), kind: casedb.KindScanner, rule: attribution.RuleTSUBAME},
		{name: "ACK scan", seen: portsOf(20, 20, seen{class: observation.ClassACK}), kind: casedb.KindScanner, rule: attribution.RuleTSUBAME},
		{name: "ACK scan of many addresses", seen: portsOf(20, 20, seen{class: observation.ClassACK, packets: 16, dests: 16}), kind: casedb.KindScanner,
			rule: attribution.RuleTSUBAME},
		{name: "one side of conversations with many", seen: portsOf(20, 20, seen{class: observation.ClassACK, packets: 200, dests: 16}),
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "short conversations that end", seen: append(portsOf(20, 20, seen{class: observation.ClassACK, packets: 16, dests: 16}),
			portsOf(20, 20, seen{class: observation.ClassFIN, packets: 16, dests: 16})...), kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "XMAS scan", seen: portsOf(2, 80, seen{class: observation.ClassXmas, packets: 64, dests: 64}), kind: casedb.KindScanner,
			rule: attribution.RuleStealth},
		{name: "NULL scan of one address", seen: portsOf(5, 80, seen{class: observation.ClassNull, packets: 1}), kind: casedb.KindScanner,
			rule: attribution.RuleStealth},
		{name: "XMAS flood", seen: []seen{{port: 80, class: observation.ClassXmas, packets: 5000}}, kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "a client of twenty services", seen: append(portsOf(20, 20, seen{}), portsOf(20, 20, seen{class: observation.ClassACK, packets: 9})...),
			kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
		{name: "sweep of a port", seen: []seen{{port: 8080, packets: 120, dests: 120, length: time.Minute}}, kind: casedb.KindScanner, rule: attribution.RuleDurumeric},
		{name: "one port of one address for days", seen: []seen{{port: 7001}, {port: 7001, after: day}, {port: 7001, after: 2 * day}},
			kind: casedb.KindMisconfigured, rule: attribution.RuleMisconfigured},
		{name: "one SYN", seen: []seen{{port: 8080}}, kind: casedb.KindUnknown, rule: attribution.RuleUnknown},
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, test := range slices.Concat(infectedTests(), toolTests(), answerTests(), trafficTests()) {
		t.Run(test.name, func(t *testing.T) { checkRule(t, test) })
	}
}

// checkRule judges what was seen of a source.
func checkRule(t *testing.T, test ruleTest) {
	t.Parallel()
	if test.source == "" {
		test.source = "192.0.2.10"
	}
	v := attribution.JudgeProfile(profile(test.source, test.seen...), test.match)
	if v.Kind != test.kind || v.Rule != test.rule || v.Tool != test.tool || v.Malware != test.malware {
		t.Errorf("got %s by %s, tool %q, malware %q; want %s by %s, %q, %q (%+v)", v.Kind, v.Rule, v.Tool, v.Malware,
			test.kind, test.rule, test.tool, test.malware, v.Evidence.V)
	}
	if got := v.Kind == casedb.KindInfected && attribution.MayTell(&v); got != test.actionable {
		t.Errorf("actionable: got %v, want %v (%+v)", got, test.actionable, v.Evidence.V)
	}
	if test.match != nil && v.Kind == casedb.KindScanner && v.Acknowledged != test.match.Organisation {
		t.Errorf("acknowledged: got %q", v.Acknowledged)
	}
	e := v.Evidence.V
	if v.Ruleset != attribution.RuleSet || e.Chance < 0 || e.Chance > 1 || e.Hits > 0 && e.Hits > e.Of || v.Confidence < 0 || v.Confidence > 1 {
		t.Errorf("got %+v", v)
	}
	for _, lang := range []string{"ja", "en"} {
		if s := explain.Verdict(&v, lang); s == "" || strings.ContainsAny(s, "{}") {
			t.Errorf("%s: explained as %q", lang, s)
		}
	}
}

func TestContradictionIsShownAndNeverExcused(t *testing.T) {
	t.Parallel()
	s := seen{packets: 6, dests: 3, marks: marks(observation.MarkWorm445, 6), sample: observation.Sample{Window: 8192, TTL: 113}}
	v := attribution.JudgeProfile(profile("192.0.2.10", s), registered)
	if v.Attention == "" || !slices.Contains(v.Evidence.V.Also, attribution.RuleWorm445) || attribution.MayTell(&v) {
		t.Errorf("got %+v", v)
	}
	s.marks = marks(observation.MarkWorm445, 6, observation.MarkZMap, 6)
	v = attribution.JudgeProfile(profile("192.0.2.10", s), nil)
	if v.Kind != casedb.KindInfected || !slices.Equal(v.Evidence.V.Also, []string{attribution.RuleZMap}) {
		t.Errorf("an infected host with a crafted id: got %+v", v)
	}
}

func TestEveryRuleAndNoteIsExplained(t *testing.T) {
	t.Parallel()
	list := attribution.Rules()
	for i, r := range list {
		if !explain.HasRule(r.Name()) {
			t.Errorf("rule %s has no text", r.Name())
		}
		if _, ok := r.Judge(profile("192.0.2.1", seen{port: 8080})); ok != (i == len(list)-1) {
			t.Errorf("rule %s on one SYN: got %v", r.Name(), ok)
		}
	}
	for _, n := range attribution.Notes {
		if !explain.HasNote(n) {
			t.Errorf("note %s has no text", n)
		}
	}
}

func TestProfileIsBounded(t *testing.T) {
	t.Parallel()
	p := attribution.NewProfile(netip.MustParseAddr("192.0.2.1"), nil)
	total := uint64(0)
	for i := range 70000 {
		s := seen{port: uint16(i), after: time.Duration(i) * time.Minute, dest: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String()}
		if i%3 == 0 {
			s.proto, s.class = 17, observation.ClassUDP
		}
		p.Add("sensor-"+string(rune('a'+i%100)), s.observation("192.0.2.1"))
		total++
	}
	if p.Packets() != total || p.Sensors() != 64 || p.Days() != 32 || p.Destinations() != 64 {
		t.Errorf("got %d packets, %d sensors, %d days, %d destinations", p.Packets(), p.Sensors(), p.Days(), p.Destinations())
	}
	v := attribution.JudgeProfile(p, nil)
	if v.Kind != casedb.KindScanner || len(v.Ports) > 20 || !slices.Contains(v.Evidence.V.Notes, attribution.NoteRest) {
		t.Errorf("got %+v", v)
	}
}

func TestAddDoesNotAllocateForAKnownSource(t *testing.T) {
	o := seen{port: 23, marks: marks(observation.MarkMirai, 1)}.observation("192.0.2.1")
	all := attribution.NewProfiles(attribution.Options{})
	all.Add("north", o)
	if n := testing.AllocsPerRun(100, func() { all.Add("north", o) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
