package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/notify"

	"teiten/internal/reason"
)

// desk is a coordinator at a case.
type desk struct {
	*bundle
	c sampleCase
}

func atCase(t *testing.T) *desk {
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "en")
	return &desk{b, addCase(t, b.db, 1, b.now)}
}

// do posts a change with the versions as they are.
func (d *desk) act(verb string, pairs ...string) (int, string) {
	d.t.Helper()
	status, body, _ := d.post("/cases/"+d.c.Number+"/"+verb, append([]string{"version", version(d.t, d.bundle, d.c)}, pairs...)...)
	return status, body
}

func (d *desk) actMessage(verb string, pairs ...string) (int, string) {
	d.t.Helper()
	m := d.message()
	status, body, _ := d.post(fmt.Sprintf("/cases/%s/messages/%d/%s", d.c.Number, m.ID, verb),
		append([]string{"version", version(d.t, d.bundle, d.c), "message-version", fmt.Sprint(m.Version)}, pairs...)...)
	return status, body
}

// message is the case's newest message.
func (d *desk) message() casedb.Message {
	d.t.Helper()
	list, err := d.db.CaseMessages(context.Background(), d.c.ID, 10)
	if err != nil || len(list) == 0 {
		d.t.Fatalf("messages: %v, %d", err, len(list))
	}
	return list[len(list)-1]
}

func (d *desk) state() casedb.Case {
	d.t.Helper()
	c, err := d.db.Case(context.Background(), d.c.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestLongTextsAreRefusedAndKept(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	note := strings.Repeat("記", 20_000)
	status, _ := d.act("note", "text", note)
	want(t, "longest note", status, http.StatusSeeOther)
	want(t, "kept whole", one[string](t, d.db, `select text from case_event where kind = 'note'`) == note, true)
	for _, test := range []struct{ verb, field, text string }{
		{"note", "text", note + "録"}, {"answer", "text", strings.Repeat("x", 200_001)}, {"close", "reason", strings.Repeat("x", 2001)},
		{"ignore", "reason", strings.Repeat("x", 2001)}, {"contact", "why", strings.Repeat("x", 2001)},
	} {
		status, body := d.act(test.verb, test.field, test.text)
		want(t, test.verb, status, http.StatusUnprocessableEntity)
		if !strings.Contains(body, "This text is too long.") || !strings.Contains(body, test.text) {
			t.Errorf("%s: the error is not shown or the text is lost", test.verb)
		}
	}
	long := strings.Repeat("文", 66_667)
	status, body := d.actMessage("edit", "subject", "s", "body", long)
	want(t, "letter", status, http.StatusUnprocessableEntity)
	if !strings.Contains(body, long) {
		t.Error("the letter is lost")
	}
	status, _ = d.actMessage("edit", "subject", strings.Repeat("s", 501), "body", "b")
	want(t, "subject", status, http.StatusUnprocessableEntity)
	want(t, "notes", one[int](t, d.db, `select count(*) from case_event where kind = 'note'`), 1)
	want(t, "message", []any{d.message().Edited, d.state().State}, []any{false, casedb.CaseNew})
}

func TestCaseIsClosedAndReopened(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	status, body := d.act("ignore", "reason", "")
	want(t, "ignore without reason", status, http.StatusUnprocessableEntity)
	if !strings.Contains(body, "Please enter a reason.") {
		t.Error("no line says what is missing")
	}
	status, _ = d.act("close", "reason", "all clean")
	want(t, "close", status, http.StatusSeeOther)
	want(t, "closed", []any{d.state().State, d.state().Waiting, d.message().State}, []any{casedb.CaseClosed, casedb.WaitingNone, casedb.MessageCanceled})
	status, _ = d.act("again")
	want(t, "mail for a closed case", status, http.StatusConflict)
	status, _ = d.act("seen")
	want(t, "seen while it does not wait", status, http.StatusConflict)
	status, _ = d.act("reopen", "reason", "again infected")
	want(t, "reopen", status, http.StatusSeeOther)
	want(t, "reopened", d.state().State, casedb.CaseOpen)
	status, _ = d.act("again", "release", "1")
	want(t, "again at once", status, http.StatusSeeOther)
	want(t, "released", []any{d.message().State, d.message().ApprovedBy}, []any{casedb.MessageQueued, "taro"})
	status, _ = d.act("ignore", "reason", "a test of theirs")
	want(t, "ignore", status, http.StatusSeeOther)
	want(t, "ignored", d.state().State, casedb.CaseIgnored)
}

func TestReplyIsAnswered(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "abuse1@isp.example", Subject: "Re: x", Text: "Which host?",
		MatchedBy: casedb.MatchedByToken, HeaderID: "r1@isp.example"})
	want(t, "waits", []any{d.state().State, d.state().Waiting}, []any{casedb.CaseAnswered, casedb.WaitingReply})
	body := d.page("/cases/" + d.c.Number)
	id := regexp.MustCompile(`<option value="([0-9]+)">abuse1@isp.example: Re: x`).FindStringSubmatch(body)
	if id == nil {
		t.Fatal("the reply cannot be chosen")
	}
	status, _ := d.act("answer", "inbound", id[1], "text", "  ")
	want(t, "empty answer", status, http.StatusUnprocessableEntity)
	status, _ = d.act("answer", "inbound", id[1], "text", "192.0.2.9")
	want(t, "answer", status, http.StatusSeeOther)
	m := d.message()
	want(t, "answered", []any{m.Purpose, m.State, m.Recipient, m.InReplyTo, d.state().Waiting},
		[]any{casedb.PurposeAnswer, casedb.MessageQueued, "abuse1@isp.example", "r1@isp.example", casedb.WaitingNone})
	status, _ = d.act("answer", "inbound", "999", "text", "x")
	want(t, "answer to nothing", status, http.StatusNotFound)
}

