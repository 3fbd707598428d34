package capture

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWindowsAreCutAtMidnight: a window never lies in two days, whatever its
// length, and the windows of a day cover it without a gap.
func TestWindowsAreCutAtMidnight(t *testing.T) {
	t.Parallel()
	zones := map[string]*time.Location{}
	// Tokyo, half hours, quarters, a clock put forward at midnight, a day left out.
	for _, name := range []string{"Asia/Tokyo", "UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "Europe/Berlin"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones[name] = zone
	}
	names := []string{"Asia/Tokyo", "UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "Europe/Berlin"}
	rapid.Check(t, func(t *rapid.T) {
		zone := zones[rapid.SampledFrom(names).Draw(t, "zone")]
		length := time.Duration(rapid.IntRange(1, 24*3600).Draw(t, "seconds")) * time.Second
		when := rapid.Int64Range(0, time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()).Draw(t, "when")
		start, end := windowBounds(when, length, zone)
		if when < start || when >= end || end-start > int64(length) || start%int64(time.Second) != 0 || end%int64(time.Second) != 0 {
			t.Fatalf("%d is in [%d, %d)", when, start, end)
		}
		day := func(ns int64) string { return time.Unix(0, ns).In(zone).Format(time.DateOnly) }
		if day(start) != day(end-1) {
			t.Fatalf("a window of %s from %s to %s", length, time.Unix(0, start).In(zone), time.Unix(0, end).In(zone))
		}
		if next, _ := windowBounds(end, length, zone); next != end {
			t.Fatalf("the window after %d begins at %d", end, next)
		}
		if again, last := windowBounds(end-1, length, zone); again != start || last != end {
			t.Fatalf("the end of [%d, %d) is in [%d, %d)", start, end, again, last)
		}
	})
	start, end := windowBounds(time.Date(2026, 1, 15, 20, 0, 0, 0, time.UTC).UnixNano(), 24*time.Hour, zones["Asia/Tokyo"])
	if from, to := time.Unix(0, start).UTC(), time.Unix(0, end).UTC(); from.Hour() != 15 || to.Sub(from) != 9*time.Hour {
		t.Errorf("from %s to %s", from, to)
	}
}
