package notify_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"

	"teiten/internal/reason"
)

// TestDigest: what is due to a desk that asks for it leaves in one mail at its
// time of day, which has all that the letters say, and each letter as a mail of
// its own.
func TestDigest(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"ja", "en"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, language)
			d.do(d.sender.Do)
			if len(d.server.mails) != 0 {
				t.Fatal("a letter did not wait for the digest")
			}
			for _, m := range d.letters() {
				if local := m.NextAttemptAt.UTC().Format("2006-01-02 15:04"); local != map[string]string{"ja": "2026-11-21 00:00", "en": "2026-11-21 08:00"}[language] {
					t.Errorf("a letter waits until %s", local)
				}
			}
			d.betray()
			d.atNine()
			if len(d.server.mails) != 1 {
				t.Fatalf("%d mails", len(d.server.mails))
			}
			text, evidence, letters := inMail(t, d.server.mails[0].raw)
			digest := d.digests()[0]
			golden(t, "digest."+language+".txt", []byte(digest.Subject+"\n\n"+digest.Body))
			checkWidth(t, digest.Body)
			if strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")) != strings.TrimSpace(digest.Body) {
				t.Errorf("the mail says %q", text)
			}
			rows, err := csv.NewReader(strings.NewReader(evidence)).ReadAll()
			if err != nil || len(rows) != 11 || rows[0][0] != "case" || rows[1][0] != d.cases[0].Number {
				t.Errorf("the evidence has %d rows, %v", len(rows), err)
			}
			if len(letters) != 3 || d.states() != "sent sent sent" || digest.State != casedb.MessageSent {
				t.Fatalf("%d letters; %s in a digest that is %s", len(letters), d.states(), digest.State)
			}
			for i, m := range d.letters() {
				h := letters[i].Header
				if h.Get("Message-Id") != "<"+m.HeaderID+">" || !strings.Contains(h.Get("Subject"), d.cases[i].Number) || h.Get("Reply-To") == "" {
					t.Errorf("letter %d has the header %v", i, h)
				}
				if c := d.getCase(d.cases[i].ID); c.State != casedb.CaseNotified || c.Waiting != casedb.WaitingNone {
					t.Errorf("case %s is %s and waits for %q", c.Number, c.State, c.Waiting)
				}
				if !slices.Contains(d.events(d.cases[i].ID), casedb.EventSent) {
					t.Error("the case does not tell of it")
				}
				if covered := d.covered(m.ID); covered == 0 {
					t.Error("it is not noted which sources were told of")
				}
			}
			noSecrets(t, "digest", d.server.mails[0].raw, 0)
			health, err := d.db.ContactsHealth(t.Context(), []string{"abuse@isp.example"}, d.clock.now())
			if err != nil || health["abuse@isp.example"].Sent != 3 {
				t.Errorf("health %+v, %v", health, err)
			}
			d.atNine()
			if len(d.server.mails) != 1 {
				t.Error("it was sent again")
			}
		})
	}
}

func (w *world) covered(messageID int64) (n int) {
	w.t.Helper()
	w.scan(`select count(*) from message_source where message_id = $1`, &n, messageID)
	return n
}

// TestDigestTime: a letter goes with the first digest after it was written or
// approved, by the recipient's clock.
func TestDigestTime(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ ready, country, want string }{
		{"2026-11-20T08:59:59+09:00", "JP", "2026-11-20T09:00:00+09:00"},
		{"2026-11-20T09:00:00+09:00", "JP", "2026-11-21T09:00:00+09:00"},
		{"2026-11-20T08:59:59Z", "US", "2026-11-20T09:00:00Z"}, // several zones: the local time is unknown
		{"2026-03-28T10:00:00+01:00", "NL", "2026-03-29T09:00:00+02:00"},
		{"2026-12-31T23:00:00+09:00", "JP", "2027-01-01T09:00:00+09:00"},
	} {
		if got := nine.After(at(c.ready), c.country); !got.Equal(at(c.want)) {
			t.Errorf("%s in %s: %s, want %s", c.ready, c.country, got, c.want)
		}
	}
	for _, bad := range []string{"", "9", "24:00", "09:00:00", "-1:00"} {
		if _, err := notify.ParseDigestTime(bad); err == nil {
			t.Errorf("%q is a time of day", bad)
		}
	}
}

