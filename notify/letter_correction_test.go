package notify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/reason"
	"teiten/notify"
)

// corrections returns the corrections of a case.
func (w *world) corrections(id int64) (list []casedb.Message) {
	w.t.Helper()
	all, err := w.db.CaseMessages(w.t.Context(), id, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range all {
		if m.Reason == casedb.ReasonCorrection {
			list = append(list, m)
		}
	}
	return list
}

// end ends the case as somebody would.
func (w *world) ended(id int64, how func(tx *casedb.Tx, c *casedb.Case) error) {
	w.t.Helper()
	err := w.db.InTx(w.t.Context(), func(tx *casedb.Tx) error {
		c, err := tx.LockCase(w.t.Context(), id)
		if err != nil {
			return err
		}
		return how(tx, &c)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ignore(id int64, why reason.List) {
	w.t.Helper()
	w.ended(id, func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.IgnoreCase(w.t.Context(), c, "taro", why, w.clock.now())
	})
}

// TestCorrection: after a false positive each address that got the accusation has a
// correction that waits, in the thread of the letter; nobody gets it before a
// coordinator approves, and nobody gets it twice.
func TestCorrection(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"ja", "en"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			p := newPost(t, notify.InboundConfig{})
			s := ispCase
			if language == "en" {
				s.owner, s.country, s.language, s.email = "Example Datacenter", "NL", "en", "abuse@dc.example"
			}
			c, letter := p.queued(s)
			box := p.sentBox()
			if !strings.EqualFold(box.EnvelopeTo, letter.Recipient) {
				t.Fatalf("sent to %s", box.EnvelopeTo)
			}
			p.ignore(c.ID, reason.Of(reason.Acknowledged, "Example Research Institute"))
			after, list := p.getCase(c.ID), p.corrections(c.ID)
			if after.State != casedb.CaseIgnored || after.Waiting != casedb.WaitingApproval || len(list) != 1 {
				t.Fatalf("case %s waits for %q with %d corrections", after.State, after.Waiting, len(list))
			}
			k := list[0]
			if k.State != casedb.MessageHeld || k.Recipient != letter.Recipient || k.InReplyTo != letter.HeaderID || k.Language != language || !k.HoldWhy.Has(reason.Correction) {
				t.Errorf("got %+v", k)
			}
			p.do(p.sender.Do)
			if got := p.getMessage(k.ID); got.State != casedb.MessageHeld {
				t.Errorf("without an approval it is %s", got.State)
			}
			d, err := p.composer.Preview(t.Context(), p.db, k, epoch)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "correction."+language+".txt", []byte(d.Subject+"\n\n"+d.Body))
			raw := string(d.Raw)
			if !strings.Contains(raw, "In-Reply-To: <"+letter.HeaderID+">") || !strings.Contains(raw, "Auto-Submitted: auto-generated") || d.CSV != nil {
				t.Errorf("header: %s", raw[:min(len(raw), 1500)])
			}
			approve := func(id int64) {
				t.Helper()
				m := p.getMessage(id)
				if err := p.db.InTx(t.Context(), func(tx *casedb.Tx) error { return tx.ApproveMessage(t.Context(), id, m.Version, "taro", p.clock.now()) }); err != nil {
					t.Fatal(err)
				}
			}
			approve(k.ID)
			if w := p.getCase(c.ID).Waiting; w != casedb.WaitingNone {
				t.Errorf("waits for %q after the approval", w)
			}
			if box = p.sentBox(); !strings.Contains(string(box.Raw), k.HeaderID) || p.getMessage(k.ID).State != casedb.MessageSent || p.getCase(c.ID).State != casedb.CaseIgnored {
				t.Errorf("the correction is %s, the case %s", p.getMessage(k.ID).State, p.getCase(c.ID).State)
			}
			// Opened again and ignored again: the letter is corrected already.
			p.ended(c.ID, func(tx *casedb.Tx, c *casedb.Case) error {
				return tx.ReopenCase(t.Context(), c, "taro", nil, p.clock.now())
			})
			p.ignore(c.ID, reason.Typed("x"))
			if n := len(p.corrections(c.ID)); n != 1 {
				t.Errorf("%d corrections of one letter", n)
			}
		})
	}
}

// TestCorrectionGoesToAllWhoWereTold: the owner and the provider, but nobody who was
// only to be told, whose mail came back, or who must not be written to.
func TestCorrectionGoesToAllWhoWereTold(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, letter := p.queued(ispCase)
	p.sentBox()
	for i, tt := range []struct {
		to     string
		state  string
		reason string
	}{{"abuse@provider.example", "sent", casedb.ReasonProvider}, {"cert@country.example", "sent", casedb.ReasonCSIRT}, {"gone@provider.example", "bounced", casedb.ReasonProvider},
		{"dead@provider.example", "sent", casedb.ReasonProvider}, {strings.ToUpper(letter.Recipient), "sent", casedb.ReasonStillActive}, {"over@provider.example", "sent", casedb.ReasonRecovered}} {
		if _, err := p.db.SQL().Exec(`insert into message (case_id, purpose, state, reason, recipient, language, message_id, token, created_at, sent_at)
			values ($1, 'notification', $2, $3, $4, 'en', $5, $6, $7, $7)`, c.ID, tt.state, tt.reason, tt.to, fmt.Sprintf("tt.%d@%s", i, domain), fmt.Sprint(i), epoch); err != nil {
			t.Fatal(err)
		}
	}
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.Suppress(ctx, casedb.Suppression{Address: "dead@provider.example", Why: reason.Typed("x"), CreatedAt: epoch})
	})
	p.ended(c.ID, func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.CloseMistaken(t.Context(), c, "taro", reason.Typed("x"), p.clock.now())
	})
	var to []string
	for _, k := range p.corrections(c.ID) {
		to = append(to, strings.ToLower(k.Recipient))
	}
	if want := []string{strings.ToLower(letter.Recipient), "abuse@provider.example", "cert@country.example"}; !slices.Equal(slices.Sorted(slices.Values(to)), slices.Sorted(slices.Values(want))) {
		t.Errorf("corrections to %q, want %q", to, want)
	}
	// Each is decided about; the case waits until the last.
	for i, k := range p.corrections(c.ID) {
		if w := p.getCase(c.ID).Waiting; w != casedb.WaitingApproval {
			t.Errorf("%d: waits for %q", i, w)
		}
		if err := p.db.InTx(t.Context(), func(tx *casedb.Tx) error {
			return tx.CancelMessage(t.Context(), k.ID, p.getMessage(k.ID).Version, "taro", reason.Typed("told by telephone"), p.clock.now())
		}); err != nil {
			t.Fatal(err)
		}
	}
	if w := p.getCase(c.ID).Waiting; w != casedb.WaitingNone {
		t.Errorf("waits for %q at the end", w)
	}
}

// TestNoCorrection: an ordinary end, and a case of which nobody was told.
func TestNoCorrection(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, _ := p.queued(ispCase)
	p.ignore(c.ID, reason.Typed("x")) // before the letter left
	s := ispCase
	s.owner, s.email, s.sources = "Example Datacenter", "abuse@dc.example", []string{"192.0.2.77"}
	other, _ := p.queued(s)
	p.sentBox()
	p.ended(other.ID, func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.CloseCase(t.Context(), c, "taro", nil, p.clock.now())
	})
	for _, id := range []int64{c.ID, other.ID} {
		if n, w := len(p.corrections(id)), p.getCase(id).Waiting; n != 0 || w != casedb.WaitingNone {
			t.Errorf("%d corrections, waits for %q", n, w)
		}
	}
}
