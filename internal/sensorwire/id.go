package sensorwire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// BatchID names a batch of one sensor: start and length of its window, and its
// number where a window came in parts. Its text is
// <start>-<seconds>-<number>, as in 20260520T150000Z-600-0.
type BatchID struct {
	Window  time.Time // UTC, whole seconds
	Seconds int       // 1 to 86400
	Seq     int
}

const idTime = "20060102T150405Z"

// String returns the text of the name.
func (id BatchID) String() string {
	return id.Window.UTC().Format(idTime) + "-" + strconv.Itoa(id.Seconds) + "-" + strconv.Itoa(id.Seq)
}

// ParseBatchID reads the text of a name; only the form that String gives is good.
func ParseBatchID(text string) (BatchID, error) {
	var id BatchID
	start, rest, _ := strings.Cut(text, "-")
	seconds, seq, ok := strings.Cut(rest, "-")
	var errs [3]error
	id.Window, errs[0] = time.Parse(idTime, start)
	id.Seconds, errs[1] = strconv.Atoi(seconds)
	id.Seq, errs[2] = strconv.Atoi(seq)
	for _, err := range errs {
		ok = ok && err == nil
	}
	switch {
	case !ok || id.String() != text:
		return BatchID{}, fmt.Errorf("batch id %.80q is not like 20260520T150000Z-600-0", text)
	case id.Seconds < 1 || id.Seconds > 86400:
		return BatchID{}, fmt.Errorf("batch id %s: a window is 1 to 86400 seconds long", text)
	case id.Seq < 0 || id.Seq > 1<<20:
		return BatchID{}, fmt.Errorf("batch id %s: the number is not between 0 and %d", text, 1<<20)
	case id.Window.Year() < 1970 || id.Window.Year() > 2261:
		return BatchID{}, fmt.Errorf("batch id %s: the year is not between 1970 and 2261", text)
	}
	return id, nil
}
