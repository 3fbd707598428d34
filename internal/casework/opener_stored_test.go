package casework_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"teiten/internal/casedb"
)

func TestSampleBecomesCases(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10", "192.0.2.11", "192.0.2.20", "192.0.2.70", "192.0.2.80", "192.0.2.140", "192.0.2.200", "2001:db8:1::5")
	if n := d.open(); n != 7 {
		t.Errorf("%d sources joined, want 7", n)
	}
	d.want(casesText, "Example IPv6 Network new approval ja abuse@v6.example sources=1\n"+
		"Example Internet Service (Japan) new approval ja abuse@isp.example sources=3\n"+
		"Example Trading new contact ja - sources=1\n"+
		"Example University new approval ja abuse@university.example sources=2")
	d.want(`select string_agg(format('%s %s %s [%s] %s', state, reason, recipient, coalesce(hold_why->0->>'code', ''), language), E'\n' order by recipient) from message`,
		"held first abuse@isp.example [rule-holds] ja\nheld first abuse@university.example [contact-approval] ja\nheld first abuse@v6.example [rule-holds] ja")
	d.want(`select count(*)::text from network`, "5")
	d.want(`select string_agg(distinct actor, ' ') from case_event`, "rule worm445")
	if n := d.open(); n != 0 {
		t.Errorf("%d sources joined again", n)
	}
	d.want(`select count(*)::text from cases`, "4")
}

func TestTwoOpenersOpenOneCase(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10")
	if n, err := d.opener.Do(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	d.work() // the networks are known
	for i := 11; i < 40; i++ {
		d.see(fmt.Sprintf("192.0.2.%d", i))
	}
	if _, err := d.opener.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.exec(`update source set network_id = (select id from network)`)
	d.exec(`truncate case_event, message_attempt, case_source, message, inbound, suppression, cases cascade`)
	var wg sync.WaitGroup
	var total atomic.Int64
	for range 8 {
		wg.Go(func() {
			n, err := d.opener.Do(context.Background())
			if err != nil {
				t.Error(err)
			}
			total.Add(int64(n))
		})
	}
	wg.Wait()
	if total.Load() != 30 {
		t.Errorf("%d sources joined, want 30", total.Load())
	}
	d.want(casesText, "Example Internet Service (Japan) new approval ja abuse@isp.example sources=30")
	d.want(messagesText, "held first abuse@isp.example [rule-holds] ja")
	d.want(`select count(*)::text from case_event where kind = 'opened'`, "1")
}

func TestOpenerAutomatic(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10", "192.0.2.70", "192.0.2.140")
	d.open()
	d.want(casesText, "Example Internet Service (Japan) open  ja abuse@isp.example sources=1\nExample Trading new contact ja - sources=1\n"+
		"Example University new approval ja abuse@university.example sources=1")
	d.want(`select string_agg(format('%s %s [%s] %s', state, recipient, coalesce(hold_why->0->>'code', ''), next_attempt_at is not null), E'\n' order by recipient) from message`,
		"queued abuse@isp.example [] t\nheld abuse@university.example [contact-approval] f")
	// Sent; the next day's second source waits for the day to end.
	d.exec(`update message set state = 'sent', sent_at = $1, next_attempt_at = null where state = 'queued'`, d.now)
	d.exec(`update cases set state = 'notified' where state = 'open'`)
	d.now = d.now.Add(2 * time.Hour)
	d.see("192.0.2.11")
	d.open()
	d.see("192.0.2.12")
	d.open()
	d.want(`select format('%s %s %s', state, reason, next_attempt_at - $$2026-11-20T12:00:00Z$$::timestamptz) from message where reason = 'new-sources'`,
		"queued new-sources 1 day")
	d.want(`select format('%s %s', state, waiting) from cases where state = 'notified'`, "notified ")
	d.want(`select count(*)::text from message`, "3")
}

func TestOpenerHoldsWhereACoordinatorIsAtIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.see("192.0.2.10")
	d.open()
	d.exec(`update message set state = 'sent', sent_at = $1, next_attempt_at = null`, d.now)
	d.exec(`update cases set state = 'answered', waiting = 'reply', waiting_since = $1`, d.now)
	d.see("192.0.2.11")
	d.open()
	d.want(messagesText, "sent first abuse@isp.example [] ja\nheld new-sources abuse@isp.example [case-waits] ja")
	d.want(`select format('%s %s', state, waiting) from cases`, "answered reply")
}

func TestOpenerSkipsSuppressedContact(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.exec(`insert into suppression (address, why, created_at) values ('abuse@isp.example', '[{"code":"other","args":["bounced"]}]', $1), ('abuse@v6.example', '[{"code":"other","args":["bounced"]}]', $1), ('ops@v6.example', '[{"code":"other","args":["bounced"]}]', $1)`, d.now)
	d.see("192.0.2.10", "2001:db8::1")
	d.open()
	d.want(casesText, "Example IPv6 Network new contact ja - sources=1\nExample Internet Service (Japan) new approval ja noc@isp.example sources=1")
	d.want(messagesText, "held first noc@isp.example [contact-by-hand] ja")
	// With an address again, the next source brings the case its message.
	d.exec(`update suppression set lifted_at = $1 where address = 'abuse@v6.example'`, d.now)
	d.see("2001:db8::2")
	d.open()
	d.want(`select format('%s %s', c.waiting, m.recipient) from cases c join message m on m.case_id = c.id where m.recipient = 'abuse@v6.example'`,
		"approval abuse@v6.example")
}

func TestOpenerAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		end   string
		later time.Duration
		want  string
	}{
		{"closed", 0, "1"}, {"closed", time.Hour, "2"},
		{"ignored", time.Hour, "1"}, {"ignored", 31 * 24 * time.Hour, "2"},
	} {
		t.Run(fmt.Sprint(tt.end, tt.later), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.see("192.0.2.10")
			d.open()
			err := d.db.InTx(t.Context(), func(tx *casedb.Tx) error {
				c, err := tx.LockCase(t.Context(), 1)
				if err != nil {
					return err
				}
				if tt.end == "closed" {
					return tx.CloseCase(t.Context(), &c, "test", nil, d.now)
				}
				return tx.IgnoreCase(t.Context(), &c, "test", nil, d.now)
			})
			if err != nil {
				t.Fatal(err)
			}
			d.now = d.now.Add(tt.later)
			d.see("192.0.2.10")
			d.open()
			d.want(`select count(*)::text from cases`, tt.want)
		})
	}
}

func TestOpenerLeavesOut(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"contradiction":        `update verdict set attention = 'mirai and acknowledged', tell = false`,
		"another kind":         `update verdict set kind = 'scanner'`,
		"superseded":           `update verdict set superseded_at = now()`,
		"seen long ago":        `update verdict set last_at = last_at - interval '15 days'`,
		"network expired":      `update network set expires_at = fetched_at - interval '1 day'`,
		"network superseded":   `update network set superseded_at = fetched_at`,
		"outside constituency": `update network set country = 'KR'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.see("192.0.2.10")
			if _, err := d.opener.Do(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.work()
			d.exec(spoil)
			if n, err := d.opener.Do(t.Context()); n != 0 || err != nil {
				t.Errorf("%d joined, %v", n, err)
			}
			d.want(`select count(*)::text from cases`, "0")
		})
	}
	t.Run("prefix inside", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		d.opener.Countries, d.opener.Prefixes = nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.192/27")}
		d.see("192.0.2.10", "192.0.2.200", "192.0.2.250")
		d.open()
		d.want(`select string_agg(host(source), ' ') from case_source`, "192.0.2.200")
	})
}

func TestOpenerIsAllOrNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10")
	if _, err := d.opener.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.work()
	d.exec(`create function refuse() returns trigger language plpgsql as $f$ begin raise exception 'no'; end $f$`)
	d.exec(`create trigger refuse before insert on message for each row execute function refuse()`)
	if n, err := d.opener.Do(t.Context()); err == nil || n != 0 {
		t.Errorf("%d joined, error %v", n, err)
	}
	d.want(`select format('%s %s %s', (select count(*) from cases), (select count(*) from case_source), (select count(*) from case_event))`, "0 0 0")
	d.exec(`drop trigger refuse on message`)
	d.open()
	d.want(`select format('%s %s', (select number from cases), (select count(*) from message))`, "TT-2026-000001 1")
	if strings.Contains(d.row(`select message_id from message`), "@") != true {
		t.Error("no Message-ID")
	}
}

// TestSourcesThatJoinDuringRetriesAreTold: the words of a letter are settled
// by its first attempt, or by a coordinator; who joins later gets the next.
func TestSourcesThatJoinDuringRetriesAreTold(t *testing.T) {
	t.Parallel()
	for _, edited := range []bool{false, true} {
		t.Run(fmt.Sprint(edited), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.automatic()
			d.see("192.0.2.10")
			d.open()
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error {
				if edited {
					return tx.EditMessage(ctx, 1, 1, "subject", "text", "test", d.now)
				}
				return d.attempt(ctx, tx, casedb.AttemptTemporary)
			})
			d.see("192.0.2.11")
			if n := d.open(); n != 1 {
				t.Errorf("%d sources joined, want 1", n)
			}
			d.now = d.now.Add(10 * time.Minute)
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
			d.want(`select string_agg(host(source), ' ') from message_source where message_id = 1`, "192.0.2.10")
			if n := d.open(); n != 0 {
				t.Errorf("%d sources joined again", n)
			}
			d.want(messagesText, "sent first abuse@isp.example [] ja\nqueued new-sources abuse@isp.example [] ja")
			d.now = d.now.Add(25 * time.Hour)
			d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return d.attempt(ctx, tx, casedb.AttemptSent) })
			d.want(`select string_agg(host(source), ' ' order by source) from message_source where message_id = 2`, "192.0.2.10 192.0.2.11")
			d.open()
			d.want(`select count(*)::text from message`, "2")
		})
	}
}

// TestCanceledMessagesAreNotWrittenAgain: a coordinator who cancels a message
// has decided about every source of the case.
func TestCanceledMessagesAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10", "192.0.2.11")
	d.open()
	d.inTx(func(ctx context.Context, tx *casedb.Tx) error { return tx.CancelMessage(ctx, 1, 1, "test", nil, d.now) })
	d.see("192.0.2.10")
	d.open()
	d.want(messagesText, "canceled first abuse@isp.example [rule-holds] ja")
	d.see("192.0.2.12")
	d.open()
	d.want(`select count(*)::text from message`, "2")
}
