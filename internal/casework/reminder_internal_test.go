package casework

import (
	"testing"
	"time"

	"teiten/internal/casedb"
)

func TestWhenOwnersAreReminded(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time {
		at := now.Add(-d)
		return &at
	}
	few := Reminders{14 * day, 30 * day}
	for _, test := range []struct {
		name      string
		reminders Reminders
		sent      time.Duration // ago
		before    int           // reminders
		active    *time.Time
		want      bool
	}{
		{"seen today, told a fortnight ago", few, 14 * day, 0, ago(time.Hour), true},
		{"told yesterday", few, day, 0, ago(time.Hour), false},
		{"an hour too early", few, 14*day - time.Hour, 0, ago(time.Hour), false},
		{"not seen since it was told", few, 14 * day, 0, ago(15 * day), false},
		{"cleaned up soon after", few, 14 * day, 0, ago(12 * day), false},
		{"seen a week ago", few, 14 * day, 0, ago(7 * day), true},
		{"second reminder too early", few, 29 * day, 1, ago(time.Hour), false},
		{"second reminder", few, 30 * day, 1, ago(time.Hour), true},
		{"no third one", few, 300 * day, 2, ago(time.Hour), false},
		{"cleared, whatever else it does", few, 14 * day, 0, nil, false},
		{"no reminders wanted", nil, 100 * day, 0, ago(time.Hour), false},
		{"often", Reminders{day, day}, day, 1, ago(time.Hour), true},
		{"often, not seen since the last", Reminders{day, day}, day, 1, ago(25 * time.Hour), false},
	} {
		c := casedb.ToldCase{LastSent: now.Add(-test.sent), Reminders: test.before, LastActive: test.active}
		if got := test.reminders.due(c, now); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