func TestUnverifiedMailIsMarked(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "trap@elsewhere.example", Subject: "Re: x", Text: "Send it here.",
		MatchedBy: casedb.MatchedBySubject, HeaderID: "r1@elsewhere.example"})
	exec(t, d.db, `update inbound set raw = $1`, []byte("Reply-To: trap@elsewhere.example\r\nFrom: Mallory <mallory@elsewhere.example>\r\nSubject: Re: x\r\n\r\nSend it here.\r\n"))
	body := d.page("/cases/" + d.c.Number)
	for _, text := range []string{`<option value="" selected>abuse1@isp.example</option>`, ">unverified: trap@elsewhere.example: Re: x</option>",
		`>unverified</span> <span class="small wrap">From: Mallory &lt;mallory@elsewhere.example&gt;</span>`} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	if ja := d.page("/cases/" + d.c.Number + "?lang=ja"); !strings.Contains(ja, "差出人未確認") {
		t.Error("the Japanese page does not mark it")
	}
	d.get("/cases?lang=en")
	exec(t, d.db, `update inbound set matched_by = 'token'`)
	if body := d.page("/cases/" + d.c.Number); strings.Contains(body, "unverified") || !strings.Contains(body, `<option value="" selected>abuse1@isp.example</option>`) {
		t.Error("a mail with our token is marked, or chosen before the contact")
	}
}

func TestAllowlistEntryIsEnded(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	inTx(t, d.db, func(tx *casedb.Tx) error {
		_, err := tx.AddScanner(context.Background(), casedb.Scanner{Prefix: casedb.Prefix{Prefix: netip.MustParsePrefix("192.0.2.0/28")},
			Organisation: "Example Research", List: "local"}, "taro", d.now.Add(-time.Hour))
		return err
	})
	if body := d.page("/scanners"); !strings.Contains(body, `action="/scanners/1/end"`) {
		t.Error("the entry cannot be ended")
	}
	status, _, _ := d.post("/scanners/1/end", "reason", " ")
	want(t, "no reason", status, http.StatusUnprocessableEntity)
	status, _, _ = d.post("/scanners/1/end", "reason", "not theirs")
	want(t, "end", status, http.StatusSeeOther)
	want(t, "ended", one[time.Time](t, d.db, `select valid_to from scanner`).Equal(d.now), true)
	if body := d.page("/scanners"); strings.Contains(body, `action="/scanners/1/end"`) {
		t.Error("an ended entry can be ended")
	}
	status, _, _ = d.post("/scanners/1/end", "reason", "again")
	want(t, "twice", status, http.StatusConflict)
	for _, id := range []string{"2", "x", "99999999999999999999"} {
		status, _, _ = d.post("/scanners/"+id+"/end", "reason", "x")
		want(t, id, status, http.StatusNotFound)
	}
}