// TestDigestOfOne is a letter as any other, and a victim does not wait.
func TestDigestOfOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "ja")
	d.exec(`update message set state = 'held', next_attempt_at = null where case_id <> $1`, d.cases[0].ID)
	victim := spec{owner: "Example Shop", country: "JP", language: "ja", email: "abuse@isp.example", kind: casedb.KindBackscatter,
		sources: []string{"192.0.2.80"}, gate: casedb.GateAuto}
	c, m := d.queued(victim)
	d.exec(`update contact set directory_id = (select max(id) from directory_entry) where id = $1`, *c.ContactID)
	d.rule("backscatter", casedb.RuleAutomatic)
	d.do(d.sender.Do)
	if len(d.server.mails) != 1 || d.getMessage(m.ID).State != casedb.MessageSent {
		t.Fatalf("%d mails; the victim's is %s", len(d.server.mails), d.getMessage(m.ID).State)
	}
	d.atNine()
	if len(d.server.mails) != 2 || len(d.digests()) != 0 || d.letters()[0].State != casedb.MessageSent {
		t.Errorf("%d mails and %d digests", len(d.server.mails), len(d.digests()))
	}
}

// TestDigestIsTriedAgain: every try is the same mail, and the letters are on
// their way with it.
func TestDigestIsTriedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "ja")
	d.server.answers = []error{later, later, nil}
	d.atNine()
	if d.states() != "queued queued queued" {
		t.Fatal(d.states())
	}
	m := d.letters()[0]
	err := d.db.InTx(t.Context(), func(tx *casedb.Tx) error {
		return tx.EditMessage(t.Context(), m.ID, m.Version, "other", "words", "taro", d.clock.now())
	})
	if !errors.Is(err, casedb.ErrState) {
		t.Errorf("a letter on its way was edited: %v", err)
	}
	digest := d.digests()[0]
	for name, f := range map[string]func(tx *casedb.Tx) error{
		"hold": func(tx *casedb.Tx) error {
			return tx.HoldMessage(t.Context(), digest.ID, digest.Version, "taro", nil, epoch)
		},
		"cancel": func(tx *casedb.Tx) error {
			return tx.CancelMessage(t.Context(), digest.ID, digest.Version, "taro", nil, epoch)
		},
	} {
		if err := d.db.InTx(t.Context(), f); !errors.Is(err, casedb.ErrState) {
			t.Errorf("%s a digest: %v", name, err)
		}
	}
	d.exec(`update observation set packets = packets + 1`) // the data move on; the mail does not
	for range 3 {
		d.atNine()
	}
	if len(d.server.mails) != 3 || d.states() != "sent sent sent" || len(d.digests()) != 1 {
		t.Fatalf("%d mails, %s", len(d.server.mails), d.states())
	}
	for _, m := range d.server.mails {
		if !bytes.Equal(m.raw, d.server.mails[0].raw) || m.envelope.From != d.server.mails[0].envelope.From {
			t.Error("a retry differs from the first mail")
		}
	}
}

// TestDigestGivenUp: when one of its letters must not go any more, the others
// go without it; if the mail may have arrived, a coordinator decides.
func TestDigestGivenUp(t *testing.T) {
	t.Parallel()
	unknown := &notify.SendError{Command: "DATA", Response: "the connection broke", Ambiguous: true}
	for name, c := range map[string]struct {
		first  error
		change func(d *desk)
		want   string
		mails  int
	}{
		"case closed": {later, func(d *desk) {
			d.tx(func(ctx context.Context, tx *casedb.Tx) error {
				c, err := tx.LockCase(ctx, d.cases[1].ID)
				if err != nil {
					return err
				}
				return tx.CloseCase(ctx, &c, "taro", reason.Typed("done by phone"), d.clock.now())
			})
		}, "sent canceled sent", 2},
		"source acknowledged": {later, func(d *desk) { d.judge("192.0.2.50", "scanner", "Example University") }, "sent sent held", 2},
		"held by hand": {later, func(d *desk) {
			m := d.letters()[0]
			d.tx(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.HoldMessage(ctx, m.ID, m.Version, "taro", reason.Typed("wait"), d.clock.now())
			})
		}, "held sent sent", 2},
		"may have arrived": {unknown, func(d *desk) { d.judge("192.0.2.50", "scanner", "Example University") }, "held held held", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "ja")
			d.server.answers = []error{c.first, nil}
			d.atNine()
			c.change(d)
			for range 3 {
				d.atNine()
			}
			if d.states() != c.want || len(d.server.mails) != c.mails {
				t.Errorf("%s in %d mails, want %s in %d", d.states(), len(d.server.mails), c.want, c.mails)
			}
			if digests := d.digests(); digests[0].State != casedb.MessageCanceled {
				t.Errorf("the digest is %s", digests[0].State)
			}
			if c.mails == 2 {
				if _, _, letters := inMail(t, d.server.mails[1].raw); len(letters) != 2 {
					t.Errorf("the second digest has %d letters", len(letters))
				}
			}
			for _, m := range d.letters() {
				if m.State == casedb.MessageHeld && m.DigestID != nil {
					t.Error("a held letter hangs on the digest")
				}
			}
		})
	}
}

