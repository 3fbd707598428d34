package notify

import (
	"context"
	"errors"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// composeError is why no mail can be made of a message.
type composeError struct{ cause error }

func (e *composeError) Error() string { return "no mail can be made of it: " + e.cause.Error() }
func (e *composeError) Unwrap() error { return e.cause }

// why holds the message.
func (e *composeError) why() reason.List {
	switch {
	case errors.Is(e.cause, errInClear):
		return reason.Of(reason.InClear)
	case errors.Is(e.cause, ErrNothingToSay):
		return reason.Of(reason.NoneLeft)
	case errors.Is(e.cause, ErrGone):
		return reason.Of(reason.EvidenceGone)
	}
	return reason.Of(reason.NoMail, e.cause.Error())
}

// setAside keeps a message that cannot be claimed from standing in the way of
// others: a coordinator has to look at what no mail can be made of; all else
// is tried again later.
func (s *Sender) setAside(ctx context.Context, id int64, cause error, now time.Time) error {
	var compose *composeError
	if !errors.As(cause, &compose) {
		return s.DB.SetAsideMessage(ctx, id, cause.Error(), now.Add(15*time.Minute))
	}
	return s.DB.InTx(ctx, func(tx *casedb.Tx) error {
		m, c, err := tx.LockDueMessage(ctx, id, now)
		if errors.Is(err, casedb.ErrStale) {
			return nil
		}
		if err != nil {
			return err
		}
		s.Metrics.result("held")
		return tx.HoldDue(ctx, m, c, compose.why(), now)
	})
}
