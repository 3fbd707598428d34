package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

// atOwnersPage is a case whose letter went out, a browser of its owner without
// any login, and where the link in the letter leads.
func atOwnersPage(t *testing.T) (d *desk, page string) {
	t.Helper()
	d = atCase(t)
	other := addCase(t, d.db, 2, d.now)
	for _, c := range []sampleCase{d.c, other} {
		exec(t, d.db, `update message set state = 'queued' where id = $1`, c.Message.ID)
		exec(t, d.db, `update message set state = 'sent', sent_at = $2, attempts = 1 where id = $1`, c.Message.ID, d.now)
		exec(t, d.db, `insert into message_source (message_id, source) select $1, source from case_source where case_id = $2`, c.Message.ID, c.ID)
		exec(t, d.db, `update cases set state = 'notified', waiting = '', waiting_since = null where id = $1`, c.ID)
	}
	d.http = browser(t)
	return d, "/o/" + pageTokens(t).PagePath(d.c.Number, &d.c.Message)
}

func pageTokens(t *testing.T) *notify.Tokens {
	t.Helper()
	tokens, err := notify.NewTokens(make([]byte, 32), "teiten.example")
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// TestOwnerSeesTheEvidenceOfHisLetterOnly in both languages, without leaving a
// trace.
func TestOwnerSeesTheEvidenceOfHisLetterOnly(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	events := one[int](t, d.db, `select count(*) from case_event`)
	for _, lang := range []string{"ja", "en"} {
		status, body, h := d.get(page + "?lang=" + lang)
		want(t, "status", status, http.StatusOK)
		checkPage(t, page, lang, body)
		for _, s := range []string{d.c.Number, "192.0.2.9", "445/TCP", "TLP:AMBER&#43;STRICT", map[string]string{"ja": "金銭やパスワード", "en": "money or passwords"}[lang]} {
			if !strings.Contains(body, s) {
				t.Errorf("%s: the page does not show %s", lang, s)
			}
		}
		if strings.Contains(body, "192.0.2.17") || strings.Contains(body, "sample") {
			t.Errorf("%s: the page shows another owner's source or a sensor", lang)
		}
		if c := h.Values("Set-Cookie"); len(c) > 0 {
			t.Errorf("the page sets a cookie: %v", c)
		}
		want(t, "Referrer-Policy", h.Get("Referrer-Policy"), "no-referrer")
		want(t, "Cache-Control", h.Get("Cache-Control"), "no-store")
	}
	if _, body, _ := d.get(page); !strings.Contains(body, `<html lang="ja">`) {
		t.Error("the page is not in the language of the mail")
	}
	want(t, "events after reading", one[int](t, d.db, `select count(*) from case_event`), events)
	// Nobody is accused any more: nothing is shown.
	exec(t, d.db, `update verdict set acknowledged = 'Example Research', tell = false where superseded_at is null`)
	if _, body, _ := d.get(page); strings.Contains(body, "192.0.2.9") {
		t.Error("the page names a source that is acknowledged by now")
	}
}

func TestOwnerActs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		act     casedb.OwnerAct
		pairs   []string
		state   casedb.CaseState
		waiting casedb.Waiting
		event   string // what the timeline shows of it
	}{
		{casedb.OwnerFixed, []string{"comment", "It was <b>old</b> SMBv1"}, casedb.CaseAnswered, casedb.WaitingReply, "It was &lt;b&gt;old&lt;/b&gt; SMBv1"},
		{casedb.OwnerFixing, nil, casedb.CaseAnswered, casedb.WaitingReply, "Owner: working on it"},
		{casedb.OwnerNotOurs, nil, casedb.CaseAnswered, casedb.WaitingReply, "Owner: not ours"},
		{casedb.OwnerResearch, nil, casedb.CaseAnswered, casedb.WaitingReply, "Owner: this is research"},
		{casedb.OwnerContact, []string{"email", "soc@isp.example"}, casedb.CaseAnswered, casedb.WaitingReply, "soc@isp.example"},
		{casedb.OwnerPause, []string{"days", "30"}, casedb.CaseNotified, casedb.WaitingReply, "30 days"},
		{casedb.OwnerTell, nil, casedb.CaseNotified, casedb.WaitingReply, "Owner: wants to be told when it stops"},
		{casedb.OwnerLanguage, []string{"language", "en"}, casedb.CaseNotified, casedb.WaitingReply, "Owner: other language"},
	} {
		t.Run(string(test.act), func(t *testing.T) {
			t.Parallel()
			d, page := atOwnersPage(t)
			status, _, h := d.post(page, append([]string{"act", string(test.act)}, test.pairs...)...)
			want(t, "status", status, http.StatusSeeOther)
			for _, lang := range []string{"ja", "en"} {
				checkPage(t, page, lang, d.page(h.Get("Location")+"&lang="+lang))
			}
			c := d.state()
			want(t, "state", c.State, test.state)
			want(t, "waiting", c.Waiting, test.waiting)
			d.login("taro")
			if body := d.page("/cases/" + c.Number + "?lang=en"); !strings.Contains(body, test.event) {
				t.Errorf("the case does not show %q", test.event)
			}
			switch test.act {
			case casedb.OwnerPause:
				want(t, "paused until", c.PausedUntil.UTC(), d.now.Add(30*24*time.Hour))
			case casedb.OwnerTell:
				want(t, "asked", c.TellRecovered, true)
			case casedb.OwnerLanguage:
				want(t, "language", c.Language, "en")
				want(t, "contact's language", one[string](t, d.db, `select language from contact where id = $1`, *c.ContactID), "en")
			case casedb.OwnerContact:
				want(t, "nobody is written to there", one[int](t, d.db, `select count(*) from contact where email = 'soc@isp.example'`), 0)
			}
		})
	}
}

