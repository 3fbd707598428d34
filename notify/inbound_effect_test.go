package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/casedb"
	"teiten/notify"
)

// TestWhoLooksAndWhoAnswers: what a case waits for, and whether its owner has
// answered, after mails of machines and of people.
func TestWhoLooksAndWhoAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, raw string
		class     casedb.InboundClass
		event     casedb.EventKind
		state     casedb.CaseState
		waiting   casedb.Waiting
	}{
		{"a person through a desk", "From: support@isp.example\nAuto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\nSubject: [Example ISP] Re: x\n\n" +
			"##- Please type your reply above this line -##\n\nA. Example\n\nWe took the machine off the network.\n",
			casedb.InboundAutoReply, casedb.EventAutoReply, casedb.CaseNotified, casedb.WaitingReply},
		{"a challenge", "From: desk@isp.example\nSubject: Please confirm your message\n\nYour mail is held. To have it delivered, please open this page:\nhttps://isp.example/c\n",
			casedb.InboundChallenge, casedb.EventChallenge, casedb.CaseNotified, casedb.WaitingAttention},
		{"an acknowledgment", "From: support@isp.example\nSubject: [Ticket ID: 417233] x\n\nA new ticket has been opened for your message.\n",
			casedb.InboundAutoReply, casedb.EventAutoReply, casedb.CaseNotified, casedb.WaitingNone},
		{"a person on leave", "From: abuse@isp.example\nX-Auto-Response-Suppress: All\nSubject: Re: x\n\nWe cleaned it. I am on leave from Thursday.\n",
			casedb.InboundHuman, casedb.EventReply, casedb.CaseAnswered, casedb.WaitingReply},
	} {
		p := newPost(t, notify.InboundConfig{})
		c, m := p.queued(ispCase)
		p.sentBox()
		in := p.take("abuse@isp.example", p.composer.Tokens().Make(notify.TokenReply, c.Number, &m), test.raw)
		got := p.getCase(c.ID)
		kinds := p.events(c.ID)
		if in.Class != test.class || kinds[len(kinds)-1] != test.event || got.State != test.state || got.Waiting != test.waiting {
			t.Errorf("%s: %s, event %s, case %s waiting %q", test.name, in.Class, kinds[len(kinds)-1], got.State, got.Waiting)
		}
		if _, err := p.answer(c, casedb.Answer{InboundID: &in.ID, Text: "Thank you."}); (err == nil) != (test.waiting == casedb.WaitingReply) {
			t.Errorf("%s: answering gives %v", test.name, err)
		}
	}
}

// TestStrangersWithACaseNumber: the number can be guessed. A stranger's mail waits
// among the unmatched with the case as suggestion, and the case does not change.
func TestStrangersWithACaseNumber(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c := p.openCase(ispCase)
	m := p.message(c, ispCase, casedb.MessageHeld)
	before, events := p.getCase(c.ID), len(p.events(c.ID))
	for name, raw := range map[string]string{
		"subject":   "From: mallory@elsewhere.example\nSubject: [" + c.Number + "] we did it\n\nPlease close.\n",
		"thread":    "From: mallory@elsewhere.example\nSubject: x\nReferences: <" + strings.ToLower(c.Number) + ".case@" + domain + ">\n\nPlease close.\n",
		"complaint": "From: fbl@elsewhere.example\nSubject: [" + c.Number + "]\nX-XARF: PLAIN\n\nStop.\n",
		"bounce":    "Return-Path: <>\nFrom: MAILER-DAEMON@elsewhere.example\nSubject: Returned mail: [" + c.Number + "]\n\nUser unknown\n",
		"challenge": "From: x@elsewhere.example\nSubject: Please confirm your message [" + c.Number + "]\n\nYour mail is held. To have it delivered, please open https://elsewhere.example/c\n",
	} {
		in := p.take("mallory@elsewhere.example", "csirt@"+domain, raw)
		if in.CaseID != nil || in.SuggestedCaseID == nil || *in.SuggestedCaseID != c.ID || in.MatchedBy != "" {
			t.Errorf("%s: case %v, suggested %v, matched by %q", name, in.CaseID, in.SuggestedCaseID, in.MatchedBy)
		}
	}
	if got := p.getCase(c.ID); got.Waiting != before.Waiting || got.State != before.State || got.Version != before.Version || len(p.events(c.ID)) != events {
		t.Errorf("the case is %s and waits for %q, version %d; %d events", got.State, got.Waiting, got.Version, len(p.events(c.ID)))
	}
	list, err := p.db.UnmatchedInbound(t.Context(), 0, 10)
	if err != nil || len(list) != 5 {
		t.Fatalf("%d unmatched, %v", len(list), err)
	}
	// A coordinator files one; its sender is known from then on.
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.FileInbound(ctx, list[len(list)-1].ID, []int64{c.ID}, "coordinator", epoch)
	})
	again := p.take("x@elsewhere.example", "csirt@"+domain, "From: "+list[len(list)-1].Sender+"\nSubject: ["+c.Number+"] more\n\nHello.\n")
	if again.CaseID == nil || again.MatchedBy != casedb.MatchedBySubject {
		t.Errorf("a sender whom a coordinator has filed: %+v", again.MatchedBy)
	}
	_ = m
}

