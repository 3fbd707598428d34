package notify_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
	"teiten/notify"
)

// everywhere returns the text of all rows of the tables that hold what mails say.
func (w *world) everywhere() (all string) {
	w.t.Helper()
	w.scan(`select coalesce((select string_agg(i::text || convert_from(i.raw, 'utf8'), ' ') from inbound i), '')
		|| coalesce((select string_agg(e::text, ' ') from case_event e), '')
		|| coalesce((select string_agg(k::text, ' ') from case_ticket k), '')`, &all)
	return all
}

// TestPurgedMailLeavesATombstone purges an owner's answer: nothing that its writer
// wrote is left in it or in the timeline, and who did it and why is.
func TestPurgedMailLeavesATombstone(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.do(p.sender.Do)
	m = p.getMessage(m.ID)
	to := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	in := p.take("hanako@isp.example", to, "From: Hanako <hanako@isp.example>\nReply-To: boss@isp.example\nMessage-ID: <secret-id@isp.example>\nSubject: Re: [Ticket#4711] secret subject\n\nA secret sentence.\n")
	if in.State != casedb.InboundProcessed || in.CaseID == nil {
		t.Fatalf("the mail is %s, in case %v", in.State, in.CaseID)
	}
	secrets := []string{"secret", "hanako@", "boss@", "4711"}
	for _, s := range secrets {
		if !strings.Contains(p.everywhere(), s) {
			t.Fatalf("%q is not stored, so the test shows nothing", s)
		}
	}
	purge := func(by string, why reason.List) (n int, err error) {
		err = p.db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
			n, err = tx.PurgeInbound(t.Context(), []int64{in.ID, 4711}, by, why, p.clock.now())
			return err
		})
		return n, err
	}
	if _, err := purge("", reason.Of(reason.PurgedRequest)); !errors.Is(err, casedb.ErrState) {
		t.Errorf("without a user: %v", err)
	}
	if n, err := purge("taro", reason.Of(reason.PurgedRequest)); n != 1 || err != nil {
		t.Fatalf("%d mails are purged, %v", n, err)
	}
	if n, err := purge("jiro", reason.Of(reason.PurgedUnwanted)); n != 0 || err != nil {
		t.Errorf("%d mails are purged twice, %v", n, err)
	}
	left := p.everywhere()
	for _, s := range secrets {
		if strings.Contains(left, s) {
			t.Errorf("%q is left in %s", s, left)
		}
	}
	var stone string
	p.scan(`select state || ' ' || class || ' ' || case_id || ' ' || purged_by || ' ' || purge_why::text from inbound`, &stone)
	if want := `purged human 1 taro [{"code": "purged-request"}]`; stone != want {
		t.Errorf("left is %q, want %q", stone, want)
	}
	if kinds := p.events(c.ID); !slices.Contains(kinds, casedb.EventReply) || kinds[len(kinds)-1] != casedb.EventNote {
		t.Errorf("events: %v", kinds)
	}
	if listed, err := p.db.CaseInbound(t.Context(), c.ID, 10); err != nil || len(listed) != 0 {
		t.Errorf("the purged mail can be answered: %+v, %v", listed, err)
	}
	// The timeline stays append-only, and no row is deleted.
	for _, statement := range []string{`update case_event set text = 'other' where kind = 'reply'`, `update case_event set text = '', actor = '-' where inbound_id is null`,
		`delete from case_event`, `delete from inbound`, `update inbound set purged_by = ''`, `update inbound set text = 'x'`} {
		if _, err := p.db.SQL().ExecContext(t.Context(), statement); err == nil {
			t.Errorf("the database lets %q through", statement)
		}
	}
}

// TestUnmatchedMailEnds: mail that belongs to no case is kept for its time, other
// mail for longer.
func TestUnmatchedMailEnds(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.do(p.sender.Do)
	to := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	old := p.take("a@x.example", "csirt@"+domain, "From: a@x.example\nSubject: old\n\nold\n")
	matched := p.take("hanako@isp.example", to, "From: hanako@isp.example\nSubject: answer\n\nanswer\n")
	p.clock.advance(100 * 24 * time.Hour)
	recent := p.take("a@x.example", "csirt@"+domain, "From: a@x.example\nSubject: recent\n\nrecent\n")
	p.clock.advance(81 * 24 * time.Hour)
	if inbox, err := p.db.CountInbox(t.Context()); err != nil || inbox.Unmatched != 2 {
		t.Fatalf("unmatched before: %+v, %v", inbox, err)
	}
	for _, want := range []int{1, 0} {
		n, err := p.db.ExpireInbound(t.Context(), p.clock.now().Add(-180*24*time.Hour), 10, p.clock.now())
		if err != nil || n != want {
			t.Errorf("%d mails are purged, want %d; %v", n, want, err)
		}
	}
	for id, want := range map[int64]casedb.InboundState{old.ID: casedb.InboundPurged, matched.ID: casedb.InboundProcessed, recent.ID: casedb.InboundProcessed} {
		in, err := p.db.Inbound(t.Context(), id)
		if err != nil || in.State != want {
			t.Errorf("mail %d is %s, want %s; %v", id, in.State, want, err)
		}
	}
	if inbox, err := p.db.CountInbox(t.Context()); err != nil || inbox.Unmatched != 1 {
		t.Errorf("unmatched after: %+v, %v", inbox, err)
	}
	p.tx(func(ctx context.Context, tx *casedb.Tx) error {
		if err := tx.FileInbound(ctx, old.ID, []int64{c.ID}, "taro", p.clock.now()); !errors.Is(err, casedb.ErrState) {
			t.Errorf("a purged mail can be filed: %v", err)
		}
		return nil
	})
}
