package casework

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

const (
	defaultMaxAge = 14 * 24 * time.Hour
	// ignoredFor is how long an ignored case keeps its sources from opening
	// another one.
	ignoredFor = 30 * 24 * time.Hour
	// repeatAfter is the time between two notifications of one case that go
	// out on their own; what joins in between goes with the second.
	repeatAfter = 24 * time.Hour

	ownerBatch     = 100
	missingBatch   = 5000 // addresses whose owner is asked for in one statement
	candidateBatch = 500
)

// Opener opens and continues cases for sources of the constituency.
type Opener struct {
	DB         *casedb.DB
	MailDomain string         // of our Message-IDs
	Countries  []string       // constituency: ISO 3166 in capitals
	Prefixes   []netip.Prefix // constituency, beside the countries
	// Kinds are the kinds of sources that open cases; none: infected. Letters of
	// the others wait for an approval unless a lead sets their rule's mode.
	Kinds []casedb.Kind
	// MaxAge is how long ago a source may have been seen last. Zero means 14 days.
	MaxAge time.Duration
	// ReopenWithin is how long after a case ended because its sources were quiet
	// it is reopened when one of them comes back. Zero: a new case is opened.
	ReopenWithin time.Duration
	// FirstContactByGate lets the first mail to a contact go out on its own
	// where the contact's gate does; else a coordinator approves it.
	FirstContactByGate bool
	// Recovered: every owner is told once when all sources of a case are quiet;
	// otherwise only where the owner or a coordinator asked for it.
	Recovered bool
	// Escalation says when others are written to.
	Escalation Escalation
	// Reminders say when owners hear again of what is still active.
	Reminders Reminders
	Logger    *slog.Logger     // nil: silence
	Now       func() time.Time // nil: time.Now
}

// Do asks for the owners it misses and brings the sources of a batch of owners
// into cases, each owner's in one transaction with the message. It returns how
// many sources it brought.
func (o *Opener) Do(ctx context.Context) (int, error) {
	now := o.now()
	total := 0
	var failures []error
	for _, kind := range o.kinds() {
		n, err := o.open(ctx, o.filter(kind, now), now)
		total += n
		if err != nil {
			if ctx.Err() != nil || casedb.IsUnavailable(err) {
				return total, err
			}
			failures = append(failures, err) // other kinds go on
		}
	}
	return total, errors.Join(failures...)
}

func (o *Opener) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func (o *Opener) kinds() []casedb.Kind {
	if len(o.Kinds) == 0 {
		return []casedb.Kind{casedb.KindInfected}
	}
	return o.Kinds
}

// open is Do for one kind.
func (o *Opener) open(ctx context.Context, f casedb.CandidateFilter, now time.Time) (int, error) {
	missing, err := o.DB.SourcesWithoutNetwork(ctx, f, missingBatch, now)
	if err != nil {
		return 0, err
	}
	if len(missing) > 0 {
		if err := o.DB.RequestLookups(ctx, missing, now); err != nil {
			return 0, err
		}
	}
	owners, err := o.DB.CandidateOwners(ctx, f, ownerBatch, now)
	if err != nil {
		return 0, err
	}
	total := 0
	var failures []error
	for _, id := range owners {
		n, err := o.owner(ctx, f, id, now)
		total += n
		if err != nil {
			if ctx.Err() != nil || casedb.IsUnavailable(err) {
				return total, err
			}
			failures = append(failures, fmt.Errorf("cases of owner %d: %w", id, err)) // the others go on
		}
	}
	return total, errors.Join(failures...)
}

func (o *Opener) filter(kind casedb.Kind, now time.Time) casedb.CandidateFilter {
	maxAge := o.MaxAge
	if maxAge <= 0 {
		maxAge = defaultMaxAge
	}
	return casedb.CandidateFilter{Kind: kind, Since: now.Add(-maxAge), Countries: o.Countries,
		Prefixes: o.Prefixes, IgnoredSince: now.Add(-ignoredFor)}
}