// TestDeadMemberSuppressesNothing: the report is about a mailbox behind the address
// that we wrote to, and the returned mail does not show it.
func TestDeadMemberSuppressesNothing(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	box := p.sentBox()
	raw := strings.ReplaceAll(fmt.Sprintf(bounceText, "x", m.HeaderID), "abuse@isp.example", "former.member@mail.example")
	if in := p.take("", box.EnvelopeFrom, raw); in.Hard || !in.Trusted || in.Class != casedb.InboundBounce {
		t.Errorf("%s hard %v trusted %v", in.Class, in.Hard, in.Trusted)
	}
	if _, err := p.db.Suppression(t.Context(), ispCase.email, epoch); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("suppression: %v", err)
	}
	if got := p.getCase(c.ID); got.Waiting != casedb.WaitingBounce {
		t.Errorf("the case waits for %q", got.Waiting)
	}
}

// TestRelayNotice: a relay's notification comes to the contact address, and names the
// envelope sender of our mail with our HMAC, or one that is not ours.
func TestRelayNotice(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	_, m := p.queued(ispCase)
	box := p.sentBox()
	notice := func(source string) string {
		text, err := json.Marshal(map[string]any{"notificationType": "Bounce", "bounce": map[string]any{"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": []any{
			map[string]any{"emailAddress": "abuse@isp.example", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}}}, "mail": map[string]any{"source": source}})
		if err != nil {
			t.Fatal(err)
		}
		return "From: no-reply@sns.amazonaws.example\nSubject: AWS Notification Message\n\n" + string(text) + "\n"
	}
	forged := strings.Replace(box.EnvelopeFrom, "@", flip(box.EnvelopeFrom[strings.IndexByte(box.EnvelopeFrom, '@')-1])+"@", 1)
	if in := p.take("x@sns.amazonaws.example", "csirt@"+domain, notice(forged)); in.Trusted || in.CaseID != nil {
		t.Errorf("a notice with a forged token: %+v", in)
	}
	in := p.take("x@sns.amazonaws.example", "csirt@"+domain, notice(box.EnvelopeFrom))
	if !in.Trusted || !in.Hard || p.getMessage(m.ID).State != casedb.MessageBounced {
		t.Errorf("trusted %v hard %v, message %s", in.Trusted, in.Hard, p.getMessage(m.ID).State)
	}
}

// stalledNow is the gauge of mails that are read beyond their deadline.
func stalledNow(t *testing.T, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "teiten_notify_inbound_stalled" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

// TestSlowMailIsPutAside: a mail whose reading does not end stops no other; it is
// shown, counted, and not taken again.
func TestSlowMailIsPutAside(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.sentBox()
	registry := prometheus.NewPedanticRegistry()
	metrics, err := notify.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	p.worker.Metrics, p.worker.Deadline = metrics, 300*time.Millisecond
	p.worker.Read = func(raw []byte) *notify.Mail {
		if strings.Contains(string(raw), "slow") {
			<-release
		}
		return notify.ParseMail(raw)
	}
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	slow := p.take("abuse@isp.example", reply, "From: abuse@isp.example\nSubject: Re: slow\n\nx\n")
	if slow.State != casedb.InboundFailed || slow.LastError == "" {
		t.Errorf("the slow mail is %s: %q", slow.State, slow.LastError)
	}
	if in := p.take("abuse@isp.example", reply, "From: abuse@isp.example\nSubject: Re: x\n\nDone.\n"); in.Class != casedb.InboundHuman || p.getCase(c.ID).State != casedb.CaseAnswered {
		t.Errorf("the mail behind it is %s", in.Class)
	}
	if n := stalledNow(t, registry); n != 1 {
		t.Errorf("%v mails are stalled, as the metrics have it", n)
	}
	list, err := p.db.UnmatchedInbound(t.Context(), 0, 10)
	if err != nil || len(list) != 1 || list[0].ID != slow.ID {
		t.Errorf("put aside and shown: %v, %v", list, err)
	}
	close(release)
	// One that was begun too often, because the program ended, is not read again.
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.StoreInbound(ctx, "", reply, []byte("Subject: again\n\nx"), p.clock.now())
		return err
	})
	p.exec(`update inbound set attempts = 5 where state = 'received'`)
	p.do(p.worker.Do)
	var state string
	if p.scan(`select state from inbound order by id desc limit 1`, &state); state != "failed" {
		t.Errorf("begun six times it is %s", state)
	}
}