func TestContactIsChanged(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	for _, pairs := range [][]string{{"email", "new@isp.example", "why", ""}, {"email", "no address", "why", "x"}, {"email", "a@b.example\r\nBcc: x@y.example", "why", "x"},
		{"email", "Hostmaster@Registry.example", "why", "x"}, {"email", "csirt@teiten.example", "why", "x"}} {
		status, body := d.act("contact", pairs...)
		want(t, "invalid", status, http.StatusUnprocessableEntity)
		if !strings.Contains(body, `role="alert"`) {
			t.Error("no line says what is wrong")
		}
	}
	status, _ := d.act("contact", "email", "new@isp.example", "why", "they told us", "language", "en")
	want(t, "change", status, http.StatusSeeOther)
	want(t, "changed", []any{d.message().Recipient, d.message().State, d.state().Language}, []any{"new@isp.example", casedb.MessageHeld, "en"})
	body := d.page("/cases/" + d.c.Number)
	for _, text := range []string{"new@isp.example", "they told us", "given by a coordinator", "abuse1@isp.example"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	noc := one[int64](t, d.db, `select id from contact where email = 'noc1@isp.example'`)
	status, _ = d.act("contact", "contact", fmt.Sprint(noc), "why", "better")
	want(t, "change to an alternative", status, http.StatusSeeOther)
	want(t, "changed", d.message().Recipient, "noc1@isp.example")
	exec(t, d.db, `update message set state = 'canceled' where id = $1`, d.message().ID)
	status, _ = d.act("contact", "email", "third@isp.example", "why", "they told us again")
	want(t, "change without a letter under way", status, http.StatusSeeOther)
	want(t, "the new letter is held because", d.message().HoldWhy.String(), string(reason.ContactChanged))
	want(t, "the event says so", one[string](t, d.db, `select why->0->>'code' from case_event where kind = 'message-held' order by id desc limit 1`), string(reason.ContactChanged))
}

func TestMailIsAnsweredAsTheRecipient(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	ctx := context.Background()
	raw := "From: Example CSIRT <csirt@teiten.example>\r\nTo: abuse1@isp.example\r\nReply-To: c+1.abc@teiten.example\r\nSubject: =?utf-8?b?44GU6YCj57Wh?= [" + d.c.Number +
		"]\r\nMessage-Id: <tt.m1@teiten.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"
	id, err := d.db.StoreBoxMail(ctx, casedb.BoxMail{ReceivedAt: d.now, EnvelopeFrom: "b+1.xyz@teiten.example", EnvelopeTo: "abuse1@isp.example", Subject: "x", Raw: []byte(raw)})
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/mailbox/%d/", id)
	status, body, _ := d.post(path+"reply", "text", " ")
	want(t, "empty", status, http.StatusUnprocessableEntity)
	if !strings.Contains(body, "Please fill this in.") {
		t.Error("no line says what is missing")
	}
	status, _, _ = d.post(path+"reply", "text", "直しました。\r\n田中")
	want(t, "reply", status, http.StatusSeeOther)
	status, _, _ = d.post(path + "bounce")
	want(t, "bounce", status, http.StatusSeeOther)
	status, _, _ = d.post(path+"bounce", "soft", "1")
	want(t, "soft bounce", status, http.StatusSeeOther)
	mails, err := d.db.ClaimInbound(ctx, 10, d.now)
	if err != nil || len(mails) != 3 {
		t.Fatalf("inbound: %v, %d", err, len(mails))
	}
	for _, in := range mails {
		parsed := notify.ClassifyMail("mail", in.Raw)
		switch {
		case in.EnvelopeFrom == "abuse1@isp.example":
			want(t, "reply", []any{in.EnvelopeTo, parsed.Class, parsed.From, strings.TrimSpace(parsed.Text)},
				[]any{"c+1.abc@teiten.example", casedb.InboundHuman, "abuse1@isp.example", "直しました。\n田中\n\n> Hello"})
			if !strings.Contains(string(in.Raw), "In-Reply-To: <tt.m1@teiten.example>") {
				t.Error("the reply names no mail")
			}
		default:
			want(t, "bounce", []any{in.EnvelopeFrom, in.EnvelopeTo, parsed.Class, parsed.Recipient, parsed.Hard},
				[]any{"", "b+1.xyz@teiten.example", casedb.InboundBounce, "abuse1@isp.example", parsed.Status == "5.1.1"})
		}
	}
	if body := d.page("/mailbox"); !strings.Contains(body, "<time") {
		t.Error("the list does not show that it was answered")
	}
	want(t, "woke", d.woke, 3)
}

func TestUnmatchedMailIsFiled(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, Sender: "other@isp.example", Subject: "Hello", Text: "It was us."})
	if body := d.page("/unmatched"); !strings.Contains(body, "It was us.") {
		t.Fatal("the mail is not listed")
	}
	status, body, _ := d.post("/unmatched/1", "case", "TT-1999-000001")
	want(t, "no such case", status, http.StatusUnprocessableEntity)
	if !strings.Contains(body, "TT-1999-000001") {
		t.Error("what was typed is lost")
	}
	status, _, h := d.post("/unmatched/1", "case", " ["+strings.ToLower(d.c.Number)+"] ")
	want(t, "file", []any{status, h.Get("Location")}, []any{http.StatusSeeOther, "/cases/" + d.c.Number})
	want(t, "case", d.state().Waiting, casedb.WaitingReply)
	status, _, _ = d.post("/unmatched/1", "case", d.c.Number)
	want(t, "file twice", status, http.StatusConflict)
}

