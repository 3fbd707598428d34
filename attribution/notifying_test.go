package attribution_test

import (
	"slices"
	"testing"

	"teiten/attribution"
)

func TestNotifyingRulesAreRules(t *testing.T) {
	t.Parallel()
	for _, name := range attribution.NotifyingRules(attribution.CaseKinds...) {
		if !slices.ContainsFunc(attribution.Rules(), func(r attribution.Rule) bool { return r.Name() == name }) {
			t.Errorf("no rule is named %s", name)
		}
	}
}
