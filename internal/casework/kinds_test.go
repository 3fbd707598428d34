package casework_test

import (
	"slices"
	"testing"

	"teiten/attribution"
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
