// Package survival estimates how long sources stay active, from times of which
// some are censored: the sensors were down, or the observation ended, before
// the source went quiet. It takes numbers and returns numbers.
package survival

import (
	"cmp"
	"math"
	"slices"
)

// Time is how long one source was followed, in any unit.
type Time struct {
	Duration float64 // from the start to the event or to the end of the observation; not negative
	Event    bool    // it went quiet then; false: censored, it was last seen active or could not be seen any longer
}

// Step is the estimate from one event time on to the next.
type Step struct {
	Time     float64
	AtRisk   int     // followed until just before Time
	Events   int     // at Time
	Survival float64 // share still active after Time
	StdErr   float64 // of Survival, by Greenwood's formula
	Low      float64 // 95 % confidence limits, by the log(-log) transformation
	High     float64
}

// z95 is the 97.5 % quantile of the normal distribution.
const z95 = 1.959963984540054

// Curve is the Kaplan-Meier estimate (Kaplan and Meier, JASA 53, 1958) with
// pointwise 95 % confidence limits on the log(-log) scale, which stay between 0
// and 1 (Kalbfleisch and Prentice, The Statistical Analysis of Failure Time
// Data, 2002, 1.4). A time that is censored where an event happens counts as at
// risk there. There is a step for each event time; before the first everybody
// is active.
func Curve(times []Time) []Step {
	list := sorted(times)
	var steps []Step
	survival, greenwood := 1.0, 0.0
	for i := 0; i < len(list); {
		t, atRisk, events := list[i].Duration, len(list)-i, 0
		for ; i < len(list) && list[i].Duration == t; i++ {
			if list[i].Event {
				events++
			}
		}
		if events == 0 {
			continue
		}
		n, d := float64(atRisk), float64(events)
		survival *= 1 - d/n
		greenwood += d / (n * (n - d)) // infinite when the last one goes
		s := Step{Time: t, AtRisk: atRisk, Events: events, Survival: survival}
		s.StdErr, s.Low, s.High = limits(survival, greenwood)
		steps = append(steps, s)
	}
	return steps
}

// limits returns the standard error and the confidence limits. Where nobody is
// left there is neither: the limits are those of the whole range.
func limits(survival, greenwood float64) (stdErr, low, high float64) {
	if survival <= 0 || math.IsInf(greenwood, 1) {
		return 0, 0, 1
	}
	stdErr = survival * math.Sqrt(greenwood)
	if survival >= 1 {
		return stdErr, 0, 1
	}
	logS := math.Log(survival)
	spread := math.Exp(z95 * math.Sqrt(greenwood) / -logS)
	return stdErr, math.Exp(logS * spread), math.Exp(logS / spread)
}

// sorted returns the times in order, without those that are no times.
func sorted(times []Time) []Time {
	list := make([]Time, 0, len(times))
	for _, t := range times {
		if t.Duration >= 0 && !math.IsInf(t.Duration, 0) { // NaN is not >= 0
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b Time) int { return cmp.Compare(a.Duration, b.Duration) })
	return list
}

// At returns the estimate that holds at a time: the last step not after it.
// Before the first step it is 1, without an error.
func At(curve []Step, t float64) Step {
	i, ok := slices.BinarySearchFunc(curve, t, func(s Step, t float64) int { return cmp.Compare(s.Time, t) })
	if !ok {
		i--
	}
	if i < 0 {
		return Step{Survival: 1, Low: 1, High: 1}
	}
	return curve[i]
}

// Median returns the first time at which half or fewer are active; false if it
// is not reached.
func Median(curve []Step) (float64, bool) {
	for _, s := range curve {
		if s.Survival <= 0.5 {
			return s.Time, true
		}
	}
	return 0, false
}

// Difference is how much larger the share that has gone quiet by a time is in
// one group than in another.
type Difference struct {
	Value     float64 // (1 - S of treated) - (1 - S of control)
	Low, High float64 // 95 % confidence limits, normal approximation with Greenwood's variances
}

// Compare returns the effect by a time: positive if the treated went quiet
// more often than the control group.
func Compare(treated, control []Step, t float64) Difference {
	a, b := At(treated, t), At(control, t)
	d := Difference{Value: b.Survival - a.Survival}
	half := z95 * math.Hypot(a.StdErr, b.StdErr)
	d.Low, d.High = max(-1, d.Value-half), min(1, d.Value+half)
	return d
}

// Test is the result of a log-rank test.
type Test struct {
	Groups  []Group
	ChiSq   float64
	Degrees int     // of freedom
	P       float64 // probability of a larger ChiSq if the groups do not differ
}

