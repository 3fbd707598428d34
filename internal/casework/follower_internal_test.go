package casework

import (
	"testing"
	"time"

	"teiten/internal/casedb"
)

func TestKnownUntilCountsTheTimeSensorsWorked(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	hours := func(sensor int64, from, to int) (list []casedb.SensorWindow) {
		for h := from; h < to; h++ {
			list = append(list, casedb.SensorWindow{SensorID: sensor, Start: begin.Add(time.Duration(h) * time.Hour), Seconds: 3600})
		}
		return list
	}
	at := func(h int) time.Time { return begin.Add(time.Duration(h) * time.Hour) }
	for name, test := range map[string]struct {
		windows []casedb.SensorWindow
		sensors []int64
		want    time.Time
	}{
		"worked all the time":           {hours(1, 0, 100), []int64{1}, at(76)},
		"not for long enough":           {hours(1, 0, 23), []int64{1}, time.Time{}},
		"stopped long ago":              {hours(1, 0, 50), []int64{1}, at(26)},
		"stood still in between":        {append(hours(1, 0, 50), hours(1, 90, 100)...), []int64{1}, at(36)},
		"another sensor worked":         {hours(2, 0, 100), []int64{1}, time.Time{}},
		"either of two worked":          {append(hours(1, 0, 50), hours(2, 50, 100)...), []int64{1, 2}, at(76)},
		"both worked, counted once":     {interleave(hours(1, 0, 100), hours(2, 0, 100)), []int64{1, 2}, at(76)},
		"no sensor had seen the source": {hours(1, 0, 100), nil, time.Time{}},
	} {
		if got := knownUntil(test.windows, test.sensors, 24*time.Hour); !got.Equal(test.want) {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func interleave(a, b []casedb.SensorWindow) (list []casedb.SensorWindow) {
	for i := range a {
		list = append(list, a[i], b[i])
	}
	return list
}

// TestFollow goes through a source's life: what was said once stays said.
func TestFollow(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(days float64) time.Time { return start.Add(time.Duration(days * 24 * float64(time.Hour))) }
	f := casedb.Followup{StartedAt: start, State: casedb.FollowupActive, LastAt: start, KnownTo: start, SeenAt: start}
	step := func(what string, seen, known float64, state casedb.FollowupState, quiet, returned bool) {
		t.Helper()
		f.SeenAt = at(seen)
		f = follow(f, at(known))
		if f.State != state || (f.QuietAt != nil) != quiet || (f.ReturnedAt != nil) != returned {
			t.Fatalf("%s: got %s, quiet %v, returned %v", what, f.State, f.QuietAt, f.ReturnedAt)
		}
	}
	step("still sends", 2, 1, casedb.FollowupActive, false, false)
	step("not silent for long enough", 3, 2.5, casedb.FollowupActive, false, false)
	step("silent", 3, 4, casedb.FollowupQuiet, true, false)
	if !f.QuietAt.Equal(at(3)) {
		t.Errorf("quiet since %s, want its last packet", f.QuietAt)
	}
	step("what was known is not forgotten", 3, 1, casedb.FollowupQuiet, true, false)
	step("came back", 20, 13, casedb.FollowupReturned, true, true)
	step("and again", 21, 14, casedb.FollowupReturned, true, true)
	step("silent again", 21, 22, casedb.FollowupQuiet, true, true)
	if !f.QuietAt.Equal(at(3)) || !f.ReturnedAt.Equal(at(20)) {
		t.Errorf("the first times changed: %s, %s", f.QuietAt, f.ReturnedAt)
	}
	step("long enough", 21, 200, casedb.FollowupEnded, true, true)

	g := follow(casedb.Followup{StartedAt: start, State: casedb.FollowupActive, LastAt: start, KnownTo: start, SeenAt: at(-3)}, time.Time{})
	if g.State != casedb.FollowupActive {
		t.Errorf("sensors that never worked call it %s", g.State)
	}
	g = follow(g, at(0.1))
	if g.State != casedb.FollowupQuiet || !g.QuietAt.Equal(at(-3)) {
		t.Errorf("stopped before the mail: %s at %v", g.State, g.QuietAt)
	}
}
