package sensor

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"teiten/internal/sensorwire"
	"teiten/internal/spool"
)

// How long a deliverer waits when the hub does not take a batch. It doubles from
// the first to the last with each failure in a row, and is shortened at random by
// up to half so that sensors do not come back together.
const (
	firstPause = 2 * time.Second
	lastPause  = 5 * time.Minute
	// refusedPause is how long it waits when its token is refused: a person has to
	// act, but a revoked token can be allowed again.
	refusedPause = time.Minute
)

// deliverer sends batches to the hub, the oldest first, and forgets one only after
// the hub has said that it is in its database.
type deliverer struct {
	spool  *spool.Spool
	client *client
	log    *slog.Logger

	delivered atomic.Uint64 // batches that the hub has taken or had
}

// outcome is what follows from an answer of the hub.
type outcome uint8

const (
	outcomeDone  outcome = iota // the hub has it
	outcomeAside                // the hub will never take it
	outcomeLater                // offer it again
)

// decide says what follows from an answer of the hub to the n-th failure in a row,
// and how long to wait before the next request.
func decide(err error, failures int) (outcome, time.Duration) {
	pause := firstPause << min(failures, 10)
	pause = min(pause, lastPause)
	var hub *hubError
	if err == nil {
		return outcomeDone, 0
	}
	if !errors.As(err, &hub) {
		return outcomeLater, pause
	}
	switch hub.Type {
	case sensorwire.ProblemContent, sensorwire.ProblemSize, sensorwire.ProblemBatch:
		return outcomeAside, 0
	case sensorwire.ProblemToken, sensorwire.ProblemSensor, sensorwire.ProblemProtocol, sensorwire.ProblemFuture:
		return outcomeLater, max(hub.After, pause, refusedPause)
	}
	// Without a type of ours the answer may be that of a proxy on the way, which
	// knows nothing of the batch: it is never a reason to give it up.
	return outcomeLater, max(hub.After, pause)
}

// run delivers until ctx is done.
func (d *deliverer) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		err := d.next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
			continue
		case errors.Is(err, io.EOF):
			failures = 0
			d.sleep(ctx, time.Minute, d.spool.Wake())
			continue
		}
		_, pause := decide(err, failures)
		failures++
		d.log.Warn("deliver", "err", err, "attempt", failures, "pause", pause)
		d.sleep(ctx, shorten(pause), nil)
	}
}

// drain delivers everything that waits, or returns why it cannot.
func (d *deliverer) drain(ctx context.Context) error {
	for failures := 0; ; {
		err := d.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case err == nil:
			failures = 0
			continue
		}
		_, pause := decide(err, failures)
		failures++
		d.log.Warn("deliver", "err", err, "attempt", failures, "pause", pause)
		d.sleep(ctx, shorten(pause), nil)
	}
}

// next delivers the oldest batch. io.EOF means that none waits.
func (d *deliverer) next(ctx context.Context) error {
	batch, err := d.spool.Oldest()
	if err != nil {
		return err
	}
	id := batch.ID
	stored, err := d.put(ctx, batch)
	if cerr := batch.Close(); err == nil && cerr != nil {
		err = cerr
	}
	switch what, _ := decide(err, 0); what {
	case outcomeDone:
		if err := d.spool.Done(id); err != nil {
			return err // it is offered again: the hub knows it
		}
		d.delivered.Add(1)
		d.log.Debug("delivered", "batch", id.String(), "known", stored.Known)
		return nil
	case outcomeAside:
		d.log.Error("the hub does not take a batch: it is put aside", "batch", id.String(), "err", err)
		return d.spool.Refuse(id, err.Error())
	}
	return fmt.Errorf("batch %s: %w", id, err)
}

// put sends one batch.
func (d *deliverer) put(ctx context.Context, b *spool.Batch) (stored sensorwire.BatchStored, err error) {
	id, sum := b.ID, sha256.New()
	if _, err := io.Copy(sum, b); err != nil {
		return stored, err
	}
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return stored, err
	}
	err = d.client.do(ctx, request{
		method: http.MethodPut, path: sensorwire.PathBatch + id.String(), body: io.NopCloser(b), size: b.Size,
		header: http.Header{
			"Content-Type":          {sensorwire.BatchType},
			sensorwire.DigestHeader: {"sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"},
		},
	}, &stored)
	if err == nil && stored.ID != id.String() {
		err = fmt.Errorf("ask hub: it answers about batch %.80q", stored.ID)
	}
	return stored, err
}

// sleep waits, or until wake.
func (*deliverer) sleep(ctx context.Context, pause time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}

func shorten(d time.Duration) time.Duration {
	return d - rand.N(d/2+1) //nolint:gosec // jitter is no secret
}
