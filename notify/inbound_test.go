package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

func TestReplyFromTheMailbox(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	box := p.sentBox()
	mail := notify.ParseMail(box.Raw)
	if len(mail.Parts) != 2 || !mail.Parts[0].Readable() || !strings.Contains(mail.Parts[0].Text(), "マルウエア") || !mail.Parts[1].File || mail.Field("Subject") != box.Subject {
		t.Fatalf("the mailbox shows %+v", mail)
	}
	text := "ご連絡ありがとうございます。\r\n当該端末を隔離しました。\r\n\r\n株式会社テスト\r\n"
	if err := p.mailbox.Reply(t.Context(), box.ID, text, p.clock.now()); err != nil {
		t.Fatal(err)
	}
	p.do(p.worker.Do)
	if c = p.getCase(c.ID); c.State != casedb.CaseAnswered || c.Waiting != casedb.WaitingReply {
		t.Errorf("case is %s waiting %q", c.State, c.Waiting)
	}
	if m = p.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Errorf("message is %s", m.State)
	}
	list, err := p.db.CaseInbound(t.Context(), c.ID, 10)
	if err != nil || len(list) != 1 || list[0].Class != casedb.InboundHuman || !strings.Contains(list[0].Text, "隔離しました") ||
		list[0].MatchedBy != casedb.MatchedByToken || list[0].Sender != ispCase.email {
		t.Fatalf("inbound %+v, %v", list, err)
	}
	// The coordinator answers in the thread.
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.AnswerCase(ctx, c.ID, c.Version, casedb.Answer{InboundID: &list[0].ID, Text: "ありがとうございました。"}, domain, "coordinator", p.clock.now())
		return err
	})
	p.clock.advance(time.Minute)
	answer := p.sentBox()
	if answer.EnvelopeTo != ispCase.email || !strings.HasPrefix(answer.Subject, "Re: ["+c.Number) && !strings.HasPrefix(answer.Subject, "["+c.Number) ||
		!strings.HasPrefix(notify.ParseMail(answer.Raw).Parts[0].Text(), "ありがとうございました。") {
		t.Errorf("answer %q %q", answer.Subject, notify.ParseMail(answer.Raw).Parts[0].Text())
	}
	if !bytes.Contains(answer.Raw, []byte("In-Reply-To: <"+list[0].HeaderID+">")) {
		t.Error("the answer is not in the thread")
	}
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingNone {
		t.Errorf("case waits for %q", c.Waiting)
	}
}

func TestBounceFromTheMailbox(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	box := p.sentBox()
	if err := p.mailbox.Bounce(t.Context(), box.ID, "", p.clock.now()); err != nil {
		t.Fatal(err)
	}
	p.do(p.worker.Do)
	if m = p.getMessage(m.ID); m.State != casedb.MessageBounced {
		t.Errorf("message is %s", m.State)
	}
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingBounce || c.State != casedb.CaseNotified {
		t.Errorf("case is %s waiting %q", c.State, c.Waiting)
	}
	s, err := p.db.Suppression(t.Context(), ispCase.email, epoch)
	if err != nil || !strings.Contains(s.Why.String(), "5.1.1") {
		t.Errorf("suppression %+v, %v", s, err)
	}
	kinds := p.events(c.ID)
	if !slices.Contains(kinds, casedb.EventBounce) || !slices.Contains(kinds, casedb.EventSuppressed) {
		t.Errorf("events %v", kinds)
	}
	// With another contact the case goes on.
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{Email: "noc@isp.example", Why: "by phone"}, domain, "coordinator", epoch)
		return err
	})
	msgs, err := p.db.CaseMessages(t.Context(), c.ID, 10)
	if err != nil || len(msgs) != 2 || msgs[1].State != casedb.MessageHeld || msgs[1].Recipient != "noc@isp.example" {
		t.Fatalf("messages %+v, %v", msgs, err)
	}
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, msgs[1].ID, msgs[1].Version, "coordinator", epoch)
	})
	if box := p.sentBox(); box.EnvelopeTo != "noc@isp.example" {
		t.Errorf("mail went to %s", box.EnvelopeTo)
	}
}

func TestSoftBounceSuppressesNothing(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, _ := p.queued(ispCase)
	box := p.sentBox()
	if err := p.mailbox.Bounce(t.Context(), box.ID, "552 5.2.2 <abuse@isp.example>: Mailbox full", p.clock.now()); err != nil {
		t.Fatal(err)
	}
	p.do(p.worker.Do)
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingNone {
		t.Errorf("case waits for %q", c.Waiting)
	}
	if _, err := p.db.Suppression(t.Context(), ispCase.email, epoch); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("suppression: %v", err)
	}
}

