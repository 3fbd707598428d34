package survival_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"teiten/internal/survival"
)

// The remission times in weeks of Freireich et al., Blood 21 (1963), the
// example of Cox and Oakes, Analysis of Survival Data (1984), table 1.1, and of
// Kleinbaum and Klein, Survival Analysis (2012), chapter 2. Negative: censored.
var (
	mercaptopurine = times(6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35)
	placebo        = times(1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)
)

func times(list ...float64) (out []survival.Time) {
	for _, t := range list {
		out = append(out, survival.Time{Duration: math.Abs(t), Event: t > 0})
	}
	return out
}

// round rounds to n digits, as tables do.
func round(x float64, n int) float64 {
	p := math.Pow10(n)
	return math.Round(x*p) / p
}

// TestCurveAgainstThePublishedTable compares to the last digit given.
func TestCurveAgainstThePublishedTable(t *testing.T) {
	t.Parallel()
	want := []survival.Step{
		{Time: 6, AtRisk: 21, Events: 3, Survival: 0.8571, StdErr: 0.0764, Low: 0.6197, High: 0.9516},
		{Time: 7, AtRisk: 17, Events: 1, Survival: 0.8067, StdErr: 0.0869, Low: 0.5631, High: 0.9228},
		{Time: 10, AtRisk: 15, Events: 1, Survival: 0.7529, StdErr: 0.0963, Low: 0.5032, High: 0.8894},
		{Time: 13, AtRisk: 12, Events: 1, Survival: 0.6902, StdErr: 0.1068, Low: 0.4316, High: 0.8491},
		{Time: 16, AtRisk: 11, Events: 1, Survival: 0.6275, StdErr: 0.1141, Low: 0.3675, High: 0.8049},
		{Time: 22, AtRisk: 7, Events: 1, Survival: 0.5378, StdErr: 0.1282, Low: 0.2678, High: 0.7468},
		{Time: 23, AtRisk: 6, Events: 1, Survival: 0.4482, StdErr: 0.1346, Low: 0.1881, High: 0.6801},
	}
	got := survival.Curve(mercaptopurine)
	for i := range got {
		s := &got[i]
		s.Survival, s.StdErr, s.Low, s.High = round(s.Survival, 4), round(s.StdErr, 4), round(s.Low, 4), round(s.High, 4)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if m, ok := survival.Median(survival.Curve(mercaptopurine)); !ok || m != 23 {
		t.Errorf("median of the treated %v, want 23", m)
	}
	if m, ok := survival.Median(survival.Curve(placebo)); !ok || m != 8 {
		t.Errorf("median of the others %v, want 8", m)
	}
}

// TestLogRankAgainstThePublishedTable: 16.793 with expected 19.25 and 10.75.
func TestLogRankAgainstThePublishedTable(t *testing.T) {
	t.Parallel()
	got := survival.LogRank(mercaptopurine, placebo)
	if round(got.ChiSq, 3) != 16.793 || got.Degrees != 1 {
		t.Errorf("chi-square %.4f on %d", got.ChiSq, got.Degrees)
	}
	if a, b := got.Groups[0], got.Groups[1]; a.N != 21 || a.Observed != 9 || round(a.Expected, 2) != 19.25 || b.Observed != 21 || round(b.Expected, 2) != 10.75 {
		t.Errorf("groups %+v", got.Groups)
	}
	if round(got.P, 7) != 0.0000417 {
		t.Errorf("p %.9f", got.P)
	}
	// The order of the groups does not matter, nor does an empty one.
	again := survival.LogRank(placebo, nil, mercaptopurine)
	if math.Abs(again.ChiSq-got.ChiSq) > 1e-9 || again.Degrees != 1 {
		t.Errorf("other order: %+v", again)
	}
	if same := survival.LogRank(placebo, placebo, placebo); same.Degrees != 2 || same.ChiSq > 1e-9 || same.P < 0.999 {
		t.Errorf("three equal groups: %+v", same)
	}
}

// TestCoverage: on simulated data whose truth is known the 95 % intervals cover
// it in 95 % of 1,000 runs, and a test at 5 % errs in 5 %.
func TestCoverage(t *testing.T) {
	t.Parallel()
	const runs, n, day = 1000, 200, 14.0
	rng := rand.New(rand.NewPCG(5, 11))
	group := func(mean float64) (list []survival.Time) {
		for range n {
			quiet, end := rng.ExpFloat64()*mean, 7+rng.Float64()*40
			list = append(list, survival.Time{Duration: min(quiet, end), Event: quiet <= end})
		}
		return list
	}
	share := func(mean float64) float64 { return math.Exp(-day / mean) }
	curves, effects, alarms := 0, 0, 0
	for range runs {
		treated, control, other := group(12), group(25), group(25)
		a, b := survival.Curve(treated), survival.Curve(control)
		if s := survival.At(a, day); s.Low <= share(12) && share(12) <= s.High {
			curves++
		}
		truth := share(25) - share(12)
		if d := survival.Compare(a, b, day); d.Low <= truth && truth <= d.High {
			effects++
		}
		if survival.LogRank(control, other).P < 0.05 {
			alarms++
		}
	}
	// Three standard errors of a share of 0.95 in 1,000 runs are 0.021.
	for name, k := range map[string]int{"curve": curves, "effect": effects, "no alarm": runs - alarms} {
		if got := float64(k) / runs; math.Abs(got-0.95) > 0.021 {
			t.Errorf("%s: %.3f of the runs, want 0.95", name, got)
		}
	}
}

// TestCurveProperties: whatever comes in, the curve falls from 1, lies between
// its limits, and counts every event.
func TestCurveProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.Custom(func(t *rapid.T) survival.Time {
			return survival.Time{Duration: float64(rapid.IntRange(-2, 30).Draw(t, "time")), Event: rapid.Bool().Draw(t, "event")}
		})).Draw(t, "times")
		events := 0
		for _, x := range list {
			if x.Event && x.Duration >= 0 {
				events++
			}
		}
		last, counted := 1.0, 0
		for _, s := range survival.Curve(list) {
			counted += s.Events
			if s.Survival > last || s.Survival < 0 || s.Low > s.Survival || s.High < s.Survival || s.Low < 0 || s.High > 1 {
				t.Fatalf("step %+v after %v", s, last)
			}
			last = s.Survival
		}
		if counted != events {
			t.Fatalf("%d events, want %d", counted, events)
		}
		half := len(list) / 2
		if r := survival.LogRank(list[:half], list[half:]); r.P < 0 || r.P > 1 || math.IsNaN(r.ChiSq) {
			t.Fatalf("log-rank %+v", r)
		}
	})
}
