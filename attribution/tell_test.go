package attribution_test

import (
	"fmt"
	"testing"

	"teiten/attribution"
	"teiten/internal/casedb"
)

// everyVerdict is one verdict for each kind with and without what keeps an
// owner from being told.
func everyVerdict() []casedb.Verdict {
	var list []casedb.Verdict
	for _, kind := range casedb.Kinds {
		for n := range 16 {
			v := casedb.Verdict{Kind: kind, Rule: "worm445", Ruleset: "test", Confidence: 0.9}
			v.Evidence.V = casedb.Evidence{Packets: 1, Weak: n&4 != 0}
			if n&1 != 0 {
				v.Acknowledged = "Example Research Institute"
			}
			if n&2 != 0 {
				v.Attention = "contradiction"
			}
			if n&8 != 0 {
				v.Evidence.V.Notes = []string{attribution.NoteAttack}
			}
			list = append(list, v)
		}
	}
	return list
}

// TestWhoMayBeTold goes through every kind, acknowledged or not, contradicted or
// not, weak or not, with and without the note of an attack.
func TestWhoMayBeTold(t *testing.T) {
	t.Parallel()
	told := map[casedb.Kind]string{}
	for _, v := range everyVerdict() {
		excused := v.Acknowledged != "" || v.Attention != "" || v.Evidence.V.Weak
		switch may := attribution.MayTell(&v); {
		case may && excused:
			t.Errorf("may be told: %+v", v)
		case may && len(v.Evidence.V.Notes) > 0:
			told[v.Kind] += "attack "
		case may:
			told[v.Kind] += "else "
		}
	}
	want := map[casedb.Kind]string{casedb.KindInfected: "else attack ", casedb.KindMisconfigured: "else attack ",
		casedb.KindScanner: "else attack ", casedb.KindBackscatter: "attack "}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
