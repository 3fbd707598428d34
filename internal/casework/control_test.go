package casework_test

import (
	"fmt"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

const testSeed = "seed for tests"

// TestDrawsAreReproducibleAndBalanced: the same seed and case give the same
// number, and 10,000 numbers are spread as chance spreads them.
func TestDrawsAreReproducibleAndBalanced(t *testing.T) {
	t.Parallel()
	control := casework.Control{Share: 0.2, Days: 14, Seed: testSeed}
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	// printf 'seed for tests\nTT-2026-000001' | sha256sum
	if got := casework.DrawNumber(testSeed, "TT-2026-000001"); got != 0.27767405890993124 {
		t.Errorf("drew %v", got)
	}
	const n = 10_000
	var bins [10]float64
	controls := 0
	for i := range n {
		c := casedb.Case{ID: int64(i), Number: fmt.Sprintf("TT-2026-%06d", i)}
		d := control.Draw(c, now)
		if again := control.Draw(c, now); again.Drawn != d.Drawn || again.Arm != d.Arm {
			t.Fatalf("drew %v, then %v", d, again)
		}
		if (d.Arm == casedb.ArmControl) != (d.Drawn < 0.2) || (d.Until != nil) != (d.Arm == casedb.ArmControl) ||
			d.Until != nil && !d.Until.Equal(now.Add(14*oneDay)) {
			t.Fatalf("drew %+v", d)
		}
		if d.Arm == casedb.ArmControl {
			controls++
		}
		bins[int(d.Drawn*10)]++
	}
	chi := 0.0
	for _, b := range bins {
		chi += (b - n/10) * (b - n/10) / (n / 10)
	}
	if chi > 27.9 { // 9 degrees of freedom, p = 0.001
		t.Errorf("chi-square %.1f of %v", chi, bins)
	}
	if controls < 1868 || controls > 2132 { // 3.3 standard deviations
		t.Errorf("%d of %d are controls, want about 2000", controls, n)
	}
}

// TestWhoIsTooSevereToWait: the first reason that there is, and none at the
// bounds.
func TestWhoIsTooSevereToWait(t *testing.T) {
	t.Parallel()
	control := casework.Control{Rules: []string{"worm445", "slammer"}}
	for _, test := range []struct {
		name   string
		change func(f *casedb.ControlFacts)
		want   reason.Code
	}{
		{"of low severity", func(*casedb.ControlFacts) {}, ""},
		{"as many sources as may be", func(f *casedb.ControlFacts) { f.Sources = 5 }, ""},
		{"one more", func(f *casedb.ControlFacts) { f.Sources = 6 }, reason.ControlSources},
		{"nothing left", func(f *casedb.ControlFacts) { f.Sources, f.ICS = 0, true }, reason.NoneLeft},
		{"another rule too", func(f *casedb.ControlFacts) { f.Rules = append(f.Rules, "mirai") }, reason.ControlRules},
		{"sure", func(f *casedb.ControlFacts) { f.Sure = 1 }, reason.ControlSure},
		{"industrial control systems", func(f *casedb.ControlFacts) { f.ICS = true }, reason.ControlICS},
		{"a critical network", func(f *casedb.ControlFacts) { f.Critical = true }, reason.ControlCritical},
		{"the owner was mailed", func(f *casedb.ControlFacts) { f.OwnerMailed, f.Sources = true, 0 }, reason.ControlMailed},
	} {
		f := casedb.ControlFacts{Sources: 1, Rules: []string{"worm445"}}
		test.change(&f)
		var got reason.Code
		if why := control.Severe(f); len(why) > 0 {
			got = why[0].Code
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
