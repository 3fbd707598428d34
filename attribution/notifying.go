package attribution

// NotifyingRules returns the names of the rules whose verdicts open cases:
// those that say "infected". Only these can be set to notify on their own.
func NotifyingRules() []string {
	return []string{"worm445", "mirai", "mirai-hidden", "slammer"}
}
