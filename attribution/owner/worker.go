package owner

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/work"
)

const (
	lookupBatch = 20
	// lookupLease is how long a claimed row is ours: longer than a lookup takes.
	lookupLease = 2 * time.Minute
	// lookupTries is how often a registry that fails is asked for one address.
	lookupTries = 8

	firstLookupPause   = time.Minute
	longestLookupPause = 12 * time.Hour
	// longestSpread bounds over how long rows that wait for a server come back.
	longestSpread = 10 * time.Minute

	defaultCacheFor  = 7 * 24 * time.Hour
	defaultUnknown   = 7 * 24 * time.Hour // after "not found"
	defaultHopeless  = 24 * time.Hour     // after lookupTries, or an unusable answer
	maxContactsKept  = 20
	maxOwnerKeyBytes = 400
)

// Worker answers the due rows of owner_lookup: from a network that is
// known already, so that one question answers a whole range, else by asking.
type Worker struct {
	DB     *casedb.DB
	Lookup Lookup
	Config ContactConfig
	Logger *slog.Logger     // nil: silence
	Now    func() time.Time // nil: time.Now
	// CacheFor is how long an answer holds. Zero means a week.
	CacheFor time.Duration

	// AS gives networks their AS number. Nil: none is known.
	AS *ASTable

	// mu lets one batch run at a time, or two would ask about the same range;
	// it guards deferred.
	mu       sync.Mutex
	deferred int // lookups put off one after the other
}

// Do answers a batch of due rows and returns how many it dealt with. A row that
// could not be answered is due again later; the error is the database's.
func (w *Worker) Do(ctx context.Context) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range lookupBatch {
		// One at a time: a row that a crash or a stop leaves behind waits for the lease.
		rows, err := w.DB.ClaimLookups(ctx, 1, lookupLease, w.now())
		if err != nil || len(rows) == 0 {
			return n, err
		}
		if err := w.one(ctx, rows[0]); err != nil && !errors.Is(err, casedb.ErrStale) {
			return n, err
		}
	}
	return lookupBatch, nil
}

func (w *Worker) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}

