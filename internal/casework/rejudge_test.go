package casework_test

import (
	"net/netip"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// worm is an observation of the seed case: SYNs to 445/TCP with a worm's header.
func worm(source string, at time.Time) *observation.Observation {
	o := probes(source, 445, 4, observation.MarkWorm445, at)
	o.Samples[0].Window, o.Samples[0].TTL = 8192, 113
	return o
}

// probes are n SYNs to n addresses that all show a mark, or none for MarkNone.
func probes(source string, port uint16, n int, mark observation.Mark, at time.Time) *observation.Observation {
	o := &observation.Observation{Window: at.Truncate(time.Hour), Source: netip.MustParseAddr(source), Proto: 6, Port: port, Class: observation.ClassSYN,
		Packets: uint64(n), Bytes: uint64(40 * n), Destinations: uint32(n), DestinationsExact: true, Destination: netip.MustParseAddr("203.0.113.10"),
		PeerPorts: 1, First: at, Last: at}
	if mark != observation.MarkNone {
		o.Marks = []observation.MarkCount{{Mark: mark, Packets: uint64(n)}}
	}
	o.Samples = []observation.Sample{{When: at, Source: o.Source, Destination: o.Destination, SourcePort: 40000, DestPort: port}}
	return o
}

// judged puts the observations into the database and has them judged.
func (d *desk) judged(j *attribution.Judge, list ...*observation.Observation) {
	d.t.Helper()
	if _, err := d.db.EnsureSensor(d.t.Context(), "north", d.now); err != nil {
		d.t.Fatal(err)
	}
	var packets uint64
	for _, o := range list {
		packets += o.Packets
	}
	b := &observation.Batch{Sensor: "north", Window: list[0].Window, Length: time.Hour, Packets: packets, Keys: len(list),
		Observations: func(yield func(*observation.Observation) bool) {
			for _, o := range list {
				if !yield(o) {
					return
				}
			}
		}}
	if _, err := d.db.PutBatch(d.t.Context(), b, nil, d.now); err != nil {
		d.t.Fatal(err)
	}
	for n := 1; n > 0; {
		var err error
		if n, err = j.Do(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// verdict returns the verdict in force.
func (d *desk) verdict(source string) casedb.Verdict {
	d.t.Helper()
	list, err := d.db.CurrentVerdicts(d.t.Context(), []netip.Addr{netip.MustParseAddr(source)})
	if err != nil || len(list) != 1 {
		d.t.Fatalf("%s: got %d verdicts, %v", source, len(list), err)
	}
	return list[0]
}

// rejudge judges all that is stored again.
func (d *desk) rejudge(j *attribution.Judge) *attribution.Rejudgement {
	d.t.Helper()
	r, err := j.Rejudge(d.t.Context(), time.Unix(0, 0))
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// TestRejudgementIsShownAppliedAndHeld: what older rules said of three sources
// is changed by judging again: not before it is applied, and no mail goes out by
// itself though the rule may.
func TestRejudgementIsShownAppliedAndHeld(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	j := &attribution.Judge{DB: d.db, Now: func() time.Time { return d.now }}
	at := d.now.Add(-24 * time.Hour)
	d.judged(j,
		worm("192.0.2.10", at),                                // older rules missed it
		worm("192.0.2.11", at),                                // the same then as now
		probes("192.0.2.12", 22, 5, observation.MarkZMap, at), // had another tool
		probes("192.0.2.70", 80, 1, observation.MarkNone, at)) // older rules accused it
	if r := d.rejudge(j); len(r.Differences) != 0 || r.Sources != 4 {
		t.Fatalf("same rules: got %+v", r)
	}
	d.exec(`update verdict set kind = 'unknown', malware = '', rule = 'unknown', tell = false where source = '192.0.2.10'`)
	d.exec(`update verdict set kind = 'infected', malware = 'ms17-010', rule = 'worm445', ruleset = 'old', tell = true where source = '192.0.2.70'`)
	d.exec(`update verdict set tool = 'masscan', rule = 'masscan', ruleset = 'old' where source = '192.0.2.12'`)
	d.open()
	const cases = `select coalesce(string_agg(format('%s %s %s', s.source, c.state, coalesce(m.state || ' [' || coalesce(m.hold_why->0->>'code', '') || ']', '-')), ', ' order by s.source), '')
		from case_source s join cases c on c.id = s.case_id left join message m on m.case_id = c.id`
	before := d.row(cases)

	r := d.rejudge(j)
	if len(r.Differences) != 3 || r.Effect.Closed != 1 || r.Effect.Attention != 0 {
		t.Errorf("got %d differences, %+v, want three and one case closed", len(r.Differences), r.Effect)
	}
	d.want(cases, before)
	if v := d.verdict("192.0.2.12"); v.Tool != "masscan" {
		t.Errorf("looking has changed a verdict: %+v", v)
	}
	if err := j.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if v := d.verdict("192.0.2.12"); v.Tool != "zmap" || v.Ruleset != attribution.RuleSet {
		t.Errorf("got %+v", v)
	}
	d.want(`select string_agg(format('%s %s', c.state, m.state), '') from cases c join case_source s on s.case_id = c.id
		left join message m on m.case_id = c.id where s.source = '192.0.2.70'`, "ignored canceled")
	d.open()
	d.want(`select format('%s [%s]', m.state, coalesce(m.hold_why->0->>'code', '')) from message m join case_source s on s.case_id = m.case_id where s.source = '192.0.2.10'`,
		"held [judged-again]")
	d.want(`select count(*)::text from message where state = 'queued'`, "0")
	if r := d.rejudge(j); len(r.Differences) != 0 {
		t.Errorf("judged again twice: got %+v", r.Differences)
	}
}
