package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"teiten/internal/casedb"
)

// replyArrives lets a person of the owner write to the case.
func (d *desk) replyArrives(id string) {
	d.t.Helper()
	arrive(d.t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "abuse1@isp.example", Subject: "Re: x", Text: "Which host?",
		MatchedBy: casedb.MatchedByToken, HeaderID: id})
}

func (d *desk) seen(what string, wants casedb.Waiting) {
	d.t.Helper()
	status, _ := d.act("seen")
	want(d.t, what+": seen", status, http.StatusSeeOther)
	want(d.t, what+": waits for", d.state().Waiting, wants)
}

// TestSeenClearsOnlyWhatWasSeen: a case waits for one thing at a time, and the
// reply that came later stood before the letter that is held.
func TestSeenClearsOnlyWhatWasSeen(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.replyArrives("r1@isp.example")
	want(t, "a reply comes first", d.state().Waiting, casedb.WaitingReply)
	d.seen("reply to a held letter", casedb.WaitingApproval)
	if !strings.Contains(d.page("/cases?view=approval"), d.c.Number) {
		t.Error("the held letter is in no queue")
	}
	if strings.Contains(d.page("/cases/"+d.c.Number), "/seen") {
		t.Error("the page offers to mark a held letter as seen")
	}
	status, _ := d.act("seen")
	want(t, "a held letter is decided about, not seen", []any{status, d.state().Waiting}, []any{http.StatusConflict, casedb.WaitingApproval})

	// A complaint and a reply: either is seen on its own.
	d.actMessage("cancel", "reason", "not now")
	want(t, "decided", d.state().Waiting, casedb.WaitingNone)
	d.replyArrives("r2@isp.example")
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundFeedback, CaseID: &d.c.ID, Sender: "fbl@isp.example", Text: "spam"})
	want(t, "the complaint comes first", d.state().Waiting, casedb.WaitingAttention)
	d.seen("complaint", casedb.WaitingReply)
	d.seen("reply", casedb.WaitingNone)
}

func TestSeenLeavesACaseWithoutContactInTheQueue(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("cancel", "reason", "nobody to write to")
	exec(t, d.db, `update cases set contact_id = null, waiting = 'contact', waiting_since = $2 where id = $1`, d.c.ID, d.now)
	if strings.Contains(d.page("/cases/"+d.c.Number), "/seen") {
		t.Error("the page offers to mark a missing contact as seen")
	}
	status, _ := d.act("seen")
	want(t, "seen", []any{status, d.state().Waiting}, []any{http.StatusConflict, casedb.WaitingContact})
	d.replyArrives("r1@isp.example")
	d.seen("reply without a contact", casedb.WaitingContact)
}

func TestAnswerLeavesAHeldLetterInTheQueue(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.replyArrives("r1@isp.example")
	id := one[string](t, d.db, `select id::text from inbound where class = 'human'`)
	status, _ := d.act("answer", "inbound", id, "text", "192.0.2.9")
	want(t, "answer", []any{status, d.state().Waiting}, []any{http.StatusSeeOther, casedb.WaitingApproval})
}

// TestDecidingLeavesAReply: a letter that was held after a reply came stood before
// it.
func TestDecidingLeavesAReply(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"approve", "cancel"} {
		d := atCase(t)
		d.actMessage("approve")
		d.replyArrives("r1@isp.example")
		d.actMessage("hold", "reason", "look again")
		want(t, "held", d.state().Waiting, casedb.WaitingApproval)
		status, _ := d.actMessage(verb, "reason", "")
		want(t, verb, []any{status, d.state().Waiting}, []any{http.StatusSeeOther, casedb.WaitingReply})
	}
}

// TestSeenKeepsAFailureBehindAReply: the letter never arrived, whatever a
// person wrote since.
func TestSeenKeepsAFailureBehindAReply(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	m := d.message()
	inTx(t, d.db, func(tx *casedb.Tx) error {
		c, err := tx.LockCase(context.Background(), d.c.ID)
		if err != nil {
			return err
		}
		return tx.FailDue(context.Background(), m, &c, casedb.WaitingFailed, nil, d.now)
	})
	want(t, "failed", d.state().Waiting, casedb.WaitingFailed)
	d.replyArrives("r1@isp.example")
	d.seen("reply", casedb.WaitingFailed)
	d.seen("failure", casedb.WaitingNone)
	d.replyArrives("r2@isp.example")
	d.seen("a failure is seen once", casedb.WaitingNone)
}
