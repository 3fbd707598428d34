package attribution

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"teiten/internal/casedb"
)

// VerdictDifference is a source whose verdict would change.
type VerdictDifference struct {
	Old, New casedb.Verdict
}

// Rejudgement lists the changes that judging again would make.
type Rejudgement struct {
	Sources     int // judged
	Aggregates  int // events found, which Apply keeps too
	Differences []VerdictDifference
	Effect      casedb.RejudgeEffect
	Applied     bool

	version  int64
	floods   int64
	events   []casedb.Aggregate
	accused  []casedb.KindSource
	cleared  []casedb.KindSource
	verdicts map[netip.Addr]casedb.Judgement
}

// saveAtOnce is the number of verdicts of a re-judgement in one transaction.
const saveAtOnce = 5000

// Rejudge judges again the sources of all batches since the time, with the
// rules and the allowlist of now, and says what would change. It writes
// nothing; Apply does. Batches are judged in the shares in which they would be
// after an import, so that floods are seen; of a source in several the last
// counts. Only what differs is held in memory.
func (j *Judge) Rejudge(ctx context.Context, since time.Time) (*Rejudgement, error) {
	allowlist, version, err := j.allowlist(ctx)
	if err != nil {
		return nil, err
	}
	known, floods, err := j.floods(ctx, since.Add(-j.lookBack()))
	if err != nil {
		return nil, err
	}
	r := &Rejudgement{version: version, floods: floods, verdicts: map[netip.Addr]casedb.Judgement{}}
	differences := map[netip.Addr]VerdictDifference{}
	seen := map[netip.Addr]struct{}{}
	var after *casedb.BatchRef
	for {
		refs, err := j.DB.JudgedBatches(ctx, since, after, judgeBatches)
		if err != nil {
			return nil, err
		}
		if len(refs) == 0 {
			break
		}
		refs = refs[:share(refs)]
		last := refs[len(refs)-1]
		after = &last
		ids := make([]int64, len(refs))
		for i := range refs {
			ids[i] = refs[i].ID
		}
		profiles := j.profiles(allowlist, known)
		from := refs[0].Window.Add(-j.lookBack())
		if err := j.DB.ObservationsOfSources(ctx, ids, from, profiles.collect); err != nil {
			return nil, err
		}
		events, err := j.events(ctx, profiles.Aggregates(), from)
		if err != nil {
			return nil, err
		}
		if err := knowFloods(known, events); err != nil {
			return nil, err
		}
		r.events = append(r.events, events...)
		for part := range parts(profiles.judgements(), saveAtOnce) {
			if err := j.differ(ctx, part, differences, r.verdicts, seen); err != nil {
				return nil, err
			}
		}
	}
	r.Sources, r.Aggregates = len(seen), len(r.events)
	for a, d := range differences {
		r.Differences = append(r.Differences, d)
		same := d.Old.Kind == d.New.Kind && d.Old.Tell == d.New.Tell
		if d.Old.Tell && !same {
			r.cleared = append(r.cleared, casedb.KindSource{Source: a, Kind: d.Old.Kind})
		}
		if d.New.Tell && !same && slices.Contains(j.kinds(), d.New.Kind) {
			r.accused = append(r.accused, casedb.KindSource{Source: a, Kind: d.New.Kind})
		}
	}
	slices.SortFunc(r.Differences, func(a, b VerdictDifference) int { return a.New.Source.Compare(b.New.Source.Addr) })
	for _, list := range [][]casedb.KindSource{r.cleared, r.accused} {
		slices.SortFunc(list, func(a, b casedb.KindSource) int { return a.Source.Compare(b.Source) })
	}
	r.Effect, err = j.DB.RejudgeEffect(ctx, r.cleared, r.accused)
	return r, err
}

// differ compares new judgements with the verdicts in force.
func (j *Judge) differ(ctx context.Context, list []casedb.Judgement, differences map[netip.Addr]VerdictDifference,
	verdicts map[netip.Addr]casedb.Judgement, seen map[netip.Addr]struct{}) error {
	addrs := make([]netip.Addr, len(list))
	for i := range list {
		addrs[i] = list[i].Verdict.Source.Addr
	}
	current, err := j.DB.CurrentVerdicts(ctx, addrs)
	if err != nil {
		return err
	}
	old := make(map[netip.Addr]*casedb.Verdict, len(current))
	for i := range current {
		old[current[i].Source.Unmap()] = &current[i]
	}
	for i := range list {
		v := &list[i].Verdict
		a := v.Source.Unmap()
		seen[a] = struct{}{}
		delete(differences, a)
		delete(verdicts, a)
		was := old[a]
		if was == nil || sameVerdict(was, v) {
			continue
		}
		v.Evidence.V.Notes = append(slices.Clone(v.Evidence.V.Notes), NoteRejudged)
		differences[a] = VerdictDifference{Old: *was, New: *v}
		verdicts[a] = list[i]
	}
	return nil
}

// sameVerdict reports whether two verdicts say the same, whatever the version
// of the rules.
func sameVerdict(a, b *casedb.Verdict) bool {
	return a.Kind == b.Kind && a.Tool == b.Tool && a.Malware == b.Malware && a.Acknowledged == b.Acknowledged &&
		a.Attention == b.Attention && a.Tell == b.Tell && a.Rule == b.Rule && a.Confidence == b.Confidence && a.Evidence.V.Weak == b.Evidence.V.Weak
}

// Apply saves the new verdicts and the events, and deals with the cases of sources that are
// cleared. Sources that are accused now get cases from the Opener, whose
// messages wait for a coordinator. ErrStale if the allowlist has changed since
// Rejudge, or other floods were found.
func (j *Judge) Apply(ctx context.Context, r *Rejudgement) error {
	if r.Applied {
		return fmt.Errorf("apply re-judgement: %w", casedb.ErrState)
	}
	now := j.now()
	list := make([]casedb.Judgement, 0, len(r.verdicts))
	for _, v := range r.verdicts {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b casedb.Judgement) int {
		return cmp.Or(a.Verdict.Source.Compare(b.Verdict.Source.Addr), 0)
	})
	err := j.DB.InTx(ctx, func(tx *casedb.Tx) error {
		if err := tx.HoldFloods(ctx, r.floods, casedb.HasFlood(r.events)); err != nil {
			return err
		}
		if _, err := tx.SaveVerdicts(ctx, list, r.version, now); err != nil {
			return err
		}
		for part := range slices.Chunk(r.events, saveAtOnce) {
			if err := tx.SaveAggregates(ctx, part, now); err != nil {
				return err
			}
		}
		return tx.SettleRejudged(ctx, r.cleared, RuleSet, now)
	})
	r.Applied = err == nil
	return err
}
