package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

const (
	// maxReads is how often a mail is tried that cannot be processed.
	maxReads = 5
	// readDeadline is how long the reading of one mail may take. The slowest that
	// the tests know take a second.
	readDeadline = 20 * time.Second
	// maxStalled is how many mails may go on being read after their deadline. With
	// more no mail is read until one of them ends: that is a fault, and shows.
	maxStalled = 2
)

// errStalled says that a mail was put aside because it took too long to read.
var errStalled = errors.New("reading took too long; the mail is kept as it came")

// InboundWorker makes something of the mails that InboundServer stored. DB and
// Tokens must be set. Several workers share the work.
type InboundWorker struct {
	DB      *casedb.DB
	Tokens  *Tokens
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silence
	Metrics *Metrics         // nil: nobody counts

	Deadline time.Duration          // for reading one mail; zero: readDeadline
	Read     func(raw []byte) *Mail // nil: ParseMail
	stalled  atomic.Int32           // mails that are read beyond their deadline
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
	if n := w.stalled.Load(); n >= maxStalled {
		return 0, fmt.Errorf("read inbound mail: %d mails are being read beyond their deadline", n)
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
			last := in.Attempts >= maxReads || errors.Is(err, errStalled)
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

// read takes a mail apart and says what it is. No mail stops those behind it: one
// that takes longer than the deadline is put aside, and so is one that was begun
// too often, because the program ended while it was read.
func (w *InboundWorker) read(in *casedb.Inbound) (*Mail, classification, error) {
	if in.Attempts > maxReads {
		return nil, classification{}, fmt.Errorf("begun %d times: %w", in.Attempts, errStalled)
	}
	type result struct {
		p *Mail
		c classification
	}
	parse := w.Read
	if parse == nil {
		parse = ParseMail
	}
	done := make(chan result, 1)
	raw, e := in.Raw, w.envelope(in)
	go func() {
		p := parse(raw)
		done <- result{p, classify(p, e)}
	}()
	deadline := time.NewTimer(cmp.Or(w.Deadline, readDeadline))
	defer deadline.Stop()
	select {
	case r := <-done:
		return r.p, r.c, nil
	case <-deadline.C:
	}
	w.stalled.Add(1)
	w.Metrics.stalled(1)
	go func() {
		<-done
		w.stalled.Add(-1)
		w.Metrics.stalled(-1)
	}()
	return nil, classification{}, fmt.Errorf("after %s: %w", cmp.Or(w.Deadline, readDeadline), errStalled)
}

// envelope is what the dialogue said. Which address a mail came to counts only if
// we made the address.
func (w *InboundWorker) envelope(in *casedb.Inbound) envelope {
	e := envelope{sender: cmp.Or(in.EnvelopeFrom, "null")}
	if t, ok := ParseToken(in.EnvelopeTo); ok && w.Tokens.Verify(t) {
		e.to = t.Kind
	}
	return e
}

// process classifies and matches one mail, and lets it take effect.
func (w *InboundWorker) process(ctx context.Context, in *casedb.Inbound, now time.Time) error {
	p, c, err := w.read(in)
	if err != nil {
		return err
	}
	in.Class, in.Hard, in.Status, in.Recipient = c.class, c.hard, c.status, c.recipient
	in.Answers, in.Waits = c.answers, c.waits
	in.RemoteTicket, in.TicketTag = c.ticket.number, c.ticket.tag
	in.Sender, in.Subject, in.Text, in.HeaderID = p.from, p.subject, c.text, p.messageID
	in.Attachments.V = p.Files()
	if in.Personal() && !strings.EqualFold(p.replyTo, p.from) {
		in.ReplyTo = p.replyTo // anybody's to write: a note, not where an answer goes
	}
	about, err := w.match(ctx, in, p)
	if err != nil {
		return err
	}
	// Proof is about this very address: not about a member behind it.
	if about != nil && c.dead && c.recipient != "" && !sameMailbox(c.recipient, about.Recipient) {
		c.dead, in.Hard = false, false
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
// with our HMAC is trusted. It returns the message if there is one.
func (w *InboundWorker) match(ctx context.Context, in *casedb.Inbound, p *Mail) (*casedb.Message, error) {
	if t, ok := w.token(in, p); ok {
		m, err := w.DB.Message(ctx, t.Message)
		switch {
		case err == nil && !w.Tokens.Proves(t, &m): // of a message that had the number before a restore
		case err == nil:
			in.MatchedBy, in.Trusted = casedb.MatchedByToken, t.Kind == TokenBounce
			return &m, w.about(ctx, in, m, p)
		case !errors.Is(err, casedb.ErrNotFound):
			return nil, err
		}
	}
	ids := append(append([]string{}, p.inReplyTo...), p.references...)
	ids = append(ids, messageIDs(p.returned.Get("Message-Id"))...)
	if p.notice != nil {
		ids = append(ids, messageIDs(p.notice.Mail.CommonHeaders.MessageID)...)
	}
	if in.Class == casedb.InboundBounce || in.Class == casedb.InboundDelay {
		_, below := splitReturned(p.text)
		ids = append(ids, messageIDs(below)...)
	}
	if len(ids) > 0 {
		m, err := w.DB.MessageByHeaderIDs(ctx, ids[:min(len(ids), 50)])
		switch {
		case err == nil:
			in.MatchedBy = casedb.MatchedByHeader
			return &m, w.about(ctx, in, m, p)
		case !errors.Is(err, casedb.ErrNotFound):
			return nil, err
		}
	}
	return nil, w.byNumber(ctx, in, p, ids)
}

// token is the token of ours with which a mail came: that of the envelope, or
// that of the mail of ours of which a relay tells.
func (w *InboundWorker) token(in *casedb.Inbound, p *Mail) (Token, bool) {
	addresses := []string{in.EnvelopeTo}
	if p.notice != nil {
		addresses = append(addresses, p.notice.Mail.Source)
	}
	for _, a := range addresses {
		if t, ok := ParseToken(a); ok && w.Tokens.Ours(a) && w.Tokens.Verify(t) {
			return t, true
		}
	}
	return Token{}, false
}

// byNumber matches a mail by the case number that it writes. Numbers can be
// guessed: only the mail of a sender with whom the case has to do already is
// taken into the case. For any other the case is a suggestion to the coordinator
// who files the mail.
func (w *InboundWorker) byNumber(ctx context.Context, in *casedb.Inbound, p *Mail, ids []string) error {
	numbers := []string{caseTag(p.subject), caseTag(decodeHeader(p.returned.Get("Subject")))}
	if p.notice != nil {
		numbers = append(numbers, caseTag(p.notice.Mail.CommonHeaders.Subject))
	}
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
		if errors.Is(err, casedb.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		known, err := w.DB.KnowsSender(ctx, c.ID, in.Sender)
		if err != nil {
			return err
		}
		if known {
			in.CaseID, in.MatchedBy = &c.ID, casedb.MatchedBySubject
		} else {
			in.SuggestedCaseID = &c.ID
		}
		return nil
	}
	return nil
}

// about says that a mail is about message m. A person's about a digest is about
// the one case of it whose number it writes.
func (w *InboundWorker) about(ctx context.Context, in *casedb.Inbound, m casedb.Message, p *Mail) error {
	in.MessageID, in.CaseID = &m.ID, m.CaseID
	if m.Purpose != casedb.PurposeDigest || !in.Personal() && in.Class != casedb.InboundFeedback {
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
