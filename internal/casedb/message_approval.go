package casedb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"teiten/internal/reason"
)

// lockMessage locks a message's case and then the message, in the order that
// everybody keeps to; Case is nil for a message about a registration. With a
// version above 0 it is for a change that a person decided on while looking
// at that version: ErrStale if the message has moved on since.
func (t *Tx) lockMessage(ctx context.Context, id int64, version int) (Message, *Case, error) {
	var m Message
	var caseID *int64
	if err := t.q.GetContext(ctx, &caseID, `select case_id from message where id = $1`, id); err != nil {
		return m, nil, fail("find message", err)
	}
	var c *Case
	if caseID != nil {
		locked, err := t.LockCase(ctx, *caseID)
		if err != nil {
			return m, nil, err
		}
		c = &locked
	}
	err := t.q.GetContext(ctx, &m, `select `+messageColumns+` from message where id = $1 for update`, id)
	if err != nil {
		return m, c, fail("lock message", err)
	}
	switch {
	case version > 0 && m.Version != version:
		return m, c, fmt.Errorf("message %d: %w", id, ErrStale)
	case version > 0 && m.Purpose == PurposeDigest: // people decide about its letters
		return m, c, wrongState(m, "change digest")
	}
	return m, c, nil
}

// wrongState is the error of a change that a message's state does not allow.
func wrongState(m Message, op string) error {
	return fmt.Errorf("%s message %d, which is %s: %w", op, m.ID, m.State, ErrState)
}

// settled returns ErrState while an attempt for the message is under way.
func (t *Tx) settled(ctx context.Context, m Message, op string, now time.Time) error {
	var under bool
	err := t.q.GetContext(ctx, &under, `select `+underWay+`$2) from message m where m.id = $1`, m.ID, now.Add(-AttemptLease))
	if err != nil {
		return fail("look for an attempt under way", err)
	}
	if under {
		return fmt.Errorf("%s message %d, which is being sent: %w", op, m.ID, ErrState)
	}
	return nil
}

// ApproveMessage releases a held message: it is due immediately, and the reasons
// of its hold are overruled from now on. A contact that a
// coordinator has to approve once is approved with it. The case becomes open
// and does not wait. ErrStale if the message has another version now,
// ErrState if it is not held.
func (t *Tx) ApproveMessage(ctx context.Context, id int64, version int, by string, now time.Time) error {
	m, c, err := t.lockMessage(ctx, id, version)
	if err != nil {
		return err
	}
	if m.State != MessageHeld {
		return wrongState(m, "approve")
	}
	if c != nil && !c.State.Live() && m.Reason != ReasonCorrection {
		return fmt.Errorf("approve message %d of case %s, which is %s: %w", id, c.Number, c.State, ErrState)
	}
	if err := t.moveMessages(ctx, "approve message", messageMove{To: MessageQueued, By: by}, now, id); err != nil {
		return err
	}
	if err := t.approveContact(ctx, m.ContactID, by, now); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	ch := CaseChange{Event: CaseEvent{Kind: EventApproved, Actor: by, MessageID: &id,
		Data: JSON[EventData]{EventData{Contact: m.Recipient}}}}
	if c.State == CaseNew {
		ch.State = CaseOpen
	}
	if err := t.decided(ctx, c, &ch); err != nil {
		return err
	}
	return t.ChangeCase(ctx, c, ch, now)
}

// approveContact opens the gate of a contact (nil: of none) whose first mail
// needs an approval: it has one now.
func (t *Tx) approveContact(ctx context.Context, id *int64, by string, now time.Time) error {
	_, err := t.q.ExecContext(ctx, `update contact set approved_at = $2, approved_by = $3
		where id = $1 and gate = 'approve' and approved_at is null`, id, now, by)
	return fail("approve contact", err)
}

// HoldMessage takes a queued message back for approval. ErrState if it is not
// queued or is being sent at this moment.
func (t *Tx) HoldMessage(ctx context.Context, id int64, version int, by string, why reason.List, now time.Time) error {
	m, c, err := t.lockMessage(ctx, id, version)
	if err != nil {
		return err
	}
	if m.State != MessageQueued {
		return wrongState(m, "hold")
	}
	if err := t.settled(ctx, m, "hold", now); err != nil {
		return err
	}
	return t.holdLocked(ctx, m, c, by, why, now)
}

// holdLocked holds a locked message.
func (t *Tx) holdLocked(ctx context.Context, m Message, c *Case, by string, why reason.List, now time.Time) error {
	why = cleaned(why)
	if err := t.moveMessages(ctx, "hold message", messageMove{To: MessageHeld, Why: why}, now, m.ID); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	ch := CaseChange{Event: CaseEvent{Kind: EventHeld, Actor: by, MessageID: &m.ID, Why: why,
		Data: JSON[EventData]{EventData{Contact: m.Recipient}}}}
	if c.State.Live() {
		ch.Waiting = WaitFor(WaitingApproval)
	}
	return t.ChangeCase(ctx, c, ch, now)
}

