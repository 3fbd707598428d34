package attribution

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"teiten/internal/casedb"
	"teiten/internal/observation"
	"teiten/internal/work"
)

// Defaults of Judge.
const (
	DefaultLookBack = 14 * 24 * time.Hour

	judgeBatches = 24 // batches claimed at once
	// judgeObservations bounds the observations of batches that are judged
	// together, unless one batch alone has more. They are streamed; what needs
	// memory are the profiles of the sources: 1 GiB where sources have six
	// observations, 3 GiB where every one has another, forged source. The more
	// are judged together the better: a source of two shares is read and written
	// twice.
	judgeObservations = 6 << 20

	savePart    = 1 << 15 // verdicts in one transaction
	saveWriters = 2       // transactions at once

	judgeSources = 5000 // sources judged again at once
	judgeLease   = 10 * time.Minute
	judgeTimeout = 9 * time.Minute // less than the lease, so that no worker keeps a lost claim
	retryFirst   = 5 * time.Second
	retryLimit   = 10 * time.Minute
)

// Judge gives verdicts to the sources of new batches, and new verdicts to the
// sources for which the allowlist has changed or a flood was found later. Its methods are safe for concurrent use.
type Judge struct {
	DB *casedb.DB
	// LookBack is how far back a profile reaches. Zero means 14 days.
	LookBack time.Duration
	// Options are as in captures; Allowlist is not used, the case database's is.
	Options Options
	// Kinds are the kinds of sources that open cases, for what a re-judgement
	// would open; none: infected.
	Kinds []casedb.Kind
	// Logger gets batches that cannot be judged. Nil means silence.
	Logger *slog.Logger
	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	mu      sync.Mutex // guards what follows
	list    *Allowlist
	version int64
	loaded  bool
}

func (j *Judge) now() time.Time {
	if j.Now != nil {
		return j.Now()
	}
	return time.Now()
}

