package casework_test

import (
	"slices"
	"testing"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/casework"
)

// TestEveryRuleHasItsPlace: a rule opens cases of a kind, or is listed here as
// one whose verdicts no owner may be told.
func TestEveryRuleHasItsPlace(t *testing.T) {
	t.Parallel()
	places := append(casework.NotifyingRules(casework.CaseKinds...),
		attribution.RuleBogon, attribution.RuleFlood, attribution.RuleAcknowledged, attribution.RuleReflection, attribution.RuleUnknown)
	var rules []string
	for _, r := range attribution.Rules() {
		rules = append(rules, r.Name())
	}
	slices.Sort(places)
	slices.Sort(rules)
	if !slices.Equal(places, rules) {
		t.Errorf("placed %v, there are %v", places, rules)
	}
}

// TestKindsThatCanOpenCases: these are the kinds of which MayTell lets any
// verdict tell.
func TestKindsThatCanOpenCases(t *testing.T) {
	t.Parallel()
	for _, kind := range casedb.Kinds {
		v := casedb.Verdict{Kind: kind}
		v.Evidence.V.Notes = []string{attribution.NoteAttack}
		if may, opens := attribution.MayTell(&v), slices.Contains(casework.CaseKinds, kind); may != opens {
			t.Errorf("%s: may be told %v, opens cases %v", kind, may, opens)
		}
	}
}
