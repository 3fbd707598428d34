package notify

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"teiten/internal/casedb"
)

// incident draws the evidence about one source, by hours. With one port all of
// the packets left from it.
func incident(t *rapid.T, onePort bool) []casedb.LetterRow {
	malware := rapid.SampledFrom([]string{"", casedb.MalwareMirai, casedb.MalwareMS17010, "Sality P2P", "Gh0st/RAT", "=HYPERLINK", "ワーム7", "Win32.Virut!A"}).Draw(t, "malware")
	proto := rapid.SampledFrom([]int{6, 17, 132}).Draw(t, "proto")
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	rows := make([]casedb.LetterRow, rapid.IntRange(1, 12).Draw(t, "rows"))
	for i := range rows {
		first := start.Add(time.Duration(rapid.IntRange(0, 30*86400).Draw(t, "second")) * time.Second)
		port := int32(40000)
		if !onePort {
			port += int32(i)
		}
		rows[i] = casedb.LetterRow{Source: casedb.Addr{Addr: netip.MustParseAddr("192.0.2.10")}, Malware: malware, Proto: proto,
			Port: rapid.SampledFrom([]int{22, 23, 445}).Draw(t, "port"), Packets: rapid.Int64Range(1, 1000).Draw(t, "packets"),
			First: first, Last: first.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "lasted")) * time.Second), Total: len(rows),
			SourcePort: sql.NullInt32{Int32: port, Valid: onePort || rapid.IntRange(0, 3).Draw(t, "known") > 0}}
	}
	return rows
}

// TestXARFIncident: whatever the evidence, a report has the incident's times, the
// source's port only if all packets had it, and nothing that the schema refuses.
func TestXARFIncident(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("testdata/xarf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewComposer(Config{OrganisationJA: "サンプル", OrganisationEN: "Example CSIRT", Email: "csirt@teiten.example", Domain: "teiten.example"}, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		onePort := rapid.Bool().Draw(t, "one port")
		rows := incident(t, onePort)
		first, last := rows[0].First, rows[0].Last
		for _, r := range rows {
			if r.First.Before(first) {
				first = r.First
			}
			if r.Last.After(last) {
				last = r.Last
			}
		}
		known := len(rows) == 1 && rows[0].SourcePort.Valid || onePort
		kind := casedb.KindInfected
		if rows[0].Malware == "" {
			kind = casedb.KindScanner
		}
		b, err := c.xarf(casedb.Message{Token: "token"}, kind, rows, []byte("evidence"), casedb.DefaultTLP)
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			if known || kind == casedb.KindInfected {
				t.Fatal("no report")
			}
			return
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err == nil {
			err = schema.Validate(value)
		}
		var r xarfReport
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		if err != nil || r.Timestamp != first.Format(time.RFC3339) || r.FirstSeen != r.Timestamp || r.LastSeen != last.Format(time.RFC3339) {
			t.Fatalf("%v: incident from %s to %s, report\n%s", err, first, last, b)
		}
		if want := rows[0].SourcePort.Int32; known && r.SourcePort != int(want) || !known && r.SourcePort != 0 {
			t.Fatalf("source port %d, known %v", r.SourcePort, known)
		}
	})
}

// TestXARFSchemaRefuses what receivers refuse: a schema that passes all proves
// nothing.
func TestXARFSchemaRefuses(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("testdata/xarf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	good := `{"xarf_version":"4.2.0","report_id":"550e8400-e29b-41d4-a716-446655440000","timestamp":"2026-11-01T00:00:00Z",
		"reporter":{"org":"Example CSIRT","contact":"csirt@teiten.example","domain":"teiten.example"},
		"sender":{"org":"Example CSIRT","contact":"csirt@teiten.example","domain":"teiten.example"},"source_identifier":"192.0.2.10","source_port":40000,
		"category":"connection","type":"port_scan","protocol":"tcp","first_seen":"2026-11-01T00:00:00Z","last_seen":"2026-11-01T00:00:00Z",
		"evidence_source":"honeypot","evidence":[{"content_type":"text/csv","payload":"eA=="}],"tags":["malware:mirai"]}`
	for _, tt := range [][2]string{{`"malware:mirai"`, `"malware:Mirai"`}, {`"malware:mirai"`, `"mirai"`}, {`"malware:mirai"`, `"malware:a b"`}, {`"malware:mirai"`, `"malware:-a"`},
		{`"protocol":"tcp",`, ``}, {`"first_seen":"2026-11-01T00:00:00Z",`, ``}, {`"source_port":40000,`, ``}, {`40000`, `0`},
		{`"port_scan"`, `"botnet"`}, {`"tcp"`, `"icmp6"`}, {`"last_seen":"2026-11-01T00:00:00Z",`, `"last_seen":"2026-11-01 00:00:00",`},
		{`"domain":"teiten.example"}`, `"domain":"teiten.example","type":"automated"}`}} {
		for i, text := range []string{good, string(bytes.Replace([]byte(good), []byte(tt[0]), []byte(tt[1]), 1))} {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
			if err != nil {
				t.Fatal(err)
			}
			if err = schema.Validate(value); (err == nil) != (i == 0) {
				t.Errorf("%s for %s: %v", tt[1], tt[0], err)
			}
		}
	}
}