// TestUnreadReplyStaysInTheQueue: what comes after a person's words does not
// take their place.
func TestUnreadReplyStaysInTheQueue(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	box := p.sentBox()
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	p.take("abuse@isp.example", reply, "From: abuse@isp.example\nSubject: Re: x\n\nWhich hosts?\n")
	if err := p.mailbox.Bounce(t.Context(), box.ID, "552 5.2.2 <abuse@isp.example>: Mailbox full", p.clock.now()); err != nil {
		t.Fatal(err)
	}
	p.do(p.worker.Do)
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingReply || c.State != casedb.CaseAnswered {
		t.Errorf("case is %s waiting %q", c.State, c.Waiting)
	}
	kinds := p.events(c.ID)
	if m = p.getMessage(m.ID); kinds[len(kinds)-1] != casedb.EventBounce || m.State != casedb.MessageBounced {
		t.Errorf("events %v, message %s", kinds, m.State)
	}
}

// TestReplyToIsOnlyNoted: a stranger who knows the case's number writes, and
// asks for the answer at another address.
func TestReplyToIsOnlyNoted(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.sentBox()
	p.take("abuse@isp.example", "csirt@"+domain, "From: abuse@isp.example\nReply-To: mallory@elsewhere.example\nSubject: ["+c.Number+"]\n\nSend it all.\n")
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	p.take("abuse@isp.example", reply, "From: abuse@isp.example\nReply-To: Abuse@isp.example\nSubject: Re: x\n\nDone.\n")
	list, err := p.db.CaseInbound(t.Context(), c.ID, 10)
	if err != nil || len(list) != 2 || list[1].Sender != "abuse@isp.example" || list[1].ReplyTo != "mallory@elsewhere.example" || list[0].ReplyTo != "" {
		t.Fatalf("inbound %+v, %v", list, err)
	}
	events, err := p.db.CaseEvents(t.Context(), c.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Kind == casedb.EventReply {
			got = append(got, e.Actor+" "+e.Data.V.Contact+" "+e.Data.V.Reason)
		}
	}
	if want := []string{"abuse@isp.example mallory@elsewhere.example " + casedb.ReasonUnverified, "abuse@isp.example  "}; !slices.Equal(got, want) {
		t.Errorf("replies %q, want %q", got, want)
	}
}

const bounceText = `From: MAILER-DAEMON@mx.isp.example
To: %s
Subject: Undelivered Mail Returned to Sender
Message-Id: <b@mx.isp.example>
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

<abuse@isp.example>: 550 5.1.1 User unknown

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.isp.example

Final-Recipient: rfc822; abuse@isp.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown

--b
Content-Type: text/rfc822-headers

Message-Id: <%s>
Subject: x

--b--
`

// TestBounceOfAnEarlierNumber: after a restore a message has the number that
// another one had, to which a true bounce comes.
func TestBounceOfAnEarlierNumber(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.sentBox()
	earlier := m
	earlier.Token = "another"
	for _, kind := range []notify.TokenKind{notify.TokenBounce, notify.TokenReply} {
		to := p.composer.Tokens().Make(kind, c.Number, &earlier)
		if in := p.take("", to, fmt.Sprintf(bounceText, to, "other@"+domain)); in.Trusted || in.CaseID != nil || in.MessageID != nil {
			t.Errorf("%s: %+v", kind, in)
		}
	}
	if _, err := p.db.Suppression(t.Context(), ispCase.email, epoch); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("the bounce of another mail suppressed the address: %v", err)
	}
	if p.getMessage(m.ID).State != casedb.MessageSent {
		t.Error("the bounce of another mail ended this one")
	}
}

// TestForgedBounceChangesNothing sends bounces whose token is not ours, or is
// the one that everybody sees.
func TestForgedBounceChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	box := p.sentBox()
	before := p.getCase(c.ID)
	token := box.EnvelopeFrom
	forged := token[:strings.IndexByte(token, '@')-1] + flip(token[strings.IndexByte(token, '@')-1]) + "@" + domain
	for _, to := range []string{forged, p.composer.Tokens().Make(notify.TokenReply, c.Number, &m), "csirt@" + domain} {
		in := p.take("", to, fmt.Sprintf(bounceText, to, m.HeaderID))
		if in.Class != casedb.InboundBounce || in.Trusted || !in.Hard {
			t.Errorf("to %s: %s trusted %v hard %v", to, in.Class, in.Trusted, in.Hard)
		}
	}
	after := p.getCase(c.ID)
	if after.State != before.State || after.Waiting != before.Waiting || p.getMessage(m.ID).State != casedb.MessageSent {
		t.Error("a forged bounce changed something")
	}
	if _, err := p.db.Suppression(t.Context(), ispCase.email, epoch); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("a forged bounce suppressed the address: %v", err)
	}
	kinds := p.events(c.ID)
	if n := len(slices.DeleteFunc(kinds, func(k casedb.EventKind) bool { return k != casedb.EventForged })); n != 3 {
		t.Errorf("%d forged events, want 3", n)
	}
	// The same in capitals, with our HMAC, is ours.
	if in := p.take("", strings.ToUpper(token), fmt.Sprintf(bounceText, token, m.HeaderID)); !in.Trusted {
		t.Error("our token in capitals is not trusted")
	}
	if p.getMessage(m.ID).State != casedb.MessageBounced {
		t.Error("the true bounce changed nothing")
	}
}

