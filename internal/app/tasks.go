package app

import (
	"context"
	"errors"
	"time"

	"teiten/internal/casedb"
)

// startTasks sets up the housekeeping that one process at a time does.
func (a *App) startTasks(ctx context.Context) error {
	tasks := []struct {
		name  string
		every time.Duration
		do    func(ctx context.Context, now time.Time) error
	}{
		{"retention", 24 * time.Hour, func(ctx context.Context, now time.Time) error {
			n, err := a.DB.DropObservationsBefore(ctx, now.Add(-a.cfg.Retention.Observations))
			if n > 0 {
				a.log.Info("dropped old observations", "days", n)
			}
			return err
		}},
		{"unmatched mail", time.Hour, a.expireMail},
		{"sessions", time.Hour, func(ctx context.Context, now time.Time) error {
			const batch = 1000
			for {
				if n, err := a.DB.ExpireSessions(ctx, now, batch); n < batch || err != nil {
					return err
				}
			}
		}},
		{"reminders", time.Hour, func(ctx context.Context, _ time.Time) error {
			n, err := a.remind(ctx)
			if n > 0 {
				a.log.Info("wrote reminders", "messages", n)
				wake(a.mailers)
			}
			return err
		}},
		{"directory", time.Hour, func(ctx context.Context, now time.Time) error {
			return a.DB.InTx(ctx, func(tx *casedb.Tx) error { return tx.ApplyDirectory(ctx, 0, now) }) // entries that begin or end by their dates
		}},
		{"escalation", time.Hour, func(ctx context.Context, _ time.Time) error {
			n, err := a.escalate(ctx)
			if n > 0 {
				a.log.Info("wrote to the next contact because owners did not answer", "messages", n)
				wake(a.mailers)
			}
			return err
		}},
		{"control", 10 * time.Minute, func(ctx context.Context, now time.Time) error {
			n, err := a.control.Keep(ctx, a.DB, now)
			if n > 0 {
				a.log.Info("control group: cases were removed", "cases", n)
				wake(a.mailers)
			}
			return err
		}},
		{"registrations", 24 * time.Hour, func(ctx context.Context, now time.Time) error {
			_, err := a.DB.PurgeRegistrations(ctx, now) // never confirmed
			return err
		}},
	}
	for _, t := range tasks {
		if err := a.DB.EnsureTask(ctx, t.name, time.Now()); err != nil {
			return err
		}
		a.loop(t.name, time.Minute, nil, func(ctx context.Context) (int, error) {
			now := time.Now()
			claim, claimed, err := a.DB.ClaimTask(ctx, t.name, now, 30*time.Minute)
			if err != nil || !claimed {
				return 0, err
			}
			if err := t.do(ctx, now); err != nil {
				return 0, errors.Join(err, ignoreStale(a.DB.FailTask(ctx, claim, err.Error(), now.Add(10*time.Minute))))
			}
			return 0, ignoreStale(a.DB.FinishTask(ctx, claim, now.Add(t.every), time.Now()))
		})
	}
	return nil
}

// expireMail purges old mail that belongs to no case.
func (a *App) expireMail(ctx context.Context, now time.Time) error {
	const batch = 1000
	for {
		n, err := a.DB.ExpireInbound(ctx, now.Add(-a.cfg.Retention.UnmatchedMail), batch, now)
		if n > 0 {
			a.log.Info("purged old mail that belonged to no case", "mails", n)
		}
		if n < batch || err != nil {
			return err
		}
	}
}

// ignoreStale drops the error of a claim that another process has taken over.
func ignoreStale(err error) error {
	if errors.Is(err, casedb.ErrStale) {
		return nil
	}
	return err
}