// TestUnmatchedMailSuggestsACase: the number that a stranger writes is in the form,
// and nothing more happened.
func TestUnmatchedMailSuggestsACase(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	before := d.state()
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, Sender: "mallory@elsewhere.example", Subject: "Hello", Text: "It was us.", SuggestedCaseID: &d.c.ID})
	if body := d.page("/unmatched"); !strings.Contains(body, `value="`+d.c.Number+`"`) {
		t.Error("the case is not suggested")
	}
	want(t, "version of the case", d.state().Version, before.Version)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	status, _, _ := d.post("/settings/sending", "stop", "yes", "reason", "")
	want(t, "stop without reason", status, http.StatusUnprocessableEntity)
	status, _, _ = d.post("/settings/sending", "stop", "yes", "reason", "wrong letters")
	want(t, "stop", status, http.StatusSeeOther)
	stopped, err := d.db.SendStopped(context.Background())
	want(t, "stopped", []any{stopped, err}, []any{true, nil})
	for _, path := range []string{"/settings", "/cases", "/cases/" + d.c.Number, "/sources", "/mailbox", "/unmatched", "/scanners", "/registrations", "/register"} {
		if body := d.page(path); !strings.Contains(body, "wrong letters") {
			t.Errorf("%s does not show it", path)
		}
	}
	for _, pairs := range [][]string{{"/settings/sending", "stop", "no", "reason", "mended"}, {"/settings/rules", "rule", "mirai", "mode", "automatic", "reason", "x"}} {
		status, _, _ = d.post(pairs[0], pairs[1:]...)
		want(t, "by a coordinator: "+pairs[0], status, http.StatusForbidden)
	}
	if err := d.db.SetUserRole(context.Background(), "taro", casedb.RoleLead); err != nil {
		t.Fatal(err)
	}
	status, _, _ = d.post("/settings/sending", "stop", "no", "reason", "")
	want(t, "start without reason", status, http.StatusUnprocessableEntity)
	status, _, _ = d.post("/settings/sending", "stop", "no", "reason", "mended")
	want(t, "start", status, http.StatusSeeOther)
	if stopped, err = d.db.SendStopped(context.Background()); stopped || err != nil {
		t.Errorf("after the start: %v, %v", stopped, err)
	}
	status, _, _ = d.post("/settings/rules", "rule", "mirai", "mode", "automatic", "reason", "")
	want(t, "rule without reason", status, http.StatusUnprocessableEntity)
	status, _, _ = d.post("/settings/rules", "rule", "mirai", "mode", "automatic", "reason", "never wrong")
	want(t, "rule", status, http.StatusSeeOther)
	status, _, _ = d.post("/settings/rules", "rule", "mirai", "mode", "approve-once", "reason", "still learning")
	want(t, "rule", status, http.StatusSeeOther)
	status, _, _ = d.post("/settings/rules", "rule", "mirai", "mode", "automatic", "reason", "never wrong")
	want(t, "rule", status, http.StatusSeeOther)
	for _, text := range []string{"wrong letters", "mended", "still learning", "never wrong"} {
		if body := d.page("/settings"); !strings.Contains(body, text) {
			t.Errorf("the history does not show %q", text)
		}
	}
	for _, pairs := range [][]string{{"rule", "none", "mode", "automatic", "reason", "x"}, {"rule", "mirai", "mode", "x", "reason", "x"}} {
		status, _, _ = d.post("/settings/rules", pairs...)
		want(t, "nonsense", status, http.StatusBadRequest)
	}
	policies, err := d.db.RulePolicies(context.Background())
	if err != nil || len(policies) != 1 || policies[0].Mode != casedb.RuleAutomatic || policies[0].ChangedBy != "taro" {
		t.Errorf("policies: got %+v, %v", policies, err)
	}
	inTx(t, d.db, func(tx *casedb.Tx) error {
		return tx.Suppress(context.Background(), casedb.Suppression{Address: "dead@isp.example", Why: reason.Of(reason.Other, "hard bounce 5.1.1"), CreatedAt: d.now})
	})
	inTx(t, d.db, func(tx *casedb.Tx) error {
		return tx.Suppress(context.Background(), casedb.Suppression{Address: "abuse1@isp.example", Why: reason.Of(reason.Other, "user unknown"), CreatedAt: d.now})
	})
	if body := d.page("/cases/" + d.c.Number); !strings.Contains(body, "No mail is sent to this address: user unknown") {
		t.Error("the case does not show that its contact is suppressed")
	}
	if body := d.page("/settings"); !strings.Contains(body, "dead@isp.example") {
		t.Error("the suppression is not listed")
	}
	status, _, _ = d.post("/settings/suppressions", "address", "dead@isp.example")
	want(t, "lift", status, http.StatusSeeOther)
	d.historyIsInWords("dead@isp.example")
	status, _, _ = d.post("/settings/suppressions", "address", "dead@isp.example")
	want(t, "lift twice", status, http.StatusNotFound)
}

