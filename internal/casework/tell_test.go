package casework_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// TestTheRuleIsStored: the column is the rule's answer for what is stored beside
// it, whichever way the verdict came there, also when only the answer changes.
func TestTheRuleIsStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	j := &attribution.Judge{DB: d.db, Now: func() time.Time { return d.now }}
	at := d.now.Add(-24 * time.Hour)
	d.judged(j, worm("192.0.2.10", at), probes("192.0.2.11", 80, 1, observation.MarkNone, at), probes("192.0.2.12", 22, 5, observation.MarkZMap, at))
	check := func(want string) {
		t.Helper()
		var got []string
		for _, a := range []string{"192.0.2.10", "192.0.2.11", "192.0.2.12"} {
			v := d.verdict(a)
			if v.Tell != attribution.MayTell(&v) {
				t.Errorf("stored %v for %+v", v.Tell, v)
			}
			got = append(got, fmt.Sprint(v.Kind, " ", v.Tell))
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const want = "infected true, unknown false, scanner true"
	check(want)
	d.exec(`update verdict set tell = not tell`)
	if err := j.Apply(t.Context(), d.rejudge(j)); err != nil {
		t.Fatal(err)
	}
	check(want)
	if n := len(d.rejudge(j).Differences); n != 0 {
		t.Errorf("%d verdicts differ after all", n)
	}
}

// TestQueriesAskTheColumn: a case is opened for exactly those sources whose
// verdicts say that their owners may be told, whatever else the verdicts say. The
// rule is tried in package attribution; here its answers are made up.
func TestQueriesAskTheColumn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.opener.Kinds = casedb.Kinds
	var want []string
	n := byte(0)
	for _, kind := range casedb.Kinds {
		for _, evidence := range []casedb.Evidence{{Packets: 1}, {Packets: 1, Weak: true}, {Packets: 1, Notes: []string{attribution.NoteAttack}}} {
			for _, excuse := range [][2]string{{}, {"Example Research Institute", ""}, {"", "contradiction"}} {
				for _, tell := range []bool{false, true} {
					n++
					a := netip.AddrFrom4([4]byte{192, 0, 2, n})
					d.exec(`insert into source (address, first_at, last_at) values ($1, $2, $2)`, a.String(), d.now)
					d.exec(`insert into verdict (source, kind, acknowledged, attention, tell, confidence, rule, ruleset, evidence, first_at, last_at, created_at)
						values ($1, $2, $3, $4, $5, 0.9, 'worm445', 'test', $6, $7, $7, $7)`, a.String(), kind, excuse[0], excuse[1], tell,
						casedb.JSON[casedb.Evidence]{V: evidence}, d.now)
					if tell {
						want = append(want, a.String())
					}
				}
			}
		}
	}
	d.open()
	slices.Sort(want)
	d.want(`select string_agg(host(source), ' ' order by host(source) collate "C") from case_source`, strings.Join(want, " "))
}
