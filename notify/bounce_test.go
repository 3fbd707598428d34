package notify_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

// bounce lets the newest mail come back with what the server said.
func (p *post) bounce(said string) {
	p.t.Helper()
	if err := p.mailbox.Bounce(p.t.Context(), p.sentBox().ID, said, p.clock.now()); err != nil {
		p.t.Fatal(err)
	}
	p.do(p.worker.Do)
}

// TestThreeTemporaryBouncesAskACoordinator: a full mailbox is given time, the
// letter is written again, and the third time a coordinator decides.
func TestThreeTemporaryBouncesAskACoordinator(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, _ := p.queued(ispCase)
	for n := 1; n <= 3; n++ {
		p.bounce("552 5.2.2 <abuse@isp.example>: Mailbox full")
		msgs, err := p.db.CaseMessages(t.Context(), c.ID, 10)
		if err != nil {
			t.Fatal(err)
		}
		want, waiting := n+1, casedb.WaitingNone
		if n == 3 {
			want, waiting = n, casedb.WaitingBounce
		}
		if c = p.getCase(c.ID); len(msgs) != want || c.Waiting != waiting {
			t.Fatalf("bounce %d: %d messages, case waits for %q", n, len(msgs), c.Waiting)
		}
		if n == 3 {
			break
		}
		if again := msgs[len(msgs)-1]; again.Reason != casedb.ReasonSoftRetry || again.State != casedb.MessageQueued ||
			again.NextAttemptAt.Before(p.clock.now().Add(2*24*time.Hour)) {
			t.Fatalf("bounce %d: %+v", n, again)
		}
		p.clock.advance(3*24*time.Hour + time.Minute)
	}
	if s, err := p.db.Suppressions(t.Context(), 0, 10, p.clock.now()); err != nil || len(s) != 0 {
		t.Errorf("suppressed: %v, %v", s, err)
	}
}

// TestFilterIsNotAskedAgain: a refusal by policy does not change with time, and
// does not kill the address.
func TestFilterIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, _ := p.queued(ispCase)
	p.bounce("554 5.7.1 <abuse@isp.example>: Message rejected as spam")
	msgs, err := p.db.CaseMessages(t.Context(), c.ID, 10)
	if c = p.getCase(c.ID); err != nil || len(msgs) != 1 || c.Waiting != casedb.WaitingBounce {
		t.Errorf("%d messages, case waits for %q, %v", len(msgs), c.Waiting, err)
	}
	if s, _ := p.db.Suppressions(t.Context(), 0, 10, p.clock.now()); len(s) != 0 {
		t.Errorf("suppressed: %v", s)
	}
}

// TestDeadAddressGivesWayToTheNextContact: its letter waits for approval, and
// with no contact left a coordinator has to find one.
func TestDeadAddressGivesWayToTheNextContact(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, _ := p.queued(ispCase)
	p.exec(`insert into contact (owner_id, email, provenance, gate, language, rank, created_at) values ($1, 'soc@isp.example', 'remark', 'approve', 'en', 5, $2)`,
		c.OwnerID, epoch)
	p.bounce("")
	msgs, err := p.db.CaseMessages(t.Context(), c.ID, 10)
	if err != nil || len(msgs) != 2 {
		t.Fatalf("messages %+v, %v", msgs, err)
	}
	next := msgs[1]
	if next.State != casedb.MessageHeld || next.Recipient != "soc@isp.example" || next.Reason != casedb.ReasonNextContact || next.Language != "en" {
		t.Errorf("next letter: %+v", next)
	}
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingApproval || *c.ContactID != *next.ContactID {
		t.Errorf("case waits for %q", c.Waiting)
	}
	// The same bounce once more, late: nothing new.
	if err := p.mailbox.Bounce(t.Context(), 1, "", p.clock.now()); err != nil {
		t.Fatal(err)
	}
	p.do(p.worker.Do)
	if again, _ := p.db.CaseMessages(t.Context(), c.ID, 10); len(again) != 2 {
		t.Errorf("%d messages after the second bounce", len(again))
	}
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, next.ID, next.Version, "coordinator", p.clock.now())
	})
	p.clock.advance(time.Minute)
	p.bounce("550 5.1.1 <soc@isp.example>: User unknown")
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingBounce {
		t.Errorf("with nobody left the case waits for %q", c.Waiting)
	}
}

