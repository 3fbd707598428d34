package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/notify"
)

// nextMail is a mail of the case as it would go out, in our own thread.
func (p *post) nextMail(what string, c casedb.Case, m casedb.Message) notify.Draft {
	p.t.Helper()
	m.ID, m.HeaderID, m.Token = 99, "tt.next@"+domain, "next"
	d, err := p.composer.Preview(p.t.Context(), p.db, m, epoch)
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	if strings.Count(d.Subject, "["+c.Number+"]") != 1 || !bytes.Contains(d.Raw, []byte("\r\nReferences: <"+strings.ToLower(c.Number)+".case@"+domain+">")) {
		p.t.Errorf("%s: our own thread is lost: %q", what, d.Subject)
	}
	return d
}

// hasTag wants a tag so often in a subject, and none of a stranger's.
func hasTag(t *testing.T, what string, d notify.Draft, tag string, n int) {
	t.Helper()
	if strings.Count(d.Subject, tag) != n || strings.Contains(d.Subject, "666") {
		t.Errorf("%s: subject %q", what, d.Subject)
	}
}

// TestTheirTicketIsInOurNextSubjects: from the acknowledgement on, for those
// who sent and caused it, until a coordinator says otherwise.
func TestTheirTicketIsInOurNextSubjects(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.sentBox()
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	acknowledge := func(from, subject string) casedb.Inbound {
		return p.take(from, reply, fmt.Sprintf("From: %s\nMessage-ID: <%d@isp.example>\nSubject: %s\nAuto-Submitted: auto-replied\n\nWe got it.\n", from, len(subject), subject))
	}
	in := acknowledge("robot@isp.example", "[isp.example #4711] AutoReply: ["+c.Number+"] x")
	// Who knows no more than the case's number says nothing about its tickets.
	p.take("someone@isp.example", "csirt@"+domain, "From: abuse@isp.example\nSubject: [elsewhere.example #666] ["+c.Number+"]\n\nWho are you?\n")

	letter := casedb.Message{CaseID: &c.ID, Purpose: casedb.PurposeNotification, Reason: casedb.ReasonAgain, Recipient: "Abuse@ISP.example", Language: "ja"}
	hasTag(t, "letter", p.nextMail("letter", c, letter), "] [isp.example #4711] マルウエア", 1)
	answer := casedb.Message{CaseID: &c.ID, Purpose: casedb.PurposeAnswer, Recipient: "robot@isp.example", Language: "en", Body: "An answer.", InReplyTo: in.HeaderID}
	hasTag(t, "answer", p.nextMail("answer", c, answer), "[isp.example #4711]", 1)
	answer.Subject = in.Subject
	hasTag(t, "answer to their subject", p.nextMail("answer", c, answer), "[isp.example #4711]", 1)
	answer.Subject, answer.Recipient = "Re: ["+c.Number+"] ご連絡", "abuse@isp.example"
	d := p.nextMail("answer to a person", c, answer)
	if want := "Re: [" + c.Number + "] [isp.example #4711] "; d.Subject != want+"ご連絡 TLP:AMBER+STRICT" || !bytes.Contains(d.Raw, []byte("\r\nSubject: "+want+"=?utf-8?b?")) {
		t.Errorf("the tags are not readable in %q:\n%s", d.Subject, d.Raw)
	}
	other := letter
	other.Recipient = "noc@isp.example"
	hasTag(t, "another contact", p.nextMail("another contact", c, other), "4711", 0)

	// What only a text names replaces nothing, another subject does.
	p.take("person@isp.example", reply, "From: abuse@isp.example\nSubject: Re: x\n\nSee ticket number 5555 of our customer.\n")
	hasTag(t, "after a text", p.nextMail("letter", c, letter), "[isp.example #4711]", 1)
	acknowledge("robot@isp.example", "[isp.example #4712] merged")
	hasTag(t, "after a merge", p.nextMail("letter", c, letter), "[isp.example #4712]", 1)

	// A person's word stands.
	set := func(address, tag string) error {
		return p.db.InTx(t.Context(), func(tx *casedb.Tx) error {
			locked, err := tx.LockCase(t.Context(), c.ID)
			if err != nil {
				return err
			}
			return tx.SetTicket(t.Context(), &locked, address, tag, "coordinator", epoch)
		})
	}
	if err := set("ABUSE@isp.example", ""); err != nil {
		t.Fatal(err)
	}
	acknowledge("robot@isp.example", "[isp.example #4713] AutoReply")
	hasTag(t, "taken away", p.nextMail("letter", c, letter), "#", 0)
	if err := set("abuse@isp.example", "INC0012345"); err != nil {
		t.Fatal(err)
	}
	hasTag(t, "corrected", p.nextMail("letter", c, letter), "] INC0012345 マルウエア", 1)
	if err := set("nobody@isp.example", "1"); err == nil {
		t.Error("a ticket of an address that has nothing to do with the case was taken")
	}
	kinds := p.events(c.ID)
	if kinds[len(kinds)-1] != casedb.EventTicket {
		t.Errorf("events %v", kinds)
	}
	// It goes out so.
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.AnswerCase(ctx, c.ID, p.getCase(c.ID).Version, casedb.Answer{InboundID: &in.ID, Text: "An answer."}, domain, "coordinator", epoch)
		if err == nil {
			t.Error("an automatic mail was answered")
		}
		_, err = tx.AnswerCase(ctx, c.ID, p.getCase(c.ID).Version, casedb.Answer{Text: "An answer."}, domain, "coordinator", epoch)
		return err
	})
	if box := p.sentBox(); box.EnvelopeTo != "abuse@isp.example" || !strings.HasPrefix(box.Subject, "["+c.Number+"] INC0012345 ") {
		t.Errorf("sent to %s: %q", box.EnvelopeTo, box.Subject)
	}
}