// EditMessage replaces subject and body of a held or queued message that was
// never attempted; from then on they are the coordinator's and not composed
// again.
func (t *Tx) EditMessage(ctx context.Context, id int64, version int, subject, body, by string, now time.Time) error {
	m, c, err := t.lockMessage(ctx, id, version)
	if err != nil {
		return err
	}
	// After an attempt the receiver may have the first text already, and a
	// retry must be the same mail.
	if (m.State != MessageHeld && m.State != MessageQueued) || m.Attempts > 0 {
		return wrongState(m, "edit")
	}
	body = strings.ReplaceAll(body, "\r\n", "\n")
	if _, err := t.q.ExecContext(ctx, `update message set subject = $2, body = $3, edited = true, raw = null,
		version = version + 1 where id = $1`, id, CleanLine(subject, 500), Clean(body, 200_000)); err != nil {
		return fail("edit message", err)
	}
	if c == nil {
		return nil
	}
	if m.Purpose == PurposeNotification && !m.choosesSources() {
		if err := t.coverSources(ctx, id, c.ID, now); err != nil {
			return err
		}
	}
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: EventEdited, Actor: by, MessageID: &id}}, now)
}

// CancelMessage cancels a held or queued message. The case waits for its
// approval no longer. ErrState if it is neither or is being sent.
func (t *Tx) CancelMessage(ctx context.Context, id int64, version int, by string, why reason.List, now time.Time) error {
	m, c, err := t.lockMessage(ctx, id, version)
	if err != nil {
		return err
	}
	if m.State != MessageHeld && m.State != MessageQueued {
		return wrongState(m, "cancel")
	}
	if err := t.settled(ctx, m, "cancel", now); err != nil {
		return err
	}
	return t.cancelLocked(ctx, m, c, by, why, now)
}

func (t *Tx) cancelLocked(ctx context.Context, m Message, c *Case, by string, why reason.List, now time.Time) error {
	why = cleaned(why)
	if err := t.moveMessages(ctx, "cancel message", messageMove{To: MessageCanceled, Why: why}, now, m.ID); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	if err := t.coverAll(ctx, c.ID, m.ID); err != nil {
		return err
	}
	ch := CaseChange{Event: CaseEvent{Kind: EventCanceled, Actor: by, MessageID: &m.ID, Why: why}}
	if err := t.decided(ctx, c, &ch); err != nil {
		return err
	}
	return t.ChangeCase(ctx, c, ch, now)
}

// SendAgain writes a new notification for a live case to its contact: held, or
// due at once when the coordinator releases it in the same breath. domain is
// our mail domain. ErrState if the case has ended or has no contact,
// ErrConflict if a notification is under way already.
func (t *Tx) SendAgain(ctx context.Context, caseID int64, version int, domain string, release bool, by string, now time.Time) (Message, error) {
	c, err := t.LockCaseVersion(ctx, caseID, version)
	if err != nil {
		return Message{}, err
	}
	return t.notify(ctx, &c, ReasonAgain, domain, release, by, now)
}

// notify writes a notification for a locked case.
func (t *Tx) notify(ctx context.Context, c *Case, purpose, domain string, release bool, by string, now time.Time) (Message, error) {
	if !c.State.Live() || c.ContactID == nil {
		return Message{}, fmt.Errorf("notify for case %s: %w", c.Number, ErrState)
	}
	var email string
	err := fail("find the case's contact", t.q.GetContext(ctx, &email, `select c.email from contact c where c.id = $1 and c.retired_at is null
		and `+inForceOrRegistry, *c.ContactID, now))
	if isNotFound(err) { // the coordinator looks at a page that shows it, and has to choose another
		return Message{}, fmt.Errorf("notify for case %s, whose contact is gone: %w", c.Number, ErrState)
	}
	if err != nil {
		return Message{}, err
	}
	heldFor := reason.ByHand
	if purpose == ReasonContactChanged {
		heldFor = reason.ContactChanged
	}
	m := Message{CaseID: &c.ID, ContactID: c.ContactID, Purpose: PurposeNotification, State: MessageHeld, Reason: purpose,
		HoldWhy: reason.Of(heldFor), Recipient: email, Language: c.Language, CreatedAt: now}
	m.HeaderID, m.Token = NewIdentity(domain)
	waiting := WaitingApproval
	if release {
		m.State, m.HoldWhy, m.NextAttemptAt = MessageQueued, nil, &now
		m.ApprovedBy, m.ApprovedAt = by, &now
		waiting = WaitingNone
	}
	if m, err = t.InsertMessage(ctx, m, by); err != nil {
		return m, err
	}
	if release {
		if err := t.approveContact(ctx, c.ContactID, by, now); err != nil {
			return m, err
		}
	}
	// InsertMessage told of it; here only the case's own columns move.
	state := c.State
	if release && state == CaseNew {
		state = CaseOpen
	}
	return m, t.setCase(ctx, c, state, waiting, now)
}

