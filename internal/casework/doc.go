// Package casework says what follows from verdicts and owners: which cases are
// opened or joined, when owners are reminded, when somebody else is written to,
// and when a source counts as quiet.
//
// What is due is a pure plan over facts; the actors (Opener, Follower) read the
// facts, ask for the plan and write it in one transaction. The package reads
// verdicts, networks and contacts, and writes cases, events and messages.
package casework
