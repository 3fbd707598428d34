package attribution

import "teiten/internal/observation"

import "math"

// chanceFloor is the smallest probability written: a smaller one is a
// statement about the model, not about the packets.
const chanceFloor = 1e-300

// perPacket is the probability that an unrelated packet shows a mark. For the
// rules of 16 and 32 bits it follows from the rule; where assumed says true the
// fields are not uniformly distributed and the value is a cautious guess (see
// docs/attribution.md).
func perPacket(m observation.Mark) (p float64, assumed bool) {
	switch m {
	case observation.MarkZMap, observation.MarkMasscan, observation.MarkMasscanK, observation.MarkNmap:
		return 0x1p-16, false
	case observation.MarkMirai, observation.MarkMiraiK, observation.MarkUnicornscan, observation.MarkSlammer:
		return 0x1p-32, false
	case observation.MarkZMapTime:
		return 5 * 0x1p-32, false // plus or minus two seconds
	case observation.MarkZMapOptions, observation.MarkAngryIP:
		return 1e-3, true
	case observation.MarkHping:
		return 1e-2, true
	case observation.MarkWorm445:
		return 5e-2, true
	}
	return 1, true
}

// Chance returns the probability that at least hits of packets obey a rule
// that each obeys by chance with probability p: the upper tail of the binomial
// distribution, summed term by term in log space. It is never below 1e-300 for
// p > 0.
func Chance(hits, packets uint64, p float64) float64 {
	switch {
	case hits == 0 || p >= 1:
		return 1
	case hits > packets || p <= 0:
		return 0
	}
	n, k := float64(packets), float64(hits)
	if k <= n*p {
		// The tail holds the mean: sum what is below it instead.
		return max(0, 1-sumTerms(n, k-1, p, -1))
	}
	return max(chanceFloor, min(1, sumTerms(n, k, p, +1)))
}

// sumTerms adds the binomial probabilities from k on, upwards or downwards,
// until they no longer count.
func sumTerms(n, k, p float64, step float64) float64 {
	logOdds := math.Log(p) - math.Log1p(-p)
	// ln C(n,k) + k ln p + (n-k) ln(1-p)
	log := lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1) + k*math.Log(p) + (n-k)*math.Log1p(-p)
	top, sum := log, 1.0 // the sum is relative to the first term
	for {
		if step > 0 {
			if k >= n {
				break
			}
			log += math.Log((n-k)/(k+1)) + logOdds
		} else {
			if k <= 0 {
				break
			}
			log += math.Log(k/(n-k+1)) - logOdds
		}
		k += step
		term := math.Exp(log - top)
		sum += term
		if term < sum*1e-17 {
			break
		}
	}
	return math.Exp(top + math.Log(sum))
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
