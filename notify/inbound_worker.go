package notify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

// maxReads is how often a mail is tried that cannot be processed.
const maxReads = 5

// InboundWorker makes something of the mails that InboundServer stored. DB and
// Tokens must be set. Several workers share the work.
type InboundWorker struct {
	DB      *casedb.DB
	Tokens  *Tokens
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silence
	Metrics *Metrics         // nil: nobody counts
}

// Do reads mails that are due, lets each take effect once, and returns how
// many.
func (w *InboundWorker) Do(ctx context.Context) (int, error) {
	now := time.Now
	if w.Now != nil {
		now = w.Now
	}
	logger := w.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	claimed, err := w.DB.ClaimInbound(ctx, 10, now())
	if err != nil {
		return 0, err
	}
	for _, in := range claimed {
		if ctx.Err() != nil {
			return len(claimed), nil // the rest is due again by itself
		}
		err := w.process(ctx, &in, now())
		switch {
		case err == nil:
			w.Metrics.class(string(in.Class))
			logger.Info("inbound mail", "inbound", in.ID, "class", in.Class, "matched", in.MatchedBy, "trusted", in.Trusted)
		case errors.Is(err, casedb.ErrStale):
		case casedb.IsUnavailable(err) || ctx.Err() != nil:
			return 0, err
		default:
			last := in.Attempts >= maxReads
			if last {
				w.Metrics.class("failed")
			}
			logger.Error("inbound mail not processed", "inbound", in.ID, "attempt", in.Attempts, "err", err)
			if err := w.DB.FailInbound(ctx, in, err.Error(), last, now()); err != nil {
				return 0, err
			}
		}
	}
	return len(claimed), nil
}

// process classifies and matches one mail, and lets it take effect.
func (w *InboundWorker) process(ctx context.Context, in *casedb.Inbound, now time.Time) error {
	p := ParseMail(in.Raw)
	sender := in.EnvelopeFrom
	if sender == "" {
		sender = "null"
	}
	c := classify(p, sender)
	in.Class, in.Hard, in.Status, in.Recipient = c.class, c.hard, c.status, c.recipient
	in.RemoteTicket, in.TicketTag = c.ticket.number, c.ticket.tag
	in.Sender, in.Subject, in.Text, in.HeaderID = p.from, p.subject, c.text, p.messageID
	in.Attachments.V = p.Files()
	if c.class == casedb.InboundHuman && !strings.EqualFold(p.replyTo, p.from) {
		in.ReplyTo = p.replyTo // anybody's to write: a note, not where an answer goes
	}
	if err := w.match(ctx, in, p); err != nil {
		return err
	}
	var suppress reason.List
	if c.class == casedb.InboundBounce && c.dead && in.Trusted {
		suppress = reason.Of(reason.MailBounced, casedb.CleanLine(firstWords(c), 300), c.status)
	}
	return w.DB.InTx(ctx, func(tx *casedb.Tx) error { return tx.ProcessInbound(ctx, *in, suppress, casework.AfterBounce, now) })
}

// firstWords are what a bounce says, shortened for a sentence: what a server
// answered, else what a program wrote around it.
func firstWords(c classification) string {
	for _, says := range []func(string) bool{
		func(line string) bool { return codePattern.MatchString(line) || statusPattern.MatchString(line) },
		bounceText.MatchString,
	} {
		for line := range strings.SplitSeq(c.text, "\n") {
			if says(line) {
				return line
			}
		}
	}
	return "the address does not exist"
}

// match finds the message and case a mail is about: by the envelope's token,
// then by the thread, then by the tag. Only a bounce to the envelope sender
// with our HMAC is trusted.
func (w *InboundWorker) match(ctx context.Context, in *casedb.Inbound, p *Mail) error {
	if t, ok := ParseToken(in.EnvelopeTo); ok && w.Tokens.Ours(in.EnvelopeTo) && w.Tokens.Verify(t) {
		m, err := w.DB.Message(ctx, t.Message)
		switch {
		case err == nil:
			in.MatchedBy, in.Trusted = casedb.MatchedByToken, t.Kind == TokenBounce
			return w.about(ctx, in, m, p)
		case !errors.Is(err, casedb.ErrNotFound):
			return err
		}
	}
	ids := append(append([]string{}, p.inReplyTo...), p.references...)
	ids = append(ids, messageIDs(p.returned.Get("Message-Id"))...)
	if in.Class == casedb.InboundBounce || in.Class == casedb.InboundDelay {
		_, below := splitReturned(p.text)
		ids = append(ids, messageIDs(below)...)
	}
	if len(ids) > 0 {
		m, err := w.DB.MessageByHeaderIDs(ctx, ids[:min(len(ids), 50)])
		switch {
		case err == nil:
			in.MatchedBy = casedb.MatchedByHeader
			return w.about(ctx, in, m, p)
		case !errors.Is(err, casedb.ErrNotFound):
			return err
		}
	}
	numbers := []string{caseTag(p.subject), caseTag(decodeHeader(p.returned.Get("Subject")))}
	by := casedb.MatchedBySubject
	for _, id := range ids {
		if m := rootPattern.FindStringSubmatch(strings.ToLower(id)); m != nil && w.Tokens.Ours(id) {
			numbers = append(numbers, strings.ToUpper(m[1]))
		}
	}
	for _, number := range numbers {
		if number == "" {
			continue
		}
		c, err := w.DB.CaseByNumber(ctx, number)
		switch {
		case err == nil:
			in.CaseID, in.MatchedBy = &c.ID, by
			return nil
		case !errors.Is(err, casedb.ErrNotFound):
			return err
		}
	}
	return nil
}

// about says that a mail is about message m. A person's about a digest is about
// the one case of it whose number it writes.
func (w *InboundWorker) about(ctx context.Context, in *casedb.Inbound, m casedb.Message, p *Mail) error {
	in.MessageID, in.CaseID = &m.ID, m.CaseID
	if m.Purpose != casedb.PurposeDigest || in.Class != casedb.InboundHuman && in.Class != casedb.InboundFeedback {
		return nil
	}
	letters, err := w.DB.DigestLetters(ctx, m.ID)
	if err != nil {
		return err
	}
	said := strings.ToUpper(p.subject + "\n" + unquoted(explanation(p.text)))
	var named []casedb.DigestLetter
	for _, l := range letters {
		if numberIn(said, l.Number) {
			named = append(named, l)
		}
	}
	if len(named) == 1 {
		in.MessageID, in.CaseID = &named[0].MessageID, &named[0].CaseID
	}
	return nil
}

// numberIn reports whether a text has a case's number, and not only as the
// beginning of a longer one.
func numberIn(text, number string) bool {
	for {
		_, after, found := strings.Cut(text, number)
		if !found {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		text = after
	}
}