// TestDigestRefused: what becomes of the digest becomes of its letters.
func TestDigestRefused(t *testing.T) {
	t.Parallel()
	dead := &notify.SendError{Command: "RCPT", Code: 550, Enhanced: "5.1.1", Response: "no such user", Permanent: true}
	for name, c := range map[string]struct {
		answer   error
		times    int
		want     string
		waiting  casedb.Waiting
		suppress bool
	}{
		"unknown user": {dead, 1, "failed failed failed", casedb.WaitingBounce, true},
		"gave up":      {later, 9, "failed failed failed", casedb.WaitingFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "en")
			d.server.answers = []error{c.answer}
			for range c.times {
				d.atNine()
			}
			if d.states() != c.want || d.digests()[0].State != casedb.MessageFailed {
				t.Errorf("%s in a digest that is %s", d.states(), d.digests()[0].State)
			}
			for _, k := range d.cases {
				if got := d.getCase(k.ID).Waiting; got != c.waiting {
					t.Errorf("a case waits for %q", got)
				}
			}
			_, err := d.db.Suppression(t.Context(), "abuse@isp.example", d.clock.now())
			if suppressed := err == nil; suppressed != c.suppress {
				t.Errorf("suppressed: %v", err)
			}
		})
	}
}

// TestHeldLetterOutlivesItsDigest: a letter that was held while its digest waited
// is not lost with the digest's end.
func TestHeldLetterOutlivesItsDigest(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "ja")
	d.server.answers = []error{later, nil}
	d.atNine()
	m := d.letters()[0]
	d.tx(func(ctx context.Context, tx *casedb.Tx) error {
		if err := tx.HoldMessage(ctx, m.ID, m.Version, "taro", reason.Typed("wait"), d.clock.now()); err != nil {
			return err
		}
		return tx.Suppress(ctx, casedb.Suppression{Address: m.Recipient, Why: reason.Of(reason.Other, "another mail bounced"), CreatedAt: d.clock.now()})
	})
	d.atNine()
	if d.states() != "held failed failed" || d.digests()[0].State != casedb.MessageFailed {
		t.Fatalf("%s in a digest that is %s", d.states(), d.digests()[0].State)
	}
	m = d.getMessage(m.ID)
	d.tx(func(ctx context.Context, tx *casedb.Tx) error {
		if err := tx.LiftSuppression(ctx, m.Recipient, "taro", d.clock.now()); err != nil {
			return err
		}
		return tx.ApproveMessage(ctx, m.ID, m.Version, "taro", d.clock.now())
	})
	d.atNine()
	if d.states() != "sent failed failed" || len(d.server.mails) != 2 {
		t.Errorf("%s in %d mails", d.states(), len(d.server.mails))
	}
}

// answeredDesk is a desk whose digest went out, and its mail.
func answeredDesk(t *testing.T) (*desk, *post) {
	t.Helper()
	d := newDesk(t, "en")
	d.atNine()
	p := &post{world: d.world}
	in := notify.NewInboundServer(d.db, notify.InboundConfig{Tokens: d.composer.Tokens(), Accept: []string{"csirt"}, Now: d.clock.now})
	p.inbound, p.worker = listen(t, in), &notify.InboundWorker{DB: d.db, Tokens: d.composer.Tokens(), Now: d.clock.now}
	return d, p
}

