package web_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

func TestLetterIsShownAndDecidedAbout(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	body := d.page("/cases/" + d.c.Number)
	draft := regexp.MustCompile(`(?s)<pre class="mailtext"[^>]*>(.*?)</pre>`).FindStringSubmatch(body)
	if draft == nil || !strings.Contains(draft[1], "192.0.2.9") || !strings.Contains(draft[1], "Example CSIRT") {
		t.Errorf("the letter is not shown as it goes out: %q", draft)
	}
	status, _ := d.actMessage("edit", "subject", "New subject", "body", "New\r\ntext")
	want(t, "edit", status, http.StatusSeeOther)
	m := d.message()
	want(t, "edited", []any{m.Subject, m.Body, m.Edited}, []any{"New subject", "New\ntext\n", true})
	if body := d.page("/cases/" + d.c.Number); !strings.Contains(body, "The mail was changed.") || !strings.Contains(body, "New subject") {
		t.Error("the page does not tell of the change")
	}
	status, page := d.actMessage("edit", "subject", "", "body", "kept <text>")
	want(t, "edit without subject", status, http.StatusUnprocessableEntity)
	if !strings.Contains(page, "kept &lt;text&gt;") || !strings.Contains(page, "Please fill this in.") {
		t.Error("what was typed is lost")
	}
	status, _ = d.actMessage("approve")
	want(t, "approve", status, http.StatusSeeOther)
	want(t, "approved", []any{d.message().State, d.message().ApprovedBy, d.state().State, d.state().Waiting, d.woke},
		[]any{casedb.MessageQueued, "taro", casedb.CaseOpen, casedb.WaitingNone, 1})
	status, _ = d.actMessage("approve")
	want(t, "approve twice", status, http.StatusConflict)
	status, _ = d.actMessage("hold", "reason", "look again")
	want(t, "hold", status, http.StatusSeeOther)
	want(t, "held", []any{d.message().State, d.message().HoldWhy.String(), d.state().Waiting}, []any{casedb.MessageHeld, "person: look again", casedb.WaitingApproval})
	for _, path := range []string{"/cases/" + d.c.Number, "/outgoing?view=held"} {
		letter, _, _ := strings.Cut(d.page(path), `<h2 id="h-contact">`)
		if !strings.Contains(letter, "look again") || strings.Contains(letter, "approved by") {
			t.Errorf("%s says that a held mail is approved, or not why it is held", path)
		}
	}
	status, _ = d.actMessage("cancel", "reason", "known")
	want(t, "cancel", status, http.StatusSeeOther)
	want(t, "canceled", d.message().State, casedb.MessageCanceled)
	status, _ = d.act("again")
	want(t, "again", status, http.StatusSeeOther)
	want(t, "written again", []any{d.message().State, d.message().Reason}, []any{casedb.MessageHeld, "again"})
	status, _ = d.act("again")
	want(t, "again while one is held", status, http.StatusConflict)
	status, _ = d.actMessage("burn")
	want(t, "unknown verb", status, http.StatusNotFound)
}

func TestSomebodyElseWasFaster(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	old := version(t, d.bundle, d.c)
	d.act("note", "text", "first")
	m := d.message()
	for path, pairs := range map[string][]string{
		"/cases/" + d.c.Number + "/note":                               {"version", old, "text", "typed <long> text"},
		"/cases/" + d.c.Number + "/close":                              {"version", old, "reason", "typed <long> text"},
		"/cases/" + d.c.Number + "/answer":                             {"version", old, "text", "typed <long> text"},
		"/cases/" + d.c.Number + "/contact":                            {"version", old, "why", "typed <long> text", "email", "new@isp.example"},
		fmt.Sprintf("/cases/%s/messages/%d/edit", d.c.Number, m.ID):    {"version", old, "message-version", "1", "subject", "s", "body", "typed <long> text"},
		fmt.Sprintf("/cases/%s/messages/%d/approve", d.c.Number, m.ID): {"version", old, "message-version", "1"},
	} {
		status, body, _ := d.post(path, pairs...)
		want(t, path, status, http.StatusConflict)
		if !strings.Contains(body, "Another user changed this case in the meantime") {
			t.Errorf("%s does not say so", path)
		}
		if !strings.HasSuffix(path, "approve") && !strings.Contains(body, "typed &lt;long&gt; text") {
			t.Errorf("%s loses what was typed", path)
		}
		if !strings.Contains(body, `name="version" value="`+version(t, d.bundle, d.c)+`"`) {
			t.Errorf("%s does not carry the new version", path)
		}
	}
	want(t, "message", d.message().State, casedb.MessageHeld)
	for _, bad := range []string{"", "x", "-1", "0"} {
		status, _, _ := d.post("/cases/"+d.c.Number+"/note", "version", bad, "text", "x")
		want(t, "version "+bad, status, http.StatusBadRequest)
	}
}