// TestLateBounceOfAnEarlierContact: the next contact, to whom the case has
// written since, gets no second letter, and the first one none at all, whatever
// comes back late or twice from the first one.
func TestLateBounceOfAnEarlierContact(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"", notify.SoftBounce} {
		p := newPost(t, notify.InboundConfig{})
		c, _ := p.queued(ispCase)
		p.exec(`insert into contact (owner_id, email, provenance, gate, language, rank, created_at) values ($1, 'soc@isp.example', 'remark', 'approve', 'en', 5, $2)`,
			c.OwnerID, epoch)
		p.do(p.sender.Do)
		if said == "" {
			p.bounce("")
		} else {
			c = p.getCase(c.ID)
			p.tx(func(ctx context.Context, tx *casedb.Tx) error {
				_, err := tx.ChangeContact(ctx, c.ID, c.Version, casedb.ContactChange{Email: "soc@isp.example", Why: "they asked"}, domain, "taro", p.clock.now())
				return err
			})
		}
		msgs, err := p.db.CaseMessages(t.Context(), c.ID, 10)
		if err != nil || len(msgs) != 2 {
			t.Fatalf("messages %+v, %v", msgs, err)
		}
		p.approve(msgs[1])
		p.clock.advance(time.Minute)
		p.do(p.sender.Do)
		if err := p.mailbox.Bounce(t.Context(), 1, said, p.clock.now()); err != nil {
			t.Fatal(err)
		}
		p.do(p.worker.Do)
		msgs, err = p.db.CaseMessages(t.Context(), c.ID, 10)
		if err != nil || len(msgs) != 2 || msgs[1].State != casedb.MessageSent {
			t.Errorf("after a late bounce %q: messages %+v, %v", said, msgs, err)
		}
		if c = p.getCase(c.ID); c.Waiting != casedb.WaitingBounce || *c.ContactID != *msgs[1].ContactID {
			t.Errorf("after a late bounce %q the case waits for %q", said, c.Waiting)
		}
	}
}

// TestMachinesThatAnswerEachOther: after fifty mails of a day more are stored
// and are no events; a person's words were seen before.
func TestMachinesThatAnswerEachOther(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{PerMinute: 10_000})
	c, m := p.queued(ispCase)
	p.sentBox()
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	for n := range 60 {
		if err := p.deliver("robot@isp.example", reply, fmt.Sprintf("From: robot@isp.example\nSubject: Ticket %d received\nAuto-Submitted: auto-replied\n\nThanks.\n", n)); err != nil {
			t.Fatal(err)
		}
	}
	for p.do(p.worker.Do) > 0 {
	}
	events, stored := 0, 0
	for _, k := range p.events(c.ID) {
		if k == casedb.EventAutoReply {
			events++
		}
	}
	p.scan(`select count(*) from inbound where state = 'processed' and case_id = $1`, &stored, c.ID)
	if events != 50 || stored != 60 {
		t.Errorf("%d events of %d mails", events, stored)
	}
	if c = p.getCase(c.ID); c.State != casedb.CaseNotified || c.Waiting != casedb.WaitingNone {
		t.Errorf("case is %s waiting %q", c.State, c.Waiting)
	}
}

// TestLMTP: a mail server hands mail over and is told for each recipient.
func TestLMTP(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{LMTP: true})
	c, m := p.queued(ispCase)
	conn, err := net.Dial("tcp", p.inbound)
	if err != nil {
		t.Fatal(err)
	}
	client := smtp.NewClientLMTP(conn)
	defer client.Close()
	if err := client.Mail("noc@isp.example", nil); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{p.composer.Tokens().Make(notify.TokenReply, c.Number, &m), "csirt@teiten.example"} {
		if err := client.Rcpt(to, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Rcpt("somebody@elsewhere.example", nil); err == nil {
		t.Error("it relays")
	}
	w, err := client.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(strings.ReplaceAll("From: noc@isp.example\nSubject: Re: x\n\nDone.\n", "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	// It gives an answer for each recipient; the client reads as many.
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.Noop(); err != nil {
		t.Errorf("the session is out of step: %v", err)
	}
	p.do(p.worker.Do)
	if c = p.getCase(c.ID); c.Waiting != casedb.WaitingReply {
		t.Errorf("case waits for %q", c.Waiting)
	}
}
