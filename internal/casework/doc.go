// Package casework says what follows from verdicts and owners: which cases are
// opened or joined, when owners are reminded, when the next contact is written to,
// when a source counts as quiet, and what follows from a bounce.
//
// What is due is a pure plan over facts; the actors (Opener, Follower) read the
// facts, ask for the plan and write it in one transaction. What follows from a
// bounce is asked for by package casedb, which is given the plan, where it
// records the bounce. The package reads verdicts, networks and contacts, and
// writes cases, events and messages.
package casework
