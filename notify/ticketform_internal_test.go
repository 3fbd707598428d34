package notify

import "testing"

// TestTicketFormExamples: each way to write a ticket's number finds the number
// in its own example.
func TestTicketFormExamples(t *testing.T) {
	t.Parallel()
	for _, f := range ticketForms {
		m := f.pattern.FindStringSubmatch(f.example)
		if m == nil || m[len(m)-1] == "" {
			t.Errorf("%s: no number in %q", f.name, f.example)
		}
		if found := findTicket(f.example, true); found.number == "" || found.tag == "" {
			t.Errorf("%s: %q is no ticket: %+v", f.name, f.example, found)
		}
	}
}