// owner brings the candidates of one owner into its case. Everything it writes
// is in one transaction.
func (o *Opener) owner(ctx context.Context, f casedb.CandidateFilter, ownerID int64, now time.Time) (joined int, err error) {
	var number string
	var opened bool
	err = o.DB.InTx(ctx, func(tx *casedb.Tx) error {
		joined = 0
		found, err := tx.LockCandidates(ctx, f, ownerID, candidateBatch, now)
		if err != nil || len(found) == 0 {
			return err
		}
		owner, err := tx.Owner(ctx, ownerID)
		if err != nil {
			return err
		}
		contacts, err := tx.UsableContacts(ctx, ownerID, now)
		if err != nil {
			return err
		}
		g := groupCandidates(found)
		n := casedb.NewCase{OwnerID: ownerID, Kind: f.Kind, Malware: g.malware, Language: owner.Language,
			Sources: g.sources, Waiting: casedb.WaitingContact, Actor: "rule " + g.rule}
		if len(contacts) > 0 {
			n.ContactID, n.Language, n.Waiting = &contacts[0].ID, contacts[0].Language, casedb.WaitingNone
		}
		var c casedb.Case
		if o.ReopenWithin > 0 {
			if _, err := tx.ReopenQuietCase(ctx, ownerID, f.Kind, g.sources, now.Add(-o.ReopenWithin), n.Actor, now); err != nil {
				return err
			}
		}
		c, opened, joined, err = tx.OpenOrJoinCase(ctx, n, now)
		if err != nil || !opened && joined == 0 && !g.untold {
			return err
		}
		number = c.Number
		state, err := tx.NotificationState(ctx, c.ID)
		if err != nil {
			return err
		}
		if g.rejudged && state.UnderWay {
			return tx.HoldQueued(ctx, c.ID, n.Actor, reason.Of(reason.JudgedAgain), now)
		}
		contact, ok, err := contactOf(ctx, tx, c, contacts)
		if err != nil {
			return err
		}
		hold, err := o.holds(ctx, tx, ownerID, contact, g)
		if err != nil {
			return err
		}
		plan := planMessage(c, opened, state, contact, ok, hold, now)
		return o.write(ctx, tx, &c, plan, contact, n.Actor, now)
	})
	if err != nil {
		return 0, err // nothing of it happened
	}
	if joined > 0 && o.Logger != nil {
		o.Logger.Info("brought sources into a case", "case", number, "owner", ownerID, "new", opened, "sources", joined)
	}
	return joined, nil
}

// grouped are candidates as a case takes them.
type grouped struct {
	sources  []casedb.CaseSource
	rules    []string
	rule     string // the one that most of them were judged by
	malware  string
	untold   bool // some are in the case already, and in none of its letters
	rejudged bool // a verdict comes from judging again, not from new packets
}

func groupCandidates(found []casedb.CaseCandidate) grouped {
	var g grouped
	rules, malware := make(map[string]int), make(map[string]int)
	for _, c := range found {
		g.sources = append(g.sources, casedb.CaseSource{Source: c.Source, VerdictID: c.VerdictID})
		g.untold = g.untold || c.Untold
		rules[c.Rule]++
		malware[c.Malware]++
		g.rejudged = g.rejudged || c.Rejudged
	}
	g.rules = slices.Sorted(maps.Keys(rules))
	g.rule, g.malware = most(rules), most(malware)
	return g
}

// most returns the key counted most; of several, the first in the alphabet.
func most(counts map[string]int) string {
	best := ""
	for k, n := range counts {
		if m := counts[best]; n > m || n == m && cmp.Less(k, best) {
			best = k
		}
	}
	return best
}

// contactOf is the contact that the case writes to: its own as long as that
// can be used, else the owner's first. One that we came to know after the case
// had its own comes before that, too, if it is the directory's, or the own one
// the last resort.
func contactOf(ctx context.Context, tx *casedb.Tx, c casedb.Case, usable []casedb.Contact) (casedb.Contact, bool, error) {
	if len(usable) == 0 {
		return casedb.Contact{}, false, nil
	}
	first := usable[0]
	i := slices.IndexFunc(usable, func(u casedb.Contact) bool { return c.ContactID != nil && u.ID == *c.ContactID })
	if i < 1 {
		return first, true, nil
	}
	own := usable[i]
	if own.ForCountry() || first.DirectoryID != nil && !first.ForCountry() {
		since, err := tx.ContactSince(ctx, c.ID)
		if err != nil || first.CreatedAt.After(since) {
			return first, true, err
		}
	}
	return own, true, nil
}

// holds returns why a message about candidates must not go to the contact on
// its own, as far as these and what went there before are concerned, or nothing.
func (o *Opener) holds(ctx context.Context, tx *casedb.Tx, ownerID int64, contact casedb.Contact, g grouped) (reason.List, error) {
	if g.rejudged {
		return reason.Of(reason.JudgedAgain), nil
	}
	leave, err := tx.RuleLeave(ctx, ownerID, contact.Email)
	if err != nil {
		return nil, err
	}
	if why := leave.Holds(g.rules...); len(why) > 0 || o.FirstContactByGate {
		return why, nil
	}
	known, err := tx.KnownContact(ctx, contact)
	if err != nil || known {
		return nil, err
	}
	return reason.Of(reason.ContactFirst), nil
}

