package notify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

// TestThePlanIsWhatHappens predicts a queue that meets every limit and the
// night, and then lets the sender do it: each mail goes at the predicted time.
func TestThePlanIsWhatHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 14 {
		s := ispCase
		s.owner, s.email = fmt.Sprintf("owner %d", i), fmt.Sprintf("abuse%d@net%d.example", i%5, i%3)
		s.sources = []string{fmt.Sprintf("192.0.2.%d", 10+i)}
		if i%4 == 0 {
			s.country = "DE"
		}
		c, m := w.queued(s)
		w.exec(`update message set next_attempt_at = next_attempt_at + $2 * interval '7 minutes' where id = $1`, m.ID, i%6)
		if i%6 == 0 {
			w.exec(`update message set approved_by = 'coordinator', approved_at = $2 where id = $1`, m.ID, epoch)
		}
		w.exec(`insert into network (owner_id, first_address, last_address, asn, raw, fetched_at, expires_at)
			values ($1, $2::inet, $2::inet, $3, '', $4, $4)`, c.OwnerID, s.sources[0], 64500+i%2, epoch)
		w.exec(`update source set network_id = (select max(id) from network) where address = $1`, s.sources[0])
	}
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	sender.Limits = casedb.SendLimits{PerHour: 3, PerRecipientDay: 2, PerDomainDay: 3, PerASDay: 5}
	sender.Quiet = notify.QuietHours{From: 19 * time.Hour, To: 7 * time.Hour}
	planner := notify.Planner{DB: w.db, Limits: sender.Limits, Quiet: sender.Quiet}
	plan, err := planner.Queue(t.Context(), 0, 100, w.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Lines) != 14 || plan.Queued != 14 || plan.More {
		t.Fatalf("%d of %d mails are planned", len(plan.Lines), plan.Queued)
	}
	delays := map[string]int{}
	for i, line := range plan.Lines {
		if line.Decision.Action != notify.ActionSend {
			t.Fatalf("message %d: %+v", line.Message.ID, line.Decision)
		}
		delays[line.Delay.String()]++
		if line.At.After(w.clock.now()) {
			w.do(sender.Do) // nothing before its time
			w.clock.advance(line.At.Add(-2 * time.Second).Sub(w.clock.now()))
			w.do(sender.Do)
			w.clock.advance(line.At.Sub(w.clock.now()))
		}
		w.do(sender.Do)
		var due int
		w.scan(`select count(*) from message where state = 'sent'`, &due)
		planned := 0
		for _, other := range plan.Lines {
			if !other.At.After(line.At) {
				planned++
			}
		}
		if m := w.getMessage(line.Message.ID); m.State != casedb.MessageSent || !m.SentAt.Equal(line.At) || due != planned {
			t.Fatalf("line %d, message %d: %s at %v, planned at %s because of %q; %d sent, %d planned", i, m.ID, m.State, m.SentAt, line.At, line.Delay, due, planned)
		}
	}
	for _, delay := range []string{"", "quiet-hours", "limit-hour", "limit-domain", "limit-as"} {
		if delays[delay] == 0 {
			t.Errorf("nothing is delayed by %q: %v", delay, delays)
		}
	}
}

// TestThePlanKnowsWhatWaitsAfterAFailure: the mail itself, and its domain.
func TestThePlanKnowsWhatWaitsAfterAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := startServer(t, &testServer{rcpt: func(string) error {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "come back later"}
	}})
	w.queued(ispCase)
	w.do(w.sender(server.transport()).Do)
	s := ispCase
	s.owner, s.email, s.sources = "another", "noc@isp.example", []string{"192.0.2.30"}
	w.queued(s)
	s.owner, s.email, s.sources = "a third", "abuse@other.example", []string{"192.0.2.31"}
	w.queued(s)
	planner := notify.Planner{DB: w.db}
	plan, err := planner.Queue(t.Context(), 0, 10, w.clock.now())
	if err != nil || len(plan.Lines) != 3 {
		t.Fatalf("%d lines, %v", len(plan.Lines), err)
	}
	delays := map[string]string{}
	for _, l := range plan.Lines {
		delays[l.Message.Recipient] = l.Delay.String()
		if waits := l.At.After(w.clock.now()); waits != (len(l.Delay) > 0) {
			t.Errorf("%s at %s because of %q", l.Message.Recipient, l.At, l.Delay)
		}
	}
	if delays[ispCase.email] == "" || delays["noc@isp.example"] != "back-off" || delays["abuse@other.example"] != "" {
		t.Errorf("delays: %v", delays)
	}
}

// TestThePlanSaysWhyAndChangesNothing shows every kind of decision, page by
// page, and that looking leaves no trace.
func TestThePlanSaysWhyAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	queue := func(i int, change func(*spec)) casedb.Message {
		s := ispCase
		s.owner, s.email, s.sources = fmt.Sprintf("owner %d", i), fmt.Sprintf("abuse@net%d.example", i), []string{fmt.Sprintf("192.0.2.%d", 10+i)}
		if change != nil {
			change(&s)
		}
		_, m := w.queued(s)
		w.clock.advance(time.Second)
		return m
	}
	queue(0, nil)
	queue(1, func(s *spec) { s.rule = "mirai" })
	closed := queue(2, nil)
	w.exec(`update cases set state = 'closed', closed_at = $2 where id = $1`, *closed.CaseID, epoch)
	queue(3, nil)
	w.exec(`insert into suppression (address, why, created_at) values ('abuse@net3.example', '[{"code":"other","args":["user unknown"]}]', $1)`, epoch)
	w.rule("slammer", casedb.RuleApproveOnce)
	queue(4, func(s *spec) { s.rule = "slammer" })
	held := ispCase
	held.owner, held.email, held.sources = "held", "held@isp.example", []string{"192.0.2.99"}
	m := w.message(w.openCase(held), held, casedb.MessageHeld)
	w.exec(`update message set hold_why = '[{"code":"contact-approval"}]' where id = $1`, m.ID)

	trace := func() (s string) {
		w.scan(`select string_agg(format('%s %s %s %s', id, state, version, next_attempt_at), E'\n' order by id) || (select count(*) from case_event)
			|| (select count(*) from message_attempt) from message`, &s)
		return s
	}
	before := trace()
	planner := notify.Planner{DB: w.db}
	var got []string
	for skip := range 6 {
		plan, err := planner.Queue(t.Context(), skip, 1, w.clock.now())
		if err != nil || plan.Queued != 5 {
			t.Fatalf("page %d: %+v, %v", skip, plan, err)
		}
		for _, l := range plan.Lines {
			got = append(got, fmt.Sprintf("%s %s: %s", l.Message.Recipient, l.Decision.Action, l.Decision.Why))
		}
	}
	lines, err := planner.Held(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%s %s: %s", l.Message.Recipient, l.Decision.Action, l.Decision.Why))
	}
	want := []string{"abuse@net0.example send: ", "abuse@net1.example hold: rule-holds", "abuse@net2.example cancel: case-closed",
		"abuse@net3.example fail: suppressed; other: user unknown", "abuse@net4.example hold: rule-first",
		"held@isp.example hold: contact-approval"}
	if !slices.Equal(got, want) {
		t.Errorf("planned\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if after := trace(); after != before {
		t.Errorf("the plan changed\n%s\nto\n%s", before, after)
	}
	if lines, err = planner.Held(t.Context(), m.ID, 10); err != nil || len(lines) != 0 {
		t.Errorf("after the last: %v, %v", lines, err)
	}
}