func (w *Worker) logger() *slog.Logger {
	if w.Logger != nil {
		return w.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// one answers a claimed row.
func (w *Worker) one(ctx context.Context, row casedb.OwnerLookup) error {
	known, err := w.DB.NetworkFor(ctx, row.Address.Addr, w.now())
	switch {
	case err == nil:
		return w.DB.InTx(ctx, func(tx *casedb.Tx) error { return tx.FinishLookup(ctx, row, known.ID) })
	case !errors.Is(err, casedb.ErrNotFound):
		return err
	}
	answer, err := w.Lookup.Lookup(ctx, row.Address.Addr)
	cacheFor := cmp.Or(w.CacheFor, defaultCacheFor)
	if err != nil {
		if ctx.Err() != nil {
			// A stop is no failure; the row is due again at once.
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			return errors.Join(ctx.Err(), w.DB.DeferLookup(release, row, "stopped", w.now()))
		}
		failed := lookupError(err)
		if answer.Raw == nil || !hopeless(failed, row) {
			return w.settleFailure(ctx, row, failed)
		}
		// The range and its owner are known, if not whom to write to.
		w.logger().Warn("stored an owner without a national registry's answer", "source", row.Address, "err", err)
		cacheFor = min(cacheFor, defaultHopeless)
	}
	w.deferred = 0
	choice := ChooseContact(answer, row.Address.Addr, w.Config)
	if !choice.Network.First.IsValid() {
		w.logger().Warn("registry answered about other addresses", "source", row.Address, "err", choice.Contact.Why.String())
		return w.DB.FailLookup(ctx, row, choice.Contact.Why.String(), w.now().Add(defaultHopeless))
	}
	return w.store(ctx, row, answer, choice, cacheFor)
}

// lookupError is why a lookup failed; an error of another type may pass.
func lookupError(err error) *LookupError {
	var e *LookupError
	if !errors.As(err, &e) {
		e = &LookupError{Kind: LookupTemporary, Asked: true, Err: err}
	}
	return e
}

// hopeless reports whether to stop asking about a row for now.
func hopeless(e *LookupError, row casedb.OwnerLookup) bool {
	return !e.Retryable() || e.Asked && row.Attempts >= lookupTries
}

// settleFailure records why there is no answer and when to ask again.
func (w *Worker) settleFailure(ctx context.Context, row casedb.OwnerLookup, e *LookupError) error {
	now := w.now()
	pause := max(e.RetryAfter, work.Backoff(row.Attempts-1, firstLookupPause, longestLookupPause))
	if e.Kind == LookupThrottled && !e.Asked {
		// Nobody was asked. The more rows wait for a server, the further apart they come back.
		w.deferred++
		spread := min(time.Duration(w.deferred)*e.RetryAfter, longestSpread)
		return w.DB.DeferLookup(ctx, row, e.Error(), now.Add(e.RetryAfter+work.Backoff(0, spread, spread)))
	}
	w.deferred = 0
	switch {
	case e.Kind == LookupNotFound:
		return w.DB.FailLookup(ctx, row, e.Error(), now.Add(defaultUnknown))
	case hopeless(e, row):
		w.logger().Warn("gave up looking up an owner", "source", row.Address, "attempt", row.Attempts, "err", e)
		return w.DB.FailLookup(ctx, row, e.Error(), now.Add(max(pause, defaultHopeless)))
	}
	w.logger().Info("looking up an owner failed for now", "source", row.Address, "attempt", row.Attempts, "err", e)
	return w.DB.RetryLookup(ctx, row, e.Error(), now.Add(pause))
}

// store writes owner, network and contacts and settles the row and all others
// that wait inside the range, all or nothing.
func (w *Worker) store(ctx context.Context, row casedb.OwnerLookup, answer RegistryAnswer, choice Choice, cacheFor time.Duration) error {
	now := w.now()
	n := choice.Network
	network := casedb.Network{First: casedb.Addr{Addr: n.First}, Last: casedb.Addr{Addr: n.Last}, Handle: n.Handle, Name: n.Name,
		Country: n.Country, Registry: n.Registry, OwnerName: choice.OwnerName, Raw: answer.Raw, FetchedAt: now, ExpiresAt: now.Add(cacheFor)}
	if answer.Whois != nil {
		network.Whois = answer.Whois.Raw
	}
	if as, ok := w.networkAS(choice); ok {
		network.ASN, network.ASName = &as.Number, as.Name
	}
	network.Choice.V = choice.record()
	return w.DB.InTx(ctx, func(tx *casedb.Tx) error {
		if err := tx.HoldLookup(ctx, row); err != nil {
			return err
		}
		owner, err := tx.PutOwner(ctx, casedb.Owner{Key: casedb.CleanLine(choice.OwnerKey, maxOwnerKeyBytes), Name: choice.OwnerName,
			Country: n.Country, Language: choice.Language, CreatedAt: now})
		if err != nil {
			return err
		}
		network.OwnerID = owner.ID
		stored, superseded, err := tx.AddNetwork(ctx, network, n.Prefixes, now)
		if err != nil {
			return err
		}
		return tx.PutContacts(ctx, stored, contactRows(choice), superseded, now)
	})
}

// networkAS is the AS that announces the whole network, else the one that the
// registry's answer names.
func (w *Worker) networkAS(choice Choice) (AS, bool) {
	if as, ok := w.AS.Network(choice.Network.First, choice.Network.Last); ok {
		return as, true
	}
	return choice.Network.AS, choice.Network.AS.Number != 0
}

// record is the choice as it is kept with the network.
func (c *Choice) record() casedb.NetworkChoice {
	k := c.Contact
	r := casedb.NetworkChoice{Email: k.Email, Provenance: k.Provenance, Gate: k.Gate, Valid: k.Valid, Why: k.Why}
	for _, x := range c.Rejected {
		r.Rejected = append(r.Rejected, casedb.Rejected{Email: x.Email, Why: x.Why})
	}
	return r
}

// contactRows are the choice and its alternatives as rows; empty if no contact
// exists.
func contactRows(choice Choice) []casedb.Contact {
	var rows []casedb.Contact
	for _, c := range append([]ChosenContact{choice.Contact}, choice.Alternatives...) {
		if c.Email == "" || len(rows) == maxContactsKept {
			continue
		}
		rows = append(rows, casedb.Contact{Email: c.Email, Name: c.Name, Role: c.Role, Provenance: c.Provenance, Gate: c.Gate,
			Valid: c.Valid, Why: c.Why, Language: choice.Language, Rank: len(rows)})
	}
	return rows
}