func (j *Judge) logger() *slog.Logger {
	if j.Logger != nil {
		return j.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (j *Judge) kinds() []casedb.Kind {
	if len(j.Kinds) == 0 {
		return []casedb.Kind{casedb.KindInfected}
	}
	return j.Kinds
}

func (j *Judge) lookBack() time.Duration {
	if j.LookBack > 0 {
		return j.LookBack
	}
	return DefaultLookBack
}

// Do judges the due sources: first those for which the allowlist has changed
// or a flood was found, then the sources of some unjudged batches. It returns the number of sources
// and batches. A batch that fails is tried again later, its error kept
// in its row.
func (j *Judge) Do(ctx context.Context) (int, error) {
	again, err := j.doDue(ctx)
	if err != nil {
		return again, err
	}
	batches, err := j.doBatches(ctx)
	return again + batches, err
}

// doDue judges the sources for whom the allowlist has changed or a flood was
// found.
func (j *Judge) doDue(ctx context.Context) (int, error) {
	sources, err := j.DB.SourcesDue(ctx, judgeSources)
	if err != nil || len(sources) == 0 {
		return 0, err
	}
	now := j.now()
	allowlist, version, err := j.allowlist(ctx)
	if err != nil {
		return 0, err
	}
	// The look-back ends with the source's last packet, not with today: what a
	// capture of last year said of it must be said again.
	since, err := j.DB.OldestLast(ctx, sources)
	if err != nil {
		return 0, err
	}
	since = since.Add(-j.lookBack())
	known, floods, err := j.floods(ctx, since)
	if err != nil {
		return 0, err
	}
	profiles := j.profiles(allowlist, known)
	err = j.DB.ObservationsOf(ctx, sources, since, profiles.collect)
	if err != nil {
		return 0, err
	}
	err = j.DB.InTx(ctx, func(tx *casedb.Tx) error {
		// These sources are not all of a share, so that what they show together is
		// not kept.
		if err := tx.HoldFloods(ctx, floods, false); err != nil {
			return err
		}
		list := slices.Collect(profiles.judgements())
		for i := range list {
			e := &list[i].Verdict.Evidence.V
			e.Notes = append(e.Notes, NoteRejudged)
		}
		if _, err := tx.SaveVerdicts(ctx, list, version, now); err != nil {
			return err
		}
		return tx.SettleSources(ctx, sources, now)
	})
	if errors.Is(err, casedb.ErrStale) {
		return 1, nil // the allowlist or the floods have changed again: once more, with the new ones
	}
	return len(sources), err
}

// doBatches judges the sources of unjudged batches.
func (j *Judge) doBatches(ctx context.Context) (int, error) {
	refs, err := j.DB.ClaimBatches(ctx, judgeBatches, j.now(), judgeLease)
	if err != nil || len(refs) == 0 {
		return 0, err
	}
	done := 0
	for len(refs) > 0 {
		n := share(refs)
		k, err := j.doShare(ctx, refs[:n])
		done += k
		if err != nil {
			return done, err
		}
		refs = refs[n:]
	}
	return done, nil
}

// share returns how many of the batches are judged together: as many as do not
// need much memory.
func share(refs []casedb.BatchRef) int {
	sum := 0
	for i, r := range refs {
		if sum += r.Observations; sum > judgeObservations && i > 0 {
			return i
		}
	}
	return len(refs)
}

// doShare judges the sources of a few batches and returns how many of these
// are done.
func (j *Judge) doShare(ctx context.Context, refs []casedb.BatchRef) (int, error) {
	err := j.judgeBatches(ctx, refs)
	if err == nil {
		return len(refs), nil
	}
	if ctx.Err() != nil || casedb.IsUnavailable(err) {
		return 0, err // the claim ends by itself
	}
	if len(refs) > 1 && !errors.Is(err, casedb.ErrStale) {
		// One of them is bad: find out which.
		done := 0
		for _, r := range refs {
			if err := j.judgeBatches(ctx, []casedb.BatchRef{r}); err != nil {
				if err := j.failBatch(ctx, r, err); err != nil {
					return done, err
				}
				continue
			}
			done++
		}
		return done, nil
	}
	for _, r := range refs {
		if err := j.failBatch(ctx, r, err); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (j *Judge) failBatch(ctx context.Context, r casedb.BatchRef, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	pause := time.Duration(0)
	if !errors.Is(cause, casedb.ErrStale) {
		pause = work.Backoff(max(0, r.Attempts-1), retryFirst, retryLimit)
		j.logger().Error("batch cannot be judged", "batch", r.ID, "sensor", r.Sensor, "attempt", r.Attempts, "err", cause)
	}
	err := j.DB.FailBatch(ctx, r, cause.Error(), j.now().Add(pause))
	if errors.Is(err, casedb.ErrStale) {
		return nil // another worker has it
	}
	return err
}

// judgeBatches judges the sources of the batches and writes the verdicts in
// parts, each in a transaction of its own: two are written at once, and memory
// is bounded. What ends in between is judged again from its beginning, and
// finds the same verdicts there. The batches are done with the last
// transaction, which saves what the sources show together.
func (j *Judge) judgeBatches(ctx context.Context, refs []casedb.BatchRef) error {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	now := j.now()
	allowlist, version, err := j.allowlist(ctx)
	if err != nil {
		return err
	}
	ids := make([]int64, len(refs))
	oldest := refs[0].Window
	for i, r := range refs {
		ids[i] = r.ID
		if r.Window.Before(oldest) {
			oldest = r.Window
		}
	}
	since := oldest.Add(-j.lookBack())
	known, floods, err := j.floods(ctx, since)
	if err != nil {
		return err
	}
	profiles := j.profiles(allowlist, known)
	if err := j.DB.ObservationsOfSources(ctx, ids, since, profiles.collect); err != nil {
		return err
	}
	aggregates := profiles.Aggregates()
	var events []casedb.Aggregate
	tasks, both := errgroup.WithContext(ctx)
	tasks.Go(func() (err error) {
		events, err = j.events(both, aggregates, since)
		return err
	})
	tasks.Go(func() error { return j.saveVerdicts(both, profiles, version, floods, now) })
	if err := tasks.Wait(); err != nil {
		return err
	}
	return j.DB.InTx(ctx, func(tx *casedb.Tx) error {
		if err := tx.HoldFloods(ctx, floods, casedb.HasFlood(events)); err != nil {
			return err
		}
		if err := tx.SaveAggregates(ctx, events, now); err != nil {
			return err
		}
		j.logger().Debug("sources judged", "batches", len(refs), "sources", profiles.Len())
		return tx.FinishBatches(ctx, refs, now)
	})
}

// saveVerdicts writes the verdicts of all sources, part by part.
func (j *Judge) saveVerdicts(ctx context.Context, profiles *Profiles, version, floods int64, now time.Time) error {
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(saveWriters)
	for part := range parts(profiles.judgements(), savePart) {
		if ctx.Err() != nil {
			break // Wait says why
		}
		writers.Go(func() error {
			return j.DB.InTx(ctx, func(tx *casedb.Tx) error {
				if err := tx.HoldFloods(ctx, floods, false); err != nil {
					return err
				}
				_, err := tx.SaveVerdicts(ctx, part, version, now)
				return err
			})
		})
	}
	return writers.Wait()
}

// parts yields what a sequence yields in lists of n, the last one shorter.
func parts[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		part := make([]T, 0, n)
		for v := range seq {
			if part = append(part, v); len(part) == n {
				if !yield(part) {
					return
				}
				part = make([]T, 0, n)
			}
		}
		if len(part) > 0 {
			yield(part)
		}
	}
}

func (j *Judge) profiles(allowlist *Allowlist, known map[floodKey]AggregateKind) *Profiles {
	opt := j.Options
	opt.Allowlist, opt.known = allowlist, known
	return NewProfiles(opt)
}

// collect is Add with the signature of the case database's streams.
func (s *Profiles) collect(sensor string, o *observation.Observation) error {
	s.Add(sensor, o)
	return nil
}

// judgements yields the verdicts of all sources with their countries, in order
// of address, as they are made.
func (s *Profiles) judgements() iter.Seq[casedb.Judgement] {
	return func(yield func(casedb.Judgement) bool) {
		s.Verdicts(func(v casedb.Verdict) bool {
			return yield(judgement(v))
		})
	}
}

// allowlist returns the case database's allowlist and its version, loaded again
// when it has changed.
func (j *Judge) allowlist(ctx context.Context) (*Allowlist, int64, error) {
	version, err := j.DB.ScannersVersion(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("load allowlist: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.loaded && j.version == version {
		return j.list, version, nil
	}
	// Old entries too: packets are judged by the list of their time. Who changes
	// the list meanwhile raises the version, and saving with ours fails.
	entries, err := j.DB.ScannersSince(ctx, time.Time{})
	if err != nil {
		return nil, 0, fmt.Errorf("load allowlist: %w", err)
	}
	j.list, j.version, j.loaded = NewAllowlist(entries), version, true
	return j.list, version, nil
}