func flip(b byte) string {
	if b == 'a' {
		return "b"
	}
	return "a"
}

func TestOtherClassesAndMatching(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	box := p.sentBox()
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	tests := []struct {
		name, from, to, raw string
		class               casedb.InboundClass
		by                  string
		event               casedb.EventKind
		state               casedb.CaseState
		waiting             casedb.Waiting
		ticket              string
	}{
		{"automatic", "", reply, "From: abuse@isp.example\nSubject: [isp.example #4711] AutoReply: x\nAuto-Submitted: auto-replied\n\nWe got it.\n",
			casedb.InboundAutoReply, "token", casedb.EventAutoReply, casedb.CaseNotified, casedb.WaitingNone, "4711"},
		{"delay", "", box.EnvelopeFrom, strings.NewReplacer("Action: failed", "Action: delayed", "Status: 5.1.1", "Status: 4.4.1").Replace(fmt.Sprintf(bounceText, "x", "x@y")),
			casedb.InboundDelay, "token", casedb.EventDelay, casedb.CaseNotified, casedb.WaitingNone, ""},
		{"tag", "abuse@isp.example", "csirt@" + domain, "From: Abuse@isp.example\nSubject: Question about [" + strings.ToLower(c.Number) + "]\n\nWho are you?\n",
			casedb.InboundHuman, "subject", casedb.EventReply, casedb.CaseNotified, casedb.WaitingReply, ""},
		{"thread", "noc@isp.example", "csirt@" + domain, "From: noc@isp.example\nSubject: Re: your mail\nIn-Reply-To: <" + m.HeaderID + ">\n\nDone.\n",
			casedb.InboundHuman, "header", casedb.EventReply, casedb.CaseAnswered, casedb.WaitingReply, ""},
		{"complaint", "fbl@isp.example", reply, "From: fbl@isp.example\nSubject: Abuse Report\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n" +
			"--b\nContent-Type: text/plain\n\nStop this.\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n--b--\n",
			casedb.InboundFeedback, "token", casedb.EventFeedback, casedb.CaseAnswered, casedb.WaitingAttention, ""},
	}
	for _, test := range tests {
		in := p.take(test.from, test.to, test.raw)
		if in.Class != test.class || in.MatchedBy != test.by || in.RemoteTicket != test.ticket || in.State != casedb.InboundProcessed {
			t.Errorf("%s: class %s by %s ticket %q, want %s by %s ticket %q", test.name, in.Class, in.MatchedBy, in.RemoteTicket, test.class, test.by, test.ticket)
		}
		if in.CaseID == nil || *in.CaseID != c.ID {
			t.Errorf("%s: not matched", test.name)
			continue
		}
		kinds := p.events(c.ID)
		if kinds[len(kinds)-1] != test.event {
			t.Errorf("%s: event %s, want %s", test.name, kinds[len(kinds)-1], test.event)
		}
		if got := p.getCase(c.ID); got.State != test.state || got.Waiting != test.waiting {
			t.Errorf("%s: case %s waiting %q, want %s waiting %q", test.name, got.State, got.Waiting, test.state, test.waiting)
		}
	}
	// Unmatched mail waits until a coordinator files it.
	in := p.take("x@isp.example", "csirt@"+domain, "From: x@isp.example\nSubject: hello\n\n\x00 NUL and \x1b$B9b\x1b(B\n")
	if in.CaseID != nil || in.Class != casedb.InboundHuman || !bytes.Contains(in.Raw, []byte{0}) {
		t.Errorf("unmatched mail %+v", in)
	}
	list, err := p.db.UnmatchedInbound(t.Context(), 0, 10)
	if err != nil || len(list) != 1 || list[0].ID != in.ID {
		t.Fatalf("unmatched %v, %v", list, err)
	}
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.FileInbound(ctx, in.ID, []int64{c.ID}, "coordinator", epoch)
	})
	if got := p.getCase(c.ID); got.Waiting != casedb.WaitingReply {
		t.Errorf("after filing the case waits for %q", got.Waiting)
	}
	err = p.db.InTx(t.Context(), func(tx *casedb.Tx) error {
		return tx.FileInbound(t.Context(), in.ID, []int64{c.ID}, "coordinator", epoch)
	})
	if !errors.Is(err, casedb.ErrState) {
		t.Errorf("filed twice: %v", err)
	}
}

