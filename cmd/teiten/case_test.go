package main

import (
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// TestEventText: an event says others' words, why it happened, and the codes of
// a finding, however it was kept.
func TestEventText(t *testing.T) {
	t.Parallel()
	say, err := english()
	if err != nil {
		t.Fatal(err)
	}
	found := casedb.FindingCodes{Result: "infected", Product: "Windows", Version: "7", Actions: []string{"cleaned", "patched"}}
	for _, test := range []struct {
		event casedb.CaseEvent
		want  string
	}{
		{casedb.CaseEvent{Kind: casedb.EventHeld, Why: reason.Of(reason.RuleHolds)}, "the rule is set to hold"},
		{casedb.CaseEvent{Kind: casedb.EventNote, Text: "a note"}, "a note"},
		{casedb.CaseEvent{Kind: casedb.EventFailed, Text: "550 no", Why: reason.Of(reason.GaveUp, "3")}, "550 no\ngave up after 3 tries"},
		{casedb.CaseEvent{Kind: casedb.EventFinding, Text: "infected; Windows 7; cleaned, patched"}, "infected; Windows 7; cleaned, patched"},
		{casedb.CaseEvent{Kind: casedb.EventFinding, Data: casedb.JSON[casedb.EventData]{V: casedb.EventData{Finding: &found}}}, "infected; Windows 7; cleaned, patched"},
	} {
		if got := eventText(test.event, say); got != test.want {
			t.Errorf("%s: got %q, want %q", test.event.Kind, got, test.want)
		}
	}
}
