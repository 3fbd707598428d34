package casework_test

import (
	"slices"
	"testing"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/casework"
)

func TestNotifyingRulesAreRules(t *testing.T) {
	t.Parallel()
	for _, name := range casework.NotifyingRules(casework.CaseKinds...) {
		if !slices.ContainsFunc(attribution.Rules(), func(r attribution.Rule) bool { return r.Name() == name }) {
			t.Errorf("no rule is named %s", name)
		}
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
