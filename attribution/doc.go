// Package attribution says what a source is: tallies in, verdicts out.
//
// Observations of one source over the look-back, from all sensors, make a
// Profile; an ordered list of pure rules (Rules) looks at it, and the first
// that answers gives the verdict, with the packets that obey it, the packets
// that could have, and the probability that unrelated packets would do so by
// chance. Sources inside an Allowlist are acknowledged scanners. Judge does this
// for the batches in the case database; Profiles does it for captures, without
// one. Every rule, its guards and where it comes from is in docs/attribution.md.
//
// The package reads observations and allowlist entries and writes sources,
// verdicts and look-ups of owners that are due. Who the owners are is answered
// by package owner, what follows for cases by package casework.
package attribution
