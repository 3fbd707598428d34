package casework

import (
	"slices"

	"teiten/attribution"
	"teiten/internal/casedb"
)

// CaseKinds are the kinds of sources that can open cases. Of backscatter only
// the victims of an attack do; reflectors and spoofed addresses never, because
// no machine there sent us anything on its own account.
var CaseKinds = []casedb.Kind{casedb.KindInfected, casedb.KindBackscatter, casedb.KindMisconfigured, casedb.KindScanner}

// NotifyingRules returns the names of the rules whose verdicts open cases of
// these kinds; without a kind, of infected sources. Only these can be set to
// notify on their own.
func NotifyingRules(kinds ...casedb.Kind) []string {
	if len(kinds) == 0 {
		kinds = []casedb.Kind{casedb.KindInfected}
	}
	var names []string
	for _, k := range kinds {
		names = append(names, rulesOfKind[k]...)
	}
	return names
}

// ControlRules returns the names of the rules whose cases may be drawn for a
// control group. Bots of Mirai take part in attacks, and victims are under one:
// these owners are told at once.
func ControlRules() []string {
	return slices.DeleteFunc(NotifyingRules(CaseKinds...), func(r string) bool {
		return r == attribution.RuleMirai || r == attribution.RuleMiraiHidden || r == attribution.RuleBackscatter
	})
}

// rulesOfKind are the rules that say each kind.
var rulesOfKind = map[casedb.Kind][]string{
	casedb.KindInfected:      {attribution.RuleWorm445, attribution.RuleMirai, attribution.RuleMiraiHidden, attribution.RuleSlammer},
	casedb.KindBackscatter:   {attribution.RuleBackscatter},
	casedb.KindMisconfigured: {attribution.RuleBroadcast, attribution.RuleMisconfigured},
	casedb.KindScanner: {attribution.RuleZMap, attribution.RuleMasscan, attribution.RuleMasscanHidden, attribution.RuleUnicornscan, attribution.RuleNmap, attribution.RuleZMapTime, attribution.RuleZMapOptions, attribution.RuleAngryIP,
		attribution.RuleSynackScan, attribution.RuleHping, attribution.RuleTSUBAME, attribution.RuleDurumeric, attribution.RuleStealth, attribution.RuleProtocols, attribution.RuleBlock},
}