// messagePlan is what the opener does about a case's notification.
type messagePlan struct {
	waitContact bool                // there is no address to write to
	state       casedb.MessageState // of the new message; empty: no message
	reason      string
	hold        reason.List
	at          time.Time // a queued message goes out then
	activeSince time.Time // of a reminder: since when the sources it names were seen
}

// planMessage decides, as a pure function, whether new sources in a case need a
// message and whether that may go out on its own. hold is why it must not,
// whatever the contact and the case are like.
func planMessage(c casedb.Case, opened bool, s casedb.NotificationState, contact casedb.Contact, usable bool, hold reason.List, now time.Time) messagePlan {
	switch {
	case s.UnderWay:
		// It is composed when it is sent and covers them; if its words are
		// settled already, they are candidates again when it has ended.
		return messagePlan{}
	case !usable:
		return messagePlan{waitContact: c.Waiting == casedb.WaitingNone}
	case !opened && c.Waiting != casedb.WaitingNone && c.Waiting != casedb.WaitingContact && s.LastSent == nil:
		return messagePlan{} // a coordinator decides what becomes of the case
	}
	p := messagePlan{state: casedb.MessageHeld, reason: casedb.ReasonFirst}
	if s.LastSent != nil {
		p.reason = casedb.ReasonNewSources
	}
	ofContact := contactHolds(contact)
	switch {
	case len(ofContact) > 0:
		p.hold = ofContact
	case len(hold) > 0:
		p.hold = hold
	case !opened && (c.Waiting != casedb.WaitingNone || c.State == casedb.CaseAnswered):
		p.hold = reason.Of(reason.CaseWaits)
	default:
		p.state, p.at = casedb.MessageQueued, now
		if s.LastSent != nil && s.LastSent.Add(repeatAfter).After(now) {
			p.at = s.LastSent.Add(repeatAfter)
		}
	}
	return p
}

// contactHolds says why a letter to a contact needs a person's approval, whatever
// it is about; nil: it does not.
func contactHolds(contact casedb.Contact) reason.List {
	switch {
	case contact.Valid != nil && !*contact.Valid:
		return reason.Of(reason.ContactInvalid)
	case contact.Gate == casedb.GateHuman:
		return reason.Of(reason.ContactByHand)
	case !contact.MayAutomatic():
		return reason.Of(reason.ContactApproval)
	}
	return nil
}

// write carries the plan out.
func (o *Opener) write(ctx context.Context, tx *casedb.Tx, c *casedb.Case, p messagePlan, contact casedb.Contact, actor string, now time.Time) error {
	if p.waitContact {
		return tx.ChangeCase(ctx, c, casedb.CaseChange{Waiting: casedb.WaitFor(casedb.WaitingContact),
			Event: casedb.CaseEvent{Kind: casedb.EventContact, Actor: actor}}, now)
	}
	if p.state == "" {
		return nil
	}
	if c.ContactID == nil || *c.ContactID != contact.ID {
		if err := tx.SetCaseContact(ctx, c, contact, actor, contact.Why, now); err != nil {
			return err
		}
	}
	m := casedb.Message{CaseID: &c.ID, ContactID: &contact.ID, Purpose: casedb.PurposeNotification, State: p.state,
		Reason: p.reason, HoldWhy: p.hold, Recipient: contact.Email, Language: contact.Language, CreatedAt: now}
	m.HeaderID, m.Token = casedb.NewIdentity(o.MailDomain)
	if p.state == casedb.MessageQueued {
		m.NextAttemptAt = &p.at
	}
	var err error
	if p.reason == casedb.ReasonStillActive {
		_, err = tx.InsertReminder(ctx, m, p.activeSince, actor)
	} else {
		_, err = tx.InsertMessage(ctx, m, actor)
	}
	if err != nil {
		return err
	}
	state, waiting := c.State, c.Waiting
	switch {
	case p.state == casedb.MessageQueued && c.State == casedb.CaseNew:
		state = casedb.CaseOpen
	case p.state == casedb.MessageHeld && (c.Waiting == casedb.WaitingNone || c.Waiting == casedb.WaitingContact):
		waiting = casedb.WaitingApproval
	}
	return tx.MoveCase(ctx, c, state, waiting, now)
}
