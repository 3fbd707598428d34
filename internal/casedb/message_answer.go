package casedb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrStranger says that the case has not told the person at an address.
var ErrStranger = errors.New("nobody whom the case has told")

// Answer is a coordinator's mail in the thread of a case.
type Answer struct {
	InboundID *int64 // the mail it answers, whose sender gets it; nil: the case's contact does
	Text      string
	Evidence  bool // with the evidence of the case as it is when the mail goes out
	Files     []MessageFile
}

// MessageFile is a file that a coordinator's answer carries.
type MessageFile struct {
	MessageID int64  `db:"message_id"`
	N         int    `db:"n"`
	Name      string `db:"name"`
	Type      string `db:"type"`
	Content   []byte `db:"content"`
	SizeBytes int    `db:"size_bytes"`
}

// AnswerCase writes an answer, due immediately. domain is our mail domain.
// ErrStranger if it would tell the evidence to a person whom the case has not told
// and who does not have our mail.
func (t *Tx) AnswerCase(ctx context.Context, caseID int64, version int, a Answer, domain, by string, now time.Time) (Message, error) {
	c, err := t.LockCaseVersion(ctx, caseID, version)
	if err != nil {
		return Message{}, err
	}
	if strings.TrimSpace(a.Text) == "" {
		return Message{}, fmt.Errorf("answer without text: %w", ErrState)
	}
	m := Message{CaseID: &c.ID, ContactID: c.ContactID, Purpose: PurposeAnswer, State: MessageQueued, Reason: "answer",
		Language: c.Language, Body: Clean(strings.ReplaceAll(a.Text, "\r\n", "\n"), 200_000), NextAttemptAt: &now, Evidence: a.Evidence,
		ApprovedBy: by, ApprovedAt: &now, CreatedAt: now}
	m.HeaderID, m.Token = NewIdentity(domain)
	switch {
	case a.InboundID != nil:
		in, err := t.Inbound(ctx, *a.InboundID)
		if err != nil {
			return m, err
		}
		if in.CaseID == nil || *in.CaseID != caseID || !in.Personal() || in.Sender == "" {
			return m, fmt.Errorf("answer inbound mail %d in case %s: %w", in.ID, c.Number, ErrState)
		}
		m.Recipient, m.InReplyTo, m.Subject = in.Sender, in.HeaderID, in.Subject
		if a.Evidence && in.MatchedBy != MatchedByToken && in.MatchedBy != MatchedByHand {
			if err := t.checkTold(ctx, &c, in.Sender); err != nil {
				return m, err
			}
		}
	case c.ContactID != nil:
		if err := t.q.GetContext(ctx, &m.Recipient, `select email from contact where id = $1`, *c.ContactID); err != nil {
			return m, fail("find the case's contact", err)
		}
	default:
		return m, fmt.Errorf("answer case %s, which has no contact: %w", c.Number, ErrState)
	}
	if m.Recipient == "" {
		return m, fmt.Errorf("answer case %s without an address: %w", c.Number, ErrState)
	}
	if m, err = t.InsertMessage(ctx, m, by); err != nil {
		return m, err
	}
	for n, f := range a.Files {
		if _, err := t.q.ExecContext(ctx, `insert into message_file (message_id, n, name, type, content) values ($1, $2, $3, $4, coalesce($5, ''::bytea))`,
			m.ID, n, CleanLine(f.Name, 200), CleanLine(f.Type, 100), f.Content); err != nil {
			return m, fail("keep file of answer", err)
		}
	}
	waiting := c.Waiting
	if waiting == WaitingReply {
		if waiting, err = t.leftToDo(ctx, &c, WaitingReply); err != nil {
			return m, err
		}
	}
	return m, t.setCase(ctx, &c, c.State, waiting, now)
}

// checkTold returns ErrStranger for an address that is not the case's contact's
// and that no notification of the case went to.
func (t *Tx) checkTold(ctx context.Context, c *Case, address string) error {
	var known bool
	err := t.q.GetContext(ctx, &known, `select exists (select 1 from contact where id = $2 and lower(email) = $3)
		or exists (select 1 from message where case_id = $1 and purpose = 'notification' and sent_at is not null and lower(recipient) = $3)`,
		c.ID, c.ContactID, BaseAddress(address))
	if err != nil {
		return fail("look whom the case has told", err)
	}
	if !known {
		return fmt.Errorf("evidence of case %s to %q: %w", c.Number, address, ErrStranger)
	}
	return nil
}

// MessageFiles returns the files of a message, in order.
func (q *Queries) MessageFiles(ctx context.Context, messageID int64) ([]MessageFile, error) {
	var f []MessageFile
	err := q.q.SelectContext(ctx, &f, `select message_id, n, name, type, content, length(content) as size_bytes
		from message_file where message_id = $1 order by n`, messageID)
	return f, fail("get files of message", err)
}

// CaseFiles returns at most limit files of a case's messages, the newest
// message's first, without their contents.
func (q *Queries) CaseFiles(ctx context.Context, caseID int64, limit int) ([]MessageFile, error) {
	var f []MessageFile
	err := q.q.SelectContext(ctx, &f, `select f.message_id, f.n, f.name, f.type, length(f.content) as size_bytes
		from message_file f join message m on m.id = f.message_id where m.case_id = $1 order by f.message_id desc, f.n limit $2`, caseID, limit)
	return f, fail("list files of case", err)
}
