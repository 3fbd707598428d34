package attribution_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/observation"
)

func portSet(t *testing.T, text string) casedb.PortSet {
	t.Helper()
	s, err := casedb.ParsePorts(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUndeclaredPorts(t *testing.T) {
	t.Parallel()
	web := seen{port: 443, packets: 90, dests: 90}
	many := append([]seen{web}, portsOf(30, 9000, seen{packets: 2})...)
	for _, c := range []struct {
		name     string
		declared string
		seen     []seen
		want     string // the undeclared ports
		packets  uint64
		more     int
	}{
		{name: "nothing declared", seen: []seen{web, {port: 23, packets: 9}}},
		{name: "inside", declared: "80/TCP, 443/TCP", seen: []seen{web}},
		{name: "outside", declared: "80/TCP", seen: []seen{web, {port: 80, packets: 20}, {port: 23, packets: 2}}, want: "443/TCP 23/TCP", packets: 92},
		{name: "one stray packet", declared: "443/TCP", seen: []seen{web, {port: 23}}},
		{name: "two", declared: "443/TCP", seen: []seen{web, {port: 23}, {port: 22}}, want: "22/TCP 23/TCP", packets: 2},
		{name: "the other protocol", declared: "443/TCP", seen: []seen{web, {proto: 17, port: 443, class: observation.ClassUDP, packets: 5}}, want: "443/UDP", packets: 5},
		{name: "a range", declared: "400-500/TCP", seen: []seen{web, {port: 400, packets: 3}, {port: 500, packets: 3}}},
		{name: "pings", declared: "443/TCP", seen: []seen{web, {proto: 1, port: 8 << 8, class: observation.ClassICMPEcho, packets: 5}}, want: "ICMP", packets: 5},
		{name: "pings that are declared", declared: "443/TCP icmp", seen: []seen{web, {proto: 1, port: 8 << 8, class: observation.ClassICMPEcho, packets: 5}}},
		{name: "resets of the kernel", declared: "443/TCP", seen: []seen{web, {port: 5555, class: observation.ClassRST, packets: 50}}},
		{name: "errors", declared: "443/TCP", seen: []seen{web, {proto: 1, port: 9999, class: observation.ClassICMPUnreach, packets: 50}}},
		{name: "a conversation", declared: "443/TCP", seen: []seen{web, {port: 80, packets: 2}, {port: 80, class: observation.ClassACK, packets: 20}}},
		{name: "fragments have no port", declared: "443/TCP", seen: []seen{web, {class: observation.ClassFragment, packets: 20}}},
		{name: "more than are named", declared: "443/TCP", seen: many, want: "9000/TCP", packets: 60, more: 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			match := &attribution.Match{Organisation: "Example Research", List: "registration", Ports: portSet(t, c.declared)}
			v := attribution.JudgeProfile(profile("192.0.2.10", c.seen...), match)
			u := v.Evidence.V.Undeclared
			if c.want == "" {
				if v.Attention != "" || u != nil || v.Acknowledged == "" {
					t.Fatalf("got %q, %+v", v.Attention, u)
				}
				return
			}
			if v.Kind != casedb.KindScanner || v.Attention != attribution.AttentionUndeclared || attribution.MayTell(&v) {
				t.Fatalf("got %+v", v)
			}
			if !strings.HasPrefix(strings.Join(u.Ports, " "), c.want) || u.Packets != c.packets || u.More != c.more || u.Of < u.Packets || len(u.Ports) > 20 {
				t.Errorf("got %+v, want %s", u, c.want)
			}
			for lang, want := range map[string]string{"en": "not declared: " + u.Ports[0], "ja": "届け出のないポート (" + u.Ports[0]} {
				if text := explain.Verdict(&v, lang); !strings.Contains(text, want) || strings.Contains(text, "{") {
					t.Errorf("%s: got %s", lang, text)
				}
			}
		})
	}
}

// TestUndeclaredPortsAndMalware: the malware is named first, both are told.
func TestUndeclaredPortsAndMalware(t *testing.T) {
	t.Parallel()
	match := &attribution.Match{Organisation: "Example Research", List: "registration", Ports: portSet(t, "80/TCP")}
	v := attribution.JudgeProfile(profile("192.0.2.10", seen{port: 23, packets: 9, dests: 9, marks: marks(observation.MarkMirai, 9)}), match)
	if v.Attention != "malware:mirai" || v.Evidence.V.Undeclared == nil || attribution.MayTell(&v) {
		t.Errorf("got %+v", v)
	}
	var out bytes.Buffer
	w := attribution.NewWriter(&out)
	if err := w.WriteVerdict(&v); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var line struct{ Evidence casedb.Evidence }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || !reflect.DeepEqual(line.Evidence.Undeclared, v.Evidence.V.Undeclared) {
		t.Errorf("written as %s, %v", out.Bytes(), err)
	}
}

// TestMatchedEntryDeclares: the entry that gives the organisation gives the
// ports too; what others say is a conflict and no declaration.
func TestMatchedEntryDeclares(t *testing.T) {
	t.Parallel()
	entry := func(prefix, organisation, list, ports string) casedb.Scanner {
		return casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix(prefix)}, Organisation: organisation, List: list, Ports: portSet(t, ports)}
	}
	a := attribution.NewAllowlist([]casedb.Scanner{entry("192.0.2.0/24", "Other", "public", "1-65535/TCP"),
		entry("192.0.2.0/26", "Another", "public", ""), entry("192.0.2.0/26", "Example", casedb.ListRegistration, "80/TCP")})
	m, ok := a.Lookup(netip.MustParseAddr("192.0.2.9"), monday)
	if !ok || m.Organisation != "Example" || m.Ports.String() != "80/TCP" || len(m.Conflicts) != 2 {
		t.Errorf("got %+v", m)
	}
	v := attribution.JudgeProfile(profile("192.0.2.9", seen{port: 22, packets: 5, dests: 5}), &m)
	if v.Attention != attribution.AttentionUndeclared || len(v.Evidence.V.Notes) == 0 || v.Evidence.V.Notes[0] != attribution.NoteConflict {
		t.Errorf("got %+v", v)
	}
}