func TestEachInboundTakesEffectOnce(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{PerMinute: 1000})
	c, m := p.queued(ispCase)
	p.do(p.sender.Do)
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	const n = 25
	for i := range n {
		if err := p.deliver("a@isp.example", reply, fmt.Sprintf("From: a@isp.example\nSubject: Re: %d\n\nText %d\n", i, i)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, err := p.worker.Do(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	kinds := slices.DeleteFunc(p.events(c.ID), func(k casedb.EventKind) bool { return k != casedb.EventReply })
	if len(kinds) != n {
		t.Errorf("%d replies, want %d", len(kinds), n)
	}
}

func TestInboundServerRefuses(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{MaxBytes: 10_000, PerMinute: 5})
	code := func(err error) int {
		var reply *smtp.SMTPError
		if errors.As(err, &reply) {
			return reply.Code
		}
		return 0
	}
	for _, test := range []struct {
		to   string
		size int
		want int
	}{
		{"csirt@elsewhere.example", 10, 550},
		{"nobody@" + domain, 10, 550},
		{"b+tt-2026-000001.1.tooshort@" + domain, 10, 550},
		{"Postmaster@" + strings.ToUpper(domain), 10, 0},
		{"csirt@" + domain, 20_000, 552},
		{"csirt@" + domain, 10, 451}, // the sixth mail within a minute
	} {
		err := p.deliver("a@isp.example", test.to, "Subject: x\n\n"+strings.Repeat("0123456789\n", test.size/11+1))
		if got := code(err); got != test.want {
			t.Errorf("%s, %d bytes: %v, want %d", test.to, test.size, err, test.want)
		}
	}
	// Without its database the server asks to come again.
	p.clock.advance(time.Hour)
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.deliver("a@isp.example", "csirt@"+domain, "Subject: x\n\nx\n"); code(err) != 451 {
		t.Errorf("without a database: %v, want 451", err)
	}
}

// TestStopWithIdleClients pins that a client that says nothing does not keep a
// server from stopping.
func TestStopWithIdleClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := notify.NewInboundServer(w.db, notify.InboundConfig{Tokens: w.composer.Tokens()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- in.Serve(l) }()
	idle, err := smtp.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	if err := idle.Hello("idle.example"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := in.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := idle.Noop(); err == nil {
		t.Error("the idle client is still served")
	}
}

// TestUncomposableMessageWaitsForACoordinator pins that others do not wait
// behind it.
func TestUncomposableMessageWaitsForACoordinator(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	s := ispCase
	s.email = "no address at all"
	c, bad := p.queued(s)
	s.owner, s.email, s.sources = "another", "abuse@other.example", []string{"192.0.2.77"}
	_, good := p.queued(s)
	for range 3 {
		_, _ = p.sender.Do(t.Context()) // it says what is wrong
	}
	if m := p.getMessage(bad.ID); m.State != casedb.MessageHeld || !strings.Contains(m.HoldWhy.String(), "no mail address") {
		t.Errorf("message is %s because of %q", m.State, m.HoldWhy)
	}
	if got := p.getCase(c.ID); got.Waiting != casedb.WaitingApproval {
		t.Errorf("case waits for %q", got.Waiting)
	}
	if m := p.getMessage(good.ID); m.State != casedb.MessageSent {
		t.Errorf("the next message is %s", m.State)
	}
}

func TestMailboxSimulatesFailures(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	for i, test := range []struct {
		local string
		state casedb.MessageState
	}{{"temperror", casedb.MessageQueued}, {"permerror", casedb.MessageFailed}, {"550", casedb.MessageFailed}} {
		s := ispCase
		s.owner, s.email, s.sources = test.local, test.local+"@isp.example", []string{fmt.Sprintf("192.0.2.%d", 50+i)}
		_, m := p.queued(s)
		p.do(p.sender.Do)
		if m = p.getMessage(m.ID); m.State != test.state {
			t.Errorf("%s: message is %s, want %s", test.local, m.State, test.state)
		}
	}
}