// Group is one group of a log-rank test.
type Group struct {
	N        int
	Observed int     // events
	Expected float64 // events if the groups did not differ
}

// LogRank tests whether groups go quiet equally fast (Mantel, Cancer
// Chemotherapy Reports 50, 1966; Peto and Peto, JRSS A 135, 1972). With fewer
// than two groups that have members, or without events, P is 1.
func LogRank(groups ...[]Time) Test {
	type member struct {
		Time
		group int
	}
	test := Test{Groups: make([]Group, len(groups)), P: 1}
	var all []member
	atRisk := make([]float64, len(groups))
	for g, times := range groups {
		list := sorted(times)
		test.Groups[g].N = len(list)
		atRisk[g] = float64(len(list))
		for _, t := range list {
			all = append(all, member{t, g})
		}
	}
	slices.SortStableFunc(all, func(a, b member) int { return cmp.Compare(a.Duration, b.Duration) })
	variance := make([][]float64, len(groups))
	for g := range variance {
		variance[g] = make([]float64, len(groups))
	}
	events := make([]float64, len(groups))
	gone := make([]float64, len(groups))
	for i := 0; i < len(all); {
		clear(events)
		clear(gone)
		n, d := 0.0, 0.0
		for _, r := range atRisk {
			n += r
		}
		for t := all[i].Duration; i < len(all) && all[i].Duration == t; i++ {
			gone[all[i].group]++
			if all[i].Event {
				events[all[i].group]++
				d++
			}
		}
		for g := range groups {
			share := atRisk[g] / n
			test.Groups[g].Observed += int(events[g])
			test.Groups[g].Expected += d * share
			if n > 1 {
				for h := range groups {
					v := -share * atRisk[h] / n
					if g == h {
						v += share
					}
					variance[g][h] += d * (n - d) / (n - 1) * v
				}
			}
		}
		for g := range groups {
			atRisk[g] -= gone[g]
		}
	}
	test.ChiSq, test.Degrees = quadratic(test.Groups, variance)
	if test.Degrees > 0 {
		test.P = chiSquareTail(test.ChiSq, test.Degrees)
	}
	return test
}

// quadratic returns (O-E)' V^- (O-E) over the groups that could have had an
// event but for one, and their number: the differences add up to zero.
func quadratic(groups []Group, variance [][]float64) (chiSq float64, degrees int) {
	var used []int
	for g := range groups {
		if variance[g][g] > 1e-12 {
			used = append(used, g)
		}
	}
	if len(used) < 2 {
		return 0, 0
	}
	used = used[:len(used)-1]
	k := len(used)
	// Gauss with the right-hand side next to the matrix; V is positive definite.
	m := make([][]float64, k)
	for i, g := range used {
		m[i] = make([]float64, k+1)
		for j, h := range used {
			m[i][j] = variance[g][h]
		}
		m[i][k] = float64(groups[g].Observed) - groups[g].Expected
	}
	for i := range k {
		if m[i][i] < 1e-12 {
			return 0, 0
		}
		for r := i + 1; r < k; r++ {
			f := m[r][i] / m[i][i]
			for c := i; c <= k; c++ {
				m[r][c] -= f * m[i][c]
			}
		}
	}
	x := make([]float64, k)
	for i := k - 1; i >= 0; i-- {
		x[i] = m[i][k]
		for j := i + 1; j < k; j++ {
			x[i] -= m[i][j] * x[j]
		}
		x[i] /= m[i][i]
		g := used[i]
		chiSq += x[i] * (float64(groups[g].Observed) - groups[g].Expected)
	}
	return max(0, chiSq), k
}

// chiSquareTail returns the upper tail of the chi-square distribution: for
// whole degrees of freedom a finite sum (Abramowitz and Stegun, 26.4.4 and
// 26.4.5).
func chiSquareTail(x float64, degrees int) float64 {
	if x <= 0 {
		return 1
	}
	half := x / 2
	term, sum := 1.0, 0.0
	if degrees%2 == 0 {
		for i := 0; i < degrees/2; i++ {
			if i > 0 {
				term *= half / float64(i)
			}
			sum += term
		}
		return min(1, math.Exp(-half)*sum)
	}
	term = math.Sqrt(2*x/math.Pi) * math.Exp(-half)
	for i := 1; i <= (degrees-1)/2; i++ {
		if i > 1 {
			term *= x / float64(2*i-1)
		}
		sum += term
	}
	return min(1, math.Erfc(math.Sqrt(half))+sum)
}