// historyIsInWords looks at the history of switches after a rule's mode changed
// and the address's suppression was lifted.
func (d *desk) historyIsInWords(address string) {
	d.t.Helper()
	mark := `<span class="mono small wrap">` + address + `</span>`
	for lang, texts := range map[string][]string{"en": {"Suppression " + mark, ">lifted<", "Mirai family"}, "ja": {"送信停止 " + mark, ">解除<", "Mirai とその亜種"}} {
		_, list, _ := strings.Cut(d.page("/settings?lang="+lang), `id="changes"`)
		list, _, _ = strings.Cut(list, `id="suppressions"`)
		for _, text := range append(texts, ">taro<") {
			if !strings.Contains(list, text) {
				d.t.Errorf("the history in %s does not show %q", lang, text)
			}
		}
		if strings.Contains(list, "rule mirai") {
			d.t.Errorf("the history in %s shows a code", lang)
		}
	}
}

// TestNobodyIsFollowedYet: the page and the picture say so.
func TestNobodyIsFollowedYet(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	for _, path := range []string{"/effect", "/effect/survival.svg"} {
		if _, body, _ := d.get(path); !strings.Contains(body, "<svg") && path != "/effect" || !strings.Contains(body, "No source has been followed yet") {
			t.Errorf("%s does not say that nobody is followed: %q", path, body)
		}
	}
}

