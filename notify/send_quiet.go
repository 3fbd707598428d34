package notify

import (
	"fmt"
	"strings"
	"time"
)

// QuietHours are the hours of the recipient's day in which nothing goes out on
// its own. From after To is a night: 22:00-07:00. The zero value is none.
type QuietHours struct {
	From, To time.Duration // since midnight
}

// ParseQuietHours reads hours such as "22:00-07:00"; empty: none.
func ParseQuietHours(s string) (QuietHours, error) {
	if s == "" {
		return QuietHours{}, nil
	}
	from, to, _ := strings.Cut(s, "-")
	var q QuietHours
	for _, part := range []struct {
		text string
		into *time.Duration
	}{{from, &q.From}, {to, &q.To}} {
		at, err := time.Parse("15:04", part.text)
		if err != nil {
			return QuietHours{}, fmt.Errorf("quiet hours %q are not like 22:00-07:00", s)
		}
		*part.into = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	}
	if q.From == q.To {
		return QuietHours{}, fmt.Errorf("quiet hours %q have no end", s)
	}
	return q, nil
}

// Until returns the end of the quiet hours that now falls into in the country,
// or now. A country with several time zones has no quiet hours, because the
// recipient's night is unknown.
func (q QuietHours) Until(now time.Time, country string) time.Time {
	zone, _ := likelyZone(country)
	if q.From == q.To || zone == nil {
		return now
	}
	local := now.In(zone)
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second
	day := local.Day()
	switch {
	case q.From < q.To && (clock < q.From || clock >= q.To), q.From > q.To && clock < q.From && clock >= q.To:
		return now
	case q.From > q.To && clock >= q.From:
		day++ // the night ends tomorrow
	}
	// By the clock on the wall, which may jump in between.
	return time.Date(local.Year(), local.Month(), day, int(q.To/time.Hour), int(q.To%time.Hour/time.Minute), 0, 0, zone)
}
