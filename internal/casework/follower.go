package casework

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"teiten/internal/casedb"
)

// Defaults of Follower.
const (
	DefaultQuiet = 7 * 24 * time.Hour

	followFor    = 180 * 24 * time.Hour // how long a source is followed
	followEvery  = time.Hour
	followBatch  = 2000
	startLookBck = 30 * 24 * time.Hour // mails that went out before the follower ran
)

// Follower watches what becomes of the sources whose owners were told, and
// ends the cases all of whose sources went quiet.
type Follower struct {
	DB *casedb.DB
	// Quiet is how long the sensors that had seen a source must have worked
	// without seeing it before it counts as quiet. Zero means seven days.
	Quiet time.Duration
	// Tell tells the owner of a quiet case before it ends, if he is to be told,
	// and reports whether a message was written; then the case ends when that has.
	// Nil: no owner is told.
	Tell   func(ctx context.Context, caseID int64) (bool, error)
	Logger *slog.Logger     // nil: silence
	Now    func() time.Time // nil: time.Now
}

// Do follows what is due and returns how many sources it looked at.
func (f *Follower) Do(ctx context.Context) (int, error) {
	now := time.Now()
	if f.Now != nil {
		now = f.Now()
	}
	quiet := f.Quiet
	if quiet <= 0 {
		quiet = DefaultQuiet
	}
	if err := f.DB.InTx(ctx, func(tx *casedb.Tx) error {
		_, err := tx.StartFollowups(ctx, now.Add(-startLookBck), now)
		return err
	}); err != nil {
		return 0, err
	}
	due, err := f.DB.DueFollowups(ctx, now.Add(-followEvery), followBatch)
	if err != nil {
		return 0, err
	}
	if len(due) > 0 {
		if err := f.look(ctx, due, quiet, now); err != nil {
			return 0, err
		}
	}
	closed, err := f.closeQuiet(ctx, quiet, now)
	return len(due) + closed, err
}

// look finds out what became of the sources and saves it.
func (f *Follower) look(ctx context.Context, due []casedb.Followup, quiet time.Duration, now time.Time) error {
	oldest := due[0].StartedAt
	for i := range due {
		if due[i].StartedAt.Before(oldest) {
			oldest = due[i].StartedAt
		}
	}
	windows, err := f.DB.LiveWindows(ctx, oldest)
	if err != nil {
		return err
	}
	known := map[string]time.Time{} // by set of sensors
	for i := range due {
		slices.Sort(due[i].Sensors)
		set := fmt.Sprint(due[i].Sensors)
		to, ok := known[set]
		if !ok {
			to = knownUntil(windows, due[i].Sensors, quiet)
			known[set] = to
		}
		due[i] = follow(due[i], to)
	}
	return f.DB.InTx(ctx, func(tx *casedb.Tx) error { return tx.SaveFollowups(ctx, due, now) })
}

// closeQuiet ends the cases all of whose sources went quiet.
func (f *Follower) closeQuiet(ctx context.Context, quiet time.Duration, now time.Time) (closed int, err error) {
	ids, err := f.DB.QuietCases(ctx, 100)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if f.Tell != nil {
			told, err := f.Tell(ctx, id)
			if err != nil {
				return closed, err
			}
			if told {
				continue
			}
		}
		err := f.DB.InTx(ctx, func(tx *casedb.Tx) error {
			done, err := tx.CloseQuietCase(ctx, id, int(quiet/(24*time.Hour)), now)
			if done {
				closed++
			}
			return err
		})
		if err != nil {
			return closed, err
		}
	}
	if closed > 0 && f.Logger != nil {
		f.Logger.Info("quiet cases closed", "cases", closed)
	}
	return closed, nil
}

// knownUntil returns until when it is known whether a source was active that
// the sensors can see: they worked for the time quiet since then. A window
// without a batch is one in which a sensor did not work, so time in which none
// of them did is no silence. Zero if they have not worked for so long.
func knownUntil(windows []casedb.SensorWindow, sensors []int64, quiet time.Duration) time.Time {
	need := quiet
	var begin time.Time // of what is counted already
	for _, w := range slices.Backward(windows) {
		if !slices.Contains(sensors, w.SensorID) {
			continue
		}
		end := w.Start.Add(time.Duration(w.Seconds) * time.Second)
		if !begin.IsZero() && end.After(begin) {
			end = begin
		}
		live := end.Sub(w.Start)
		if live <= 0 {
			continue
		}
		if live >= need {
			return end.Add(-need)
		}
		need -= live
		begin = w.Start
	}
	return time.Time{}
}

// follow says what became of a source of which it is known until when it was
// active. It never un-says that a source went quiet, or came back.
func follow(f casedb.Followup, knownTo time.Time) casedb.Followup {
	if knownTo.Before(f.KnownTo) {
		knownTo = f.KnownTo // an old batch left: what was known stays known
	}
	again := f.SeenAt.After(f.LastAt)
	f.LastAt, f.KnownTo = f.SeenAt, knownTo
	silent := !f.SeenAt.After(knownTo) && knownTo.After(f.StartedAt)
	if f.QuietAt != nil && again && f.ReturnedAt == nil {
		seen := f.SeenAt
		f.ReturnedAt = &seen
	}
	switch {
	case silent:
		f.State = casedb.FollowupQuiet
		if f.QuietAt == nil {
			seen := f.SeenAt
			f.QuietAt = &seen
		}
	case f.QuietAt != nil && again:
		f.State = casedb.FollowupReturned
	}
	if knownTo.Sub(f.StartedAt) >= followFor {
		f.State = casedb.FollowupEnded
	}
	return f
}