// reply is a person's answer to the digest.
func (d *desk) reply(text string) string {
	m := d.digests()[0]
	return fmt.Sprintf("From: noc@isp.example\nTo: csirt@teiten.example\nSubject: Re: %s\nIn-Reply-To: <%s>\nMessage-ID: <1@isp.example>\n\n%s\n\n> %s\n",
		m.Subject, m.HeaderID, text, strings.ReplaceAll(m.Body, "\n", "\n> "))
}

// TestDigestBounces: all letters of a digest come back with it.
func TestDigestBounces(t *testing.T) {
	t.Parallel()
	d, p := answeredDesk(t)
	in := p.take("", d.server.mails[0].envelope.From, "From: MAILER-DAEMON@mx.isp.example\nSubject: Undelivered Mail\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"+
		"--b\nContent-Type: text/plain\n\nfailed\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.isp.example\n\n"+
		"Final-Recipient: rfc822; abuse@isp.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\n\n--b--\n")
	if !in.Trusted || d.states() != "bounced bounced bounced" || d.digests()[0].State != casedb.MessageBounced {
		t.Errorf("trusted: %v; %s in a digest that is %s", in.Trusted, d.states(), d.digests()[0].State)
	}
	for _, c := range d.cases {
		if got := d.getCase(c.ID); got.Waiting != casedb.WaitingBounce || !slices.Contains(d.events(c.ID), casedb.EventBounce) {
			t.Errorf("case %s waits for %q", c.Number, got.Waiting)
		}
	}
	health, err := d.db.ContactsHealth(t.Context(), []string{"abuse@isp.example"}, d.clock.now())
	if err != nil || health["abuse@isp.example"].Hard != 1 {
		t.Errorf("health %+v, %v", health, err)
	}
}

// TestDigestAnswered: a bounce is about every letter, a person's answer about
// the case it names, or waits to be filed.
func TestDigestAnswered(t *testing.T) {
	t.Parallel()
	t.Run("names a case", func(t *testing.T) {
		t.Parallel()
		d, p := answeredDesk(t)
		in := p.take("noc@isp.example", "csirt@teiten.example", d.reply("We cleaned the host of "+strings.ToLower(d.cases[1].Number)+"."))
		if in.CaseID == nil || *in.CaseID != d.cases[1].ID {
			t.Fatalf("the answer is of case %v", in.CaseID)
		}
		if c := d.getCase(d.cases[1].ID); c.State != casedb.CaseAnswered || c.Waiting != casedb.WaitingReply {
			t.Errorf("the case is %s and waits for %q", c.State, c.Waiting)
		}
		if c := d.getCase(d.cases[0].ID); c.State != casedb.CaseNotified {
			t.Errorf("another case is %s", c.State)
		}
	})
	t.Run("names none", func(t *testing.T) {
		t.Parallel()
		d, p := answeredDesk(t)
		in := p.take("noc@isp.example", "csirt@teiten.example", d.reply("We look into all of it."))
		waiting, err := d.db.UnmatchedInbound(t.Context(), 0, 10)
		if err != nil || in.CaseID != nil || len(waiting) != 1 || waiting[0].ID != in.ID {
			t.Fatalf("%d mails wait to be filed, %v", len(waiting), err)
		}
		d.tx(func(ctx context.Context, tx *casedb.Tx) error {
			return tx.FileInbound(ctx, in.ID, []int64{d.cases[2].ID, d.cases[0].ID, d.cases[2].ID}, "taro", d.clock.now())
		})
		for i, want := range []casedb.CaseState{casedb.CaseAnswered, casedb.CaseNotified, casedb.CaseAnswered} {
			if c := d.getCase(d.cases[i].ID); c.State != want {
				t.Errorf("case %d is %s", i, c.State)
			}
		}
		if waiting, err = d.db.UnmatchedInbound(t.Context(), 0, 10); err != nil || len(waiting) != 0 {
			t.Errorf("%d mails wait to be filed, %v", len(waiting), err)
		}
		err = d.db.InTx(t.Context(), func(tx *casedb.Tx) error {
			return tx.FileInbound(t.Context(), in.ID, []int64{d.cases[1].ID}, "taro", d.clock.now())
		})
		if !errors.Is(err, casedb.ErrState) {
			t.Errorf("filed twice: %v", err)
		}
	})
	t.Run("automatic", func(t *testing.T) {
		t.Parallel()
		d, p := answeredDesk(t)
		p.take("", d.server.mails[0].envelope.From, "From: noc@isp.example\nSubject: [isp.example #4711] received\nAuto-Submitted: auto-replied\n\nThank you for your mail.\n")
		for _, c := range d.cases {
			if !slices.Contains(d.events(c.ID), casedb.EventAutoReply) || d.getCase(c.ID).State != casedb.CaseNotified {
				t.Errorf("case %s: %v", c.Number, d.events(c.ID))
			}
		}
	})
	t.Run("to a letter in it", func(t *testing.T) {
		t.Parallel()
		d, p := answeredDesk(t)
		_, _, letters := inMail(t, d.server.mails[0].raw)
		to, err := mail.ParseAddress(letters[2].Header.Get("Reply-To"))
		if err != nil {
			t.Fatal(err)
		}
		if in := p.take("noc@isp.example", to.Address, "From: noc@isp.example\nSubject: Re: your report\n\nDone.\n"); in.CaseID == nil || *in.CaseID != d.cases[2].ID {
			t.Errorf("the answer is of case %v", in.CaseID)
		}
	})
}

