package notify_test

import (
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

func TestQuietHours(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ hours, country, now, want string }{
		{"22:00-07:00", "JP", "2026-11-20T12:59:59Z", ""},                     // 21:59:59
		{"22:00-07:00", "JP", "2026-11-20T13:00:00Z", "2026-11-20T22:00:00Z"}, // 22:00
		{"22:00-07:00", "jp", "2026-11-20T20:00:00Z", "2026-11-20T22:00:00Z"}, // 05:00
		{"22:00-07:00", "JP", "2026-11-20T22:00:00Z", ""},                     // 07:00
		{"12:00-13:30", "JP", "2026-11-20T03:10:00Z", "2026-11-20T04:30:00Z"},
		{"12:00-13:30", "JP", "2026-11-20T04:30:00Z", ""},
		{"22:00-07:00", "DE", "2026-10-24T21:00:00Z", "2026-10-25T06:00:00Z"}, // the night has an hour more
		{"22:00-07:00", "DE", "2026-12-31T22:30:00Z", "2027-01-01T06:00:00Z"},
		{"22:00-07:00", "US", "2026-11-20T08:00:00Z", ""}, // many zones
		{"22:00-07:00", "", "2026-11-20T15:00:00Z", ""},
		{"", "JP", "2026-11-20T15:00:00Z", ""},
	} {
		q, err := notify.ParseQuietHours(test.hours)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if until := q.Until(now, test.country); !until.Equal(now) {
			got = until.UTC().Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%s in %s at %s: until %q, want %q", test.hours, test.country, test.now, got, test.want)
		}
	}
	for _, bad := range []string{"22-7", "22:00", "22:00-24:00", "07:00-07:00", "x-y", "-"} {
		if _, err := notify.ParseQuietHours(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// TestNobodyIsWokenByTheProgram: a letter without an approval waits for the
// morning, and a letter that a coordinator approved goes immediately.
func TestNobodyIsWokenByTheProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.advance(6 * time.Hour) // midnight in Japan
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	sender.Quiet = notify.QuietHours{From: 22 * time.Hour, To: 7 * time.Hour}
	_, m := w.queued(ispCase)
	s := ispCase
	s.owner, s.email, s.sources = "another", "abuse@other.example", []string{"192.0.2.30"}
	_, byHand := w.queued(s)
	w.exec(`update message set approved_by = 'coordinator', approved_at = $2 where id = $1`, byHand.ID, w.clock.now())
	w.do(sender.Do)
	if got := server.received(); len(got) != 1 || got[0].to != s.email {
		t.Fatalf("%d mails at night", len(got))
	}
	m = w.getMessage(m.ID)
	if wait := m.NextAttemptAt.Sub(w.clock.now()); m.State != casedb.MessageQueued || m.Attempts != 0 || wait != 7*time.Hour || m.DelayWhy.String() != "quiet-hours" {
		t.Errorf("message is %s, due in %s: %s", m.State, wait, m.DelayWhy)
	}
	w.clock.advance(7 * time.Hour)
	w.do(sender.Do)
	if n := len(server.received()); n != 2 {
		t.Errorf("%d mails in the morning", n)
	}
}
