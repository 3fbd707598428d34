package main_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/capture"
	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/observation"
	"teiten/internal/synth"
)

// attackTest is a change of an attack and what must be seen of it.
type attackTest struct {
	name   string
	change func(*synth.Attack)
	notes  []string // of those about the header
	fixed  casedb.Fixed
	peak   float64
}

// TestAttackWithFixedSequenceNumber takes attacks from packets to the event of
// the victim: duration, busiest minute, and whether their packets were alike.
func TestAttackWithFixedSequenceNumber(t *testing.T) {
	t.Parallel()
	victim := netip.MustParseAddr("192.0.2.80")
	start := time.Date(2026, 1, 15, 9, 30, 10, 0, time.UTC)
	attack := synth.Attack{Victim: victim, Port: 443, Start: start, Packets: 3000, Interval: time.Second, Fixed: 10}
	for _, tt := range []attackTest{
		// 3000 s from 9:30:10 on are two windows: of each, the first answer and
		// its two repetitions are never counted as alike.
		{"SYN/ACKs", func(*synth.Attack) {}, []string{attribution.NoteFixedSequence, attribution.NoteFixedWindow},
			casedb.Fixed{Sequence: 8994, SequenceOf: 9000, Window: 8994, WindowOf: 9000}, 180},
		{"nine of ten", func(a *synth.Attack) { a.Fixed = 9 }, []string{attribution.NoteFixedSequence, attribution.NoteFixedWindow},
			casedb.Fixed{Sequence: 8094, SequenceOf: 9000, Window: 8994, WindowOf: 9000}, 180},
		{"numbers that differ", func(a *synth.Attack) { a.Fixed = 0 }, []string{attribution.NoteFixedWindow},
			casedb.Fixed{SequenceOf: 9000, Window: 8994, WindowOf: 9000}, 180},
		{"ICMP errors", func(a *synth.Attack) { a.Errors = true }, []string{attribution.NoteFixedSequence},
			casedb.Fixed{Sequence: 2998, SequenceOf: 3000}, 60},
	} {
		t.Run(tt.name, func(t *testing.T) { checkAttack(t, tt, attack) })
	}
}

// checkAttack reads a made-up attack and looks at what is told about its header.
func checkAttack(t *testing.T, tt attackTest, attack synth.Attack) {
	t.Parallel()
	a := attack
	tt.change(&a)
	var file bytes.Buffer
	if err := a.Write(&file); err != nil {
		t.Fatal(err)
	}
	profiles := attribution.NewProfiles(attribution.Options{})
	r, err := capture.NewReader(capture.Options{}, func(b *observation.Batch) error { profiles.AddBatch(b); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context(), &file, "attack.pcap"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	aggs := profiles.Aggregates()
	if len(aggs) != 1 || aggs[0].Kind != attribution.AggregateVictim || aggs[0].Victim != attack.Victim {
		t.Fatalf("%+v", aggs)
	}
	e := aggs[0].Evidence
	if e.Fixed == nil || *e.Fixed != tt.fixed || aggs[0].Peak != tt.peak || !aggs[0].First.Equal(attack.Start) || !slices.Equal(aggs[0].Ports, []string{"443/TCP"}) {
		t.Errorf("%+v, fixed %+v", aggs[0], e.Fixed)
	}
	var notes []string
	for _, n := range e.Notes {
		if strings.HasPrefix(n, "fixed-") {
			notes = append(notes, n)
		}
	}
	if !slices.Equal(notes, tt.notes) || !slices.Contains(e.Notes, attribution.NoteAttack) {
		t.Errorf("notes %v, want %v", e.Notes, tt.notes)
	}
	for v := range profiles.Verdicts {
		if v.Kind != casedb.KindBackscatter || !slices.Equal(v.Evidence.V.Notes, e.Notes) {
			t.Errorf("verdict %+v", v)
		}
		// Counts, never the number itself: it may be the sensor's address.
		for lang, words := range map[string]string{"en": "same TCP sequence number", "ja": "シーケンス番号を固定した攻撃"} {
			said := explain.Verdict(&v, lang)
			if strings.Contains(said, "{") || strings.Contains(said, "11223344") ||
				slices.Contains(notes, attribution.NoteFixedSequence) != strings.Contains(said, words) {
				t.Errorf("%s: %s", lang, said)
			}
		}
	}
	var out bytes.Buffer
	w := attribution.NewWriter(&out)
	if err := w.WriteAggregate(&aggs[0]); err != nil {
		t.Fatal(err)
	}
	var line struct{ Evidence casedb.Evidence }
	if err := w.Close(); err != nil || json.Unmarshal(out.Bytes(), &line) != nil || !reflect.DeepEqual(line.Evidence.Fixed, e.Fixed) {
		t.Error(err, out.String())
	}
}