// ContactChange is the contact to which a case writes from now on: an existing
// contact of its owner, or a better address that a coordinator knows.
type ContactChange struct {
	ContactID int64  // of the case's owner; 0: by Email
	Email     string // made a contact with provenance override if the owner has no such contact
	Name      string
	Language  string // ja or en; empty: the case's
	Why       string // what the coordinator typed; kept with the contact and the event
}

// ChangeContact gives a live case another contact. Its notification under way
// is redirected if it was never attempted; if there is none, a new held one is
// written. domain is our mail domain.
func (t *Tx) ChangeContact(ctx context.Context, caseID int64, version int, ch ContactChange, domain, by string, now time.Time) (Contact, error) {
	c, err := t.LockCaseVersion(ctx, caseID, version)
	if err != nil {
		return Contact{}, err
	}
	if !c.State.Live() {
		return Contact{}, fmt.Errorf("change the contact of case %s, which is %s: %w", c.Number, c.State, ErrState)
	}
	contact, err := t.findOrMakeContact(ctx, &c, ch, by, now)
	if err != nil {
		return contact, err
	}
	if err := t.SetCaseContact(ctx, &c, contact, by, reason.Typed(ch.Why), now); err != nil {
		return contact, err
	}
	var open *Message
	var m Message
	err = t.q.GetContext(ctx, &m, `select `+messageColumns+` from message
		where case_id = $1 and purpose = 'notification' and state in ('held','queued') for update`, caseID)
	if err = fail("find the notification under way", err); err == nil {
		open = &m
	} else if !isNotFound(err) {
		return contact, err
	}
	if open != nil && open.Attempts > 0 {
		// The first mail may have arrived. It ends here, and a new one starts.
		if err := t.settled(ctx, *open, "redirect", now); err != nil {
			return contact, err
		}
		if err := t.cancelLocked(ctx, *open, &c, by, reason.Of(reason.ContactChanged), now); err != nil {
			return contact, err
		}
		open = nil
	}
	if open == nil {
		_, err = t.notify(ctx, &c, ReasonContactChanged, domain, false, by, now)
		return contact, err
	}
	if _, err := t.q.ExecContext(ctx, `update message set contact_id = $2, recipient = $3, language = $4, raw = null, overruled = '{}',
		version = version + 1 where id = $1`, open.ID, contact.ID, contact.Email, contact.Language); err != nil {
		return contact, fail("redirect message", err)
	}
	if err := t.forgetReplaced(ctx, *open); err != nil {
		return contact, err
	}
	if open.State == MessageQueued {
		open.Recipient = contact.Email
		return contact, t.holdLocked(ctx, *open, &c, by, reason.Of(reason.ContactChanged), now)
	}
	return contact, t.setCase(ctx, &c, c.State, WaitingApproval, now)
}

// forgetReplaced takes it from why a redirected message is held that its last
// contact was replaced: an approval would overrule the same of the next one.
func (t *Tx) forgetReplaced(ctx context.Context, m Message) error {
	if !m.HoldWhy.Has(reason.ContactReplaced) {
		return nil
	}
	why := slices.DeleteFunc(slices.Clone(m.HoldWhy), func(r reason.Reason) bool { return r.Code == reason.ContactReplaced })
	if len(why) == 0 {
		why = reason.Of(reason.ContactChanged)
	}
	_, err := t.q.ExecContext(ctx, `update message set hold_why = $2 where id = $1`, m.ID, why)
	return fail("redirect message", err)
}

func (t *Tx) findOrMakeContact(ctx context.Context, c *Case, ch ContactChange, by string, now time.Time) (Contact, error) {
	var contact Contact
	if ch.ContactID != 0 {
		err := t.q.GetContext(ctx, &contact, `select `+contactColumns+` from contact
			where id = $1 and owner_id = $2 and retired_at is null`, ch.ContactID, c.OwnerID)
		return contact, fail("find contact", err)
	}
	email, err := mailAddress(ch.Email)
	if err != nil {
		return contact, fmt.Errorf("contact address: %w: %w", err, ErrState)
	}
	language := ch.Language
	if language == "" {
		language = c.Language
	}
	err = t.q.GetContext(ctx, &contact, `select `+contactColumns+` from contact
		where owner_id = $1 and lower(email) = lower($2) and retired_at is null limit 1`, c.OwnerID, email)
	if err = fail("find contact", err); !isNotFound(err) {
		return contact, err
	}
	err = t.q.GetContext(ctx, &contact, `insert into contact (owner_id, email, name, role, provenance, gate, why, language,
		rank, approved_at, approved_by, created_at) values ($1, $2, $3, '', 'override', 'approve', $4, $5, 0, $6, $7, $6)
		returning `+contactColumns, c.OwnerID, email, CleanLine(ch.Name, 200), cleaned(reason.Typed(ch.Why)), language, now, by)
	return contact, fail("add contact", err)
}