// TestACoordinatorAsksForTheOwner that he hears of quiet, and changes his mind.
func TestACoordinatorAsksForTheOwner(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	const said = "The owner will be told when the sensors no longer see any of the sources"
	status, _ := d.act("tell", "tell", "yes")
	want(t, "tell", status, http.StatusSeeOther)
	want(t, "asked", d.state().TellRecovered, true)
	if !strings.Contains(d.page("/cases/"+d.c.Number), said) {
		t.Error("the case does not say that the owner will be told")
	}
	status, _ = d.act("tell")
	want(t, "do not tell", status, http.StatusSeeOther)
	want(t, "asked", d.state().TellRecovered, false)
	if strings.Contains(d.page("/cases/"+d.c.Number), said) {
		t.Error("the case says still that the owner will be told")
	}
	_, _ = d.act("close")
	status, _ = d.act("tell", "tell", "yes")
	want(t, "tell of an ended case", status, http.StatusConflict)
}

// TestControlsAreSeenAndEnded: the queue and the case tell who waits in the
// control group and until when; a coordinator ends that with a reason; the
// draws can be checked.
func TestControlsAreSeenAndEnded(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	exec(t, d.db, `update message set state = 'queued', next_attempt_at = $2, delay_why = $3 where id = $1`, d.c.Message.ID, d.now.Add(14*24*time.Hour),
		reason.Of(reason.Control))
	exec(t, d.db, `update cases set waiting = '', waiting_since = null`)
	seed := 0
	for casework.DrawNumber(fmt.Sprint(seed), d.c.Number) >= 0.5 {
		seed++
	}
	draw := casework.Control{Share: 0.5, Days: 14, Seed: fmt.Sprint(seed)}.Draw(d.state(), d.now)
	err := d.db.InTx(context.Background(), func(tx *casedb.Tx) error { return tx.AddDraw(context.Background(), draw, d.message()) })
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"ja", "en"} {
		for _, path := range []string{"/cases?view=control&lang=", "/cases/" + d.c.Number + "?lang="} {
			body := d.page(path + lang)
			checkPage(t, path, lang, body)
			if !strings.Contains(body, "badge control") || !strings.Contains(body, draw.Until.UTC().Format(time.DateOnly)) {
				t.Errorf("%s%s does not say that the case is a control, and until when", path, lang)
			}
		}
	}
	for _, path := range []string{"/cases/" + d.c.Number, "/outgoing"} {
		for lang, text := range map[string]string{"en": "held in the control group", "ja": "対照群として保留中"} {
			if body := d.page(path + "?lang=" + lang); !strings.Contains(body, text) || strings.Contains(body, "put off") || strings.Contains(body, "notice bad") {
				t.Errorf("%s in %s calls the wait an error, or names it in other words than %q", path, lang, text)
			}
		}
	}
	if body := d.page("/cases?lang=en"); !strings.Contains(body, "Control group") {
		t.Error("the queue has no tab for controls")
	}
	line := fmt.Sprintf("%s,%s,%d,%v,0.5,control,", d.c.Number, d.now.UTC().Format(time.RFC3339), seed, draw.Drawn)
	if _, body, _ := d.get("/effect/draws.csv"); !strings.Contains(body, line) {
		t.Errorf("draws %q, want %q", body, line)
	}
	exec(t, d.db, `update cases set tlp = 'TLP:GREEN' where id = $1`, d.c.ID)
	if _, body, _ := d.get("/effect/draws.csv"); !strings.Contains(body, ",TLP:GREEN\r\n") {
		t.Errorf("draws without the case's label: %q", body)
	}
	status, _ := d.act("control", "reason", "")
	want(t, "an end without a reason", status, http.StatusUnprocessableEntity)
	status, _ = d.act("control", "reason", "their press office asks")
	want(t, "an end", status, http.StatusSeeOther)
	want(t, "its letter is due", d.message().NextAttemptAt.UTC(), d.now.UTC())
	if body := d.page("/cases/" + d.c.Number); strings.Contains(body, "badge control") || !strings.Contains(body, "their press office asks") {
		t.Error("the case does not tell of the end")
	}
	status, _ = d.act("control", "reason", "once more")
	want(t, "a second end", status, http.StatusConflict)
}