// TestOwnerGoesBackToTheFirstLanguage: the page offers the language that the next
// mail is not in, in whatever language it is shown.
func TestOwnerGoesBackToTheFirstLanguage(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	for _, next := range []string{"en", "ja", "en"} {
		for _, lang := range []string{"ja", "en"} {
			body := d.page(page + "?lang=" + lang)
			if !strings.Contains(body, `name="language" value="`+next+`"`) || strings.Count(body, `name="language"`) != 1 {
				t.Errorf("in %s: the page does not offer mails in %s", lang, next)
			}
		}
		status, _, _ := d.post(page, "act", "language", "language", next)
		want(t, "status", status, http.StatusSeeOther)
		want(t, "language", d.state().Language, next)
	}
	d.login("taro")
	body := d.page("/cases/" + d.c.Number + "?lang=en")
	if !strings.Contains(body, `<span class="small">Japanese</span>`) || !strings.Contains(body, `<span class="small">English</span>`) {
		t.Error("the timeline does not say which languages the owner asked for")
	}
}

func TestOwnerFormsAreChecked(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	for _, pairs := range [][]string{
		{}, {"act", "delete"}, {"act", "contact", "email", "a@b\r\nBcc: x@y.example"}, {"act", "contact"}, {"act", "pause", "days", "99999"},
		{"act", "language", "language", "xx"}, {"act", "fixed", "comment", strings.Repeat("x", 5000)},
	} {
		status, body, _ := d.post(page, pairs...)
		want(t, fmt.Sprintf("status of %.60q", pairs), status, http.StatusUnprocessableEntity)
		if !strings.Contains(body, `role="alert"`) {
			t.Errorf("%.60q: nothing says what is wrong", pairs)
		}
	}
	want(t, "owner's events", one[int](t, d.db, `select count(*) from case_event where actor = 'owner'`), 0)
}

// TestOwnerLinkEnds: a link that was guessed, revoked, too old, or of a mail
// that never left leads nowhere, and says the same.
func TestOwnerLinkEnds(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	dead := func(what, page string) {
		t.Helper()
		status, body, _ := d.get(page)
		want(t, "GET "+what, status, http.StatusNotFound)
		body = strings.ReplaceAll(body, page, "") // the link to the other language
		if strings.Contains(body, d.c.Number) || strings.Contains(body, "192.0.2.") {
			t.Errorf("%s: the page shows something of the case", what)
		}
		status, _, _ = d.post(page, "act", "fixed")
		want(t, "POST "+what, status, http.StatusNotFound)
	}
	tokens := pageTokens(t)
	reply, _, _ := strings.Cut(strings.TrimPrefix(tokens.Make(notify.TokenReply, d.c.Number, &d.c.Message), "case+"), "@")
	for what, token := range map[string]string{
		"guess":         strings.ToLower(d.c.Number) + ".1.aaaaaaaaaaaaaaaaaaaa",
		"reply token":   reply, // every reader of a mail has it
		"other message": tokens.PagePath(d.c.Number, &casedb.Message{ID: d.c.Message.ID + 100, Token: d.c.Message.Token, TokenRule: 2}),
		"cut":           strings.TrimPrefix(page, "/o/")[:30],
		"capitals":      strings.ToUpper(strings.TrimPrefix(page, "/o/")),
		"long":          strings.Repeat("a", 4000),
	} {
		dead(what, "/o/"+token)
	}
	flipped := []byte(page)
	if flipped[len(flipped)-1]++; flipped[len(flipped)-1] > 'z' {
		flipped[len(flipped)-1] = 'a'
	}
	dead("one letter off", string(flipped))

	now := d.now
	d.now = now.Add(91 * 24 * time.Hour)
	dead("too old", page)
	d.now = now

	d.login("taro")
	status, _ := d.act("end-link", "message", fmt.Sprint(d.c.Message.ID), "reason", "sent to the wrong desk")
	want(t, "end the link", status, http.StatusSeeOther)
	d.http = browser(t)
	dead("revoked", page)

	exec(t, d.db, `delete from owner_link_end`)
	exec(t, d.db, `update message set sent_at = null, attempts = 0 where id = $1`, d.c.Message.ID)
	dead("never sent", page)
	want(t, "owner's events", one[int](t, d.db, `select count(*) from case_event where actor = 'owner'`), 0)
}

// TestOwnerPageIsLimited: a case hears twenty acts a day, and an address gets
// so many pages.
func TestOwnerPageIsLimited(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	codes := map[int]int{}
	for range 150 {
		status, _, _ := d.post(page, "act", "fixing")
		codes[status]++
	}
	if codes[http.StatusSeeOther] != 20 || codes[http.StatusTooManyRequests] != 130 {
		t.Errorf("got %v", codes)
	}
	if status, _, _ := d.get(page); status != http.StatusTooManyRequests {
		t.Errorf("reading after that: %d", status)
	}
}
