package casedb_test

import (
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// TestContactsHealth: answers that are matched to our mail count, forged bounces
// do not, and one address is counted together for all owners.
func TestContactsHealth(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	c, _, _ := openCase(t, db, sources)
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	mail := func(state string, recipient string, sent any) {
		exec(t, db, `insert into message (case_id, purpose, state, recipient, language, message_id, token, created_at, sent_at)
			select $1, 'notification', $2, $3, 'ja', 'm' || count(*), 't' || count(*), $4, $5 from message`, c.ID, state, recipient, noon, sent)
	}
	mail("sent", "Abuse@ISP.example", at(1))
	mail("bounced", "abuse@isp.example", at(2))
	mail("failed", "abuse@isp.example", nil)
	mail("sent", "other@isp.example", at(9))
	back := func(message int, class string, hard, trusted bool, h int) {
		exec(t, db, `insert into inbound (received_at, envelope_from, envelope_to, raw, state, next_attempt_at, class, hard, trusted, case_id, message_id, answers)
			values ($1, '', '', '', 'processed', $1, $2, $3, $4, $5, $6, $2::text = 'human')`, at(h), class, hard, trusted, c.ID, message)
	}
	back(2, "bounce", true, true, 3)
	back(2, "bounce", true, false, 4) // forged
	back(1, "bounce", false, true, 5)
	back(1, "human", false, false, 6)
	back(1, "autoreply", false, true, 7)
	back(1, "feedback", false, true, 8)
	back(4, "human", false, true, 8)
	exec(t, db, `insert into suppression (address, why, created_at) values ('abuse@isp.example', $2, $1)`, noon, reason.Of(reason.Other, "hard"))
	found, err := db.ContactsHealth(t.Context(), []string{"ABUSE@isp.example", "new@isp.example", "abuse@isp.example"}, at(10))
	if err != nil || len(found) != 2 {
		t.Fatalf("got %v, %v", found, err)
	}
	h := found["abuse@isp.example"]
	if h.Sent != 2 || !h.LastSent.Equal(at(2)) || h.Failed != 1 || h.Hard != 1 || h.Soft != 1 || !h.LastBounce.Equal(at(5)) ||
		h.Answered != 1 || !h.LastAnswer.Equal(at(6)) || h.AutoReplies != 1 || h.Complaints != 1 || h.Suppressed.String() != "other: hard" || h.SuppressedTo != nil {
		t.Errorf("got %+v", h)
	}
	if n := found["new@isp.example"]; !n.Untried() || n.Suppressed != nil {
		t.Errorf("got %+v", n)
	}
	exec(t, db, `update suppression set until = $1`, at(9))
	if found, _ = db.ContactsHealth(t.Context(), []string{"abuse@isp.example"}, at(10)); found["abuse@isp.example"].Suppressed != nil {
		t.Error("a suppression that has ended is shown")
	}

	// The owner's desk: mails of both directions, the newest first, in pages.
	var seen []casedb.OwnerMail
	for before := (casedb.OwnerMailCursor{}); ; {
		d, err := db.OwnerDesk(t.Context(), 1, before, 2)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, d.Mails...)
		if !d.More {
			if len(d.Cases) != 1 || len(d.Contacts) != 1 || d.Owner.Name != "Example" {
				t.Errorf("got %+v", d)
			}
			break
		}
		last := d.Mails[len(d.Mails)-1]
		before = casedb.OwnerMailCursor{At: last.At, Key: last.Key}
	}
	if len(seen) != 11 || !seen[0].At.Equal(at(9)) || seen[0].In {
		t.Errorf("got %d mails: %+v", len(seen), seen)
	}
	list, err := db.ListOwners(t.Context(), "abuse@ISP.example", casedb.OwnerCursor{}, 10)
	if err != nil || len(list) != 1 || list[0].Open != 1 || list[0].Cases != 1 {
		t.Errorf("owners: %+v, %v", list, err)
	}
	if list, err = db.ListOwners(t.Context(), "", casedb.OwnerCursor{Open: 1, ID: 1}, 10); err != nil || len(list) != 0 {
		t.Errorf("behind the last: %+v, %v", list, err)
	}
}