// TestDeclarationIsJudgedAgain: a declaration that changes makes its sources
// due, and a re-judgement lists what it changes.
func TestDeclarationIsJudgedAgain(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	now := monday.Add(day)
	j := &attribution.Judge{DB: db, Now: func() time.Time { return now }}
	put(t, db, "north", 0, map[string]seen{"203.0.113.10": {port: 23, packets: 5, dests: 5}})
	add := func(organisation, ports string) casedb.Scanner {
		var entry casedb.Scanner
		if err := db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
			entry, err = tx.AddScanner(t.Context(), casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix("203.0.113.0/26")},
				Organisation: organisation, List: casedb.ListManual, Ports: portSet(t, ports)}, "tester", now)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return entry
	}
	entry := add("Example Research", "443/TCP")
	judgeAll(t, j)
	v := current(t, db, "203.0.113.10")
	if v.Attention != attribution.AttentionUndeclared || v.Evidence.V.Undeclared == nil || v.Evidence.V.Undeclared.Ports[0] != "23/TCP" {
		t.Fatalf("got %+v", v)
	}
	list, _, err := db.ListSources(t.Context(), casedb.SourceFilter{Attention: true}, casedb.SourceCursor{}, 10)
	if n, err2 := db.CountAttention(t.Context()); err != nil || err2 != nil || n != 1 || len(list) != 1 || list[0].Evidence.V.Undeclared == nil {
		t.Errorf("to be looked at: got %d, %+v, %v, %v", n, list, err, err2)
	}
	// A verdict of before the declaration would change.
	if _, err := db.SQL().Exec(`update verdict set attention = ''`); err != nil {
		t.Fatal(err)
	}
	if r := rejudge(t, j); len(r.Differences) != 1 || r.Differences[0].New.Attention != attribution.AttentionUndeclared {
		t.Errorf("re-judgement: got %+v", r.Differences)
	}
	if err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.EndScanner(t.Context(), entry.ID, "tester", monday.Add(-time.Hour))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	add("Example Research Institute", "23/TCP, 443/TCP")
	judgeAll(t, j)
	if v := current(t, db, "203.0.113.10"); v.Attention != "" || v.Acknowledged == "" {
		t.Errorf("declared now: got %+v", v)
	}
}
