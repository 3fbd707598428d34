package attribution_test

import (
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
)

// rejudge judges all that is stored again.
func rejudge(t *testing.T, j *attribution.Judge) *attribution.Rejudgement {
	t.Helper()
	r, err := j.Rejudge(t.Context(), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
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
	d.now = monday.Add(day)
	j := &attribution.Judge{DB: d.db, Now: func() time.Time { return d.now }}
	worm := seen{packets: 4, dests: 4, marks: marks(casedb.MarkWorm445, 4), sample: casedb.Sample{Window: 8192, TTL: 113}}
	put(t, d.db, "north", 0, map[string]seen{
		"192.0.2.10": worm,                                                               // older rules missed it
		"192.0.2.70": {port: 80},                                                         // older rules accused it
		"192.0.2.11": worm,                                                               // the same then as now
		"192.0.2.12": {port: 22, packets: 5, dests: 5, marks: marks(casedb.MarkZMap, 5)}, // had another tool
	})
	judgeAll(t, j)
	if r := rejudge(t, j); len(r.Differences) != 0 || r.Sources != 4 {
		t.Fatalf("same rules: got %+v", r)
	}
	d.exec(`update verdict set kind = 'unknown', malware = '', rule = 'unknown' where source = '192.0.2.10'`)
	d.exec(`update verdict set kind = 'infected', malware = 'ms17-010', rule = 'worm445', ruleset = 'old' where source = '192.0.2.70'`)
	d.exec(`update verdict set tool = 'masscan', rule = 'masscan', ruleset = 'old' where source = '192.0.2.12'`)
	d.open()
	const cases = `select coalesce(string_agg(format('%s %s %s', s.source, c.state, coalesce(m.state || ' [' || m.hold_reason || ']', '-')), ', ' order by s.source), '')
		from case_source s join cases c on c.id = s.case_id left join message m on m.case_id = c.id`
	before := d.row(cases)

	r := rejudge(t, j)
	if len(r.Differences) != 3 || r.Effect.Closed != 1 || r.Effect.Attention != 0 {
		t.Errorf("got %d differences, %+v, want three and one case closed", len(r.Differences), r.Effect)
	}
	d.want(cases, before)
	if v := current(t, d.db, "192.0.2.12"); v.Tool != "masscan" {
		t.Errorf("looking has changed a verdict: %+v", v)
	}
	if err := j.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if v := current(t, d.db, "192.0.2.12"); v.Tool != "zmap" || v.Ruleset != attribution.RuleSet {
		t.Errorf("got %+v", v)
	}
	d.want(`select string_agg(format('%s %s', c.state, m.state), '') from cases c join case_source s on s.case_id = c.id
		left join message m on m.case_id = c.id where s.source = '192.0.2.70'`, "ignored canceled")
	d.open()
	d.want(`select format('%s [%s]', m.state, m.hold_reason) from message m join case_source s on s.case_id = m.case_id where s.source = '192.0.2.10'`,
		"held [judged again]")
	d.want(`select count(*)::text from message where state = 'queued'`, "0")
	if r := rejudge(t, j); len(r.Differences) != 0 {
		t.Errorf("judged again twice: got %+v", r.Differences)
	}
}