func TestMessageOfAnotherCase(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	other := addCase(t, d.db, 2, d.now)
	status, _, _ := d.post(fmt.Sprintf("/cases/%s/messages/%d/approve", d.c.Number, other.Message.ID), "version", "1", "message-version", "1")
	want(t, "approve", status, http.StatusNotFound)
	for _, path := range []string{"/cases/TT-1999-000001/note", "/cases/" + d.c.Number + "/messages/x/approve", "/cases/" + d.c.Number + "/messages/999/approve", "/cases/" + d.c.Number + "/explode"} {
		status, _, _ := d.post(path, "version", "1", "message-version", "1", "text", "x")
		want(t, path, status, http.StatusNotFound)
	}
}

func TestLetterIsBeingSent(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	shows := func() (sending, next bool) {
		body := d.page("/cases/" + d.c.Number)
		return strings.Contains(body, "being sent"), strings.Contains(body, "next attempt")
	}
	check := func(what string, sending, next bool) {
		t.Helper()
		s, n := shows()
		want(t, what, []bool{s, n}, []bool{sending, next})
	}
	check("held", false, false)
	d.actMessage("approve")
	check("approved", true, false)
	m := d.message()
	exec(t, d.db, `update message set attempts = 1, next_attempt_at = $2 where id = $1`, m.ID, d.now.Add(7*time.Minute))
	exec(t, d.db, `insert into message_attempt (message_id, n, started_at, outcome) values ($1, 1, $2, 'delivering')`, m.ID, d.now)
	check("under way", true, false)
	exec(t, d.db, `update message_attempt set outcome = 'temporary', finished_at = $1`, d.now)
	check("tried again later", false, true)
}

// TestAnswersToTheSuppressed: who would write to an address that no mail goes
// to is told before, and refused with what was written.
func TestAnswersToTheSuppressed(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "abuse1@isp.example", Subject: "Re: x", Text: "Which host?",
		MatchedBy: casedb.MatchedByToken, HeaderID: "r1@isp.example"})
	warning := "No mail is sent to these addresses"
	if body := d.page("/cases/" + d.c.Number); strings.Contains(body, warning) {
		t.Error("the page warns of an address that gets mail")
	}
	inTx(t, d.db, func(tx *casedb.Tx) error {
		return tx.Suppress(context.Background(), casedb.Suppression{Address: "abuse1@isp.example", Why: reason.Of(reason.MailBounced, "550 no such user", "5.1.1"), CreatedAt: d.now})
	})
	body := d.page("/cases/" + d.c.Number)
	if !strings.Contains(body, warning) || strings.Count(body, "abuse1@isp.example (no mail)") != 2 {
		t.Error("the page does not warn")
	}
	last := d.message().ID
	status, body := d.act("answer", "text", "words that took an hour")
	want(t, "answer", status, http.StatusUnprocessableEntity)
	if !strings.Contains(body, "would not go out") || !strings.Contains(body, "words that took an hour") {
		t.Error("the page does not say why not, or has lost the words")
	}
	want(t, "last message", d.message().ID, last)
	if body = d.page("/cases/" + d.c.Number + "?lang=ja"); !strings.Contains(body, "不達: 550 no such user (5.1.1)") {
		t.Error("the reason is not in Japanese")
	}
}