// TestDigestIsEncrypted as a whole, with nothing of its letters outside.
func TestDigestIsEncrypted(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "ja")
	key, public := theirKey(t)
	d.exec(`update directory_entry set pgp_key = $1`, public)
	signing, ours := d.signedComposer("")
	d.sender.Composer = signing
	d.atNine()
	raw := d.server.mails[0].raw
	for _, secret := range []string{"192.0.2.", d.cases[0].Number, "evidence.csv"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("%s stands outside", secret)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var sealed []byte
	for range 2 {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if sealed, err = io.ReadAll(p); err != nil {
			t.Fatal(err)
		}
	}
	text, evidence, letters := inMail(t, open(t, key, ours, sealed))
	if text == "" || evidence == "" || len(letters) != 3 {
		t.Errorf("%d letters inside", len(letters))
	}
}

// TestDigestsInThePlan: the plan says when the digest leaves, and counts it as
// one mail.
func TestDigestsInThePlan(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "ja")
	d.sender.Limits = casedb.SendLimits{PerRecipientDay: 1}
	planner := notify.Planner{DB: d.db, Limits: d.sender.Limits, DigestAt: nine}
	plan, err := planner.Queue(t.Context(), 0, 10, d.clock.now())
	if err != nil || len(plan.Lines) != 3 {
		t.Fatalf("%d lines, %v", len(plan.Lines), err)
	}
	for _, l := range plan.Lines {
		if l.Delay.String() != "digest" || l.Decision.Action != notify.ActionSend || l.At.UTC().Format("2006-01-02 15:04") != "2026-11-21 00:00" {
			t.Errorf("%s at %s, waits for %q", l.Decision.Action, l.At, l.Delay)
		}
	}
	d.do(d.sender.Do) // which puts them off
	if again, err := planner.Queue(t.Context(), 0, 10, d.clock.now()); err != nil || again.Lines[0].Delay.String() != "digest" {
		t.Errorf("put off, it waits for %q, %v", again.Lines[0].Delay, err)
	}
	d.atNine()
	if len(d.server.mails) != 1 || d.states() != "sent sent sent" {
		t.Errorf("%d mails, %s", len(d.server.mails), d.states())
	}
	// Another letter the same day meets the address's limit.
	s := ispCase
	s.owner, s.sources = "Example Farm", []string{"192.0.2.90"}
	c, m := d.queued(s)
	d.exec(`update contact set directory_id = (select max(id) from directory_entry) where id = $1`, *c.ContactID)
	d.clock.advance(23 * time.Hour)
	d.do(d.sender.Do)
	if m = d.getMessage(m.ID); m.State != casedb.MessageQueued || len(d.server.mails) != 1 {
		t.Errorf("the limit of the address was passed: %s", m.State)
	}
}
