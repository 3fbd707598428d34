package web_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
)

// ownersFinding writes an answer in which an owner says what was found.
func (b *bundle) ownersFinding(c sampleCase) (inbound string) {
	b.t.Helper()
	exec := func(query string, args ...any) {
		b.t.Helper()
		if _, err := b.db.SQL().ExecContext(b.t.Context(), query, args...); err != nil {
			b.t.Fatal(err)
		}
	}
	exec(`insert into inbound (received_at, envelope_from, envelope_to, raw, state, next_attempt_at, class, trusted, matched_by, case_id, message_id, sender, subject, text)
		values ($1, 'noc@isp.example', '', '', 'processed', $1, 'human', true, 'token', $2, $3, 'noc@isp.example', 'Re', $4)`, b.now, c.ID, c.Message.ID,
		"当該の Windows 7 が WannaCry に感染しておりましたので、初期化しました。\n\n> Mirai\n> Windows Server 2008\n<script>x</script>")
	inbound = one[string](b.t, b.db, `select max(id)::text from inbound`)
	exec(`insert into case_event (case_id, at, kind, actor, inbound_id, text, data) values ($1, $2, 'reply', 'noc@isp.example', $3, '', '{}')`, c.ID, b.now, inbound)
	exec(`update message set body = 'Our letter says that Mirai comes from a camera that was infected.' where id = $1`, c.Message.ID)
	exec(`update inbound set text = text || E'\nOur letter says that Mirai comes from a camera\nthat was infected.\n' where id = $1`, inbound)
	return inbound
}

// TestFindingsAreRecorded walks the way of a finding: proposed from a reply's own
// words, recorded, corrected, counted, exported, withdrawn.
func TestFindingsAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("Taro", casedb.RoleCoordinator, "en")
	c := addCase(t, b.db, 1, b.now)
	inbound := b.ownersFinding(c)
	body := b.page("/cases/" + c.Number)
	for _, want := range []string{`value="WannaCry"`, `<option value="infected" selected>`, `value="reinstalled" checked`, `<option value="ended" selected>`, `value="Windows"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the form does not have %s", want)
		}
	}
	if strings.Contains(body, `value="Mirai"`) || strings.Contains(body, "<script>x") {
		t.Error("quoted words, or a script")
	}
	version := func() string { return one[string](t, b.db, `select version::text from cases where id = $1`, c.ID) }
	path := "/cases/" + c.Number + "/finding"
	post := func(want int, values ...string) {
		t.Helper()
		if status, _, _ := b.post(path, append([]string{"version", version()}, values...)...); status != want {
			t.Errorf("%v: got %d, want %d", values, status, want)
		}
	}
	event := one[string](t, b.db, `select max(id)::text from case_event where kind = 'reply'`)
	for _, name := range []string{"event-" + event, "new"} {
		if status, body, _ := b.post(path, "version", "999", "form", name, "result", "infected", "note", "a <note> typed", "action", "replaced"); status != http.StatusConflict ||
			strings.Count(body, `value="a &lt;note&gt; typed"`) != 1 || strings.Count(body, `value="replaced" checked`) != 1 || !strings.Contains(body, "<details open>") {
			t.Errorf("%s: what was typed is lost: got %d", name, status)
		}
	}
	post(http.StatusUnprocessableEntity, "result", "")
	post(http.StatusConflict, "result", "infected", "action", "burnt")
	post(http.StatusNotFound, "result", "infected", "source", "203.0.113.77")
	post(http.StatusNotFound, "result", "infected", "inbound", "999")
	post(http.StatusSeeOther, "result", "infected", "device", "windows", "product", "=Windows", "product-version", "7", "support", "ended", "malware", "WannaCry",
		"entry", "unpatched", "action", "reinstalled", "action", "patched", "inbound", inbound, "source", c.Sources[0].String(), "note", "by phone")
	post(http.StatusSeeOther, "result", "misused", "replaces", "1", "malware", "none of it", "action", "port-closed")
	post(http.StatusConflict, "result", "nothing", "replaces", "1")
	post(http.StatusSeeOther, "result", "nothing")
	if body := b.page("/findings"); !strings.Contains(body, "Misused by others") || strings.Contains(body, "WannaCry") || !strings.Contains(body, "Port closed") {
		t.Error("the page counts what was corrected")
	}
	if body := b.page("/findings/findings.csv"); strings.Count(body, "\n") != 3 || !strings.Contains(body, "misused") {
		t.Errorf("csv: %s", body)
	}
	if body := b.page("/findings/findings.json?from=2020-01-01"); !strings.Contains(body, `"field": "action"`) {
		t.Errorf("json: %s", body)
	}
	b.exportsKeepThePeriod()
	post(http.StatusSeeOther, "withdraw", "1", "replaces", "2")
	if n := one[string](t, b.db, `select count(*)::text from finding`); n != "4" {
		t.Errorf("%s rows, want all four", n)
	}
	if body := b.page("/findings"); strings.Contains(body, "Misused by others") {
		t.Error("a withdrawn finding counts")
	}
	if kinds := one[string](t, b.db, `select string_agg(kind, ' ' order by id) from case_event where case_id = $1 and kind like 'finding%'`, c.ID); kinds != "finding finding finding finding-withdrawn" {
		t.Errorf("events: %s", kinds)
	}
	if _, err := b.db.SQL().ExecContext(t.Context(), `update finding set note = 'x'`); err == nil {
		t.Error("a finding was changed")
	}
	if status, _, _ := b.get("/findings?from=2026-02-30"); status != http.StatusOK {
		t.Errorf("a day that is none: got %d", status)
	}
	b.http = browser(t)
	b.user("Hanako", casedb.RoleViewer, "ja")
	if status, _, _ := b.post(path, "version", version(), "result", "nothing"); status != http.StatusForbidden {
		t.Errorf("a viewer recorded a finding: got %d", status)
	}
	if body := b.page(fmt.Sprint("/cases/", c.Number)); !strings.Contains(body, "調査結果") || strings.Contains(body, "/finding\"") {
		t.Error("a viewer sees a form, or no findings")
	}
}

// exportsKeepThePeriod follows the links of a page that shows a period without
// findings, and of one with some.
func (b *bundle) exportsKeepThePeriod() {
	b.t.Helper()
	link := regexp.MustCompile(`href="(/findings/findings\.[^"]*)"`)
	today := b.now.UTC().Format(time.DateOnly)
	for _, test := range []struct{ period, json string }{{"from=2020-01-01&to=2020-01-31", `"findings": []`}, {"from=" + today + "&to=" + today, `"case": "TT-`}} {
		page := b.page("/findings?" + test.period + "&lang=en")
		checkPage(b.t, "/findings", "en", page)
		links := link.FindAllStringSubmatch(page, -1)
		if len(links) != 2 {
			b.t.Fatalf("%s: %d links to files", test.period, len(links))
		}
		for _, l := range links {
			body := b.page(html.UnescapeString(l[1]))
			if csv := strings.HasPrefix(l[1], "/findings/findings.csv"); csv && strings.Contains(body, "TT-") != strings.Contains(test.json, "TT-") {
				b.t.Errorf("%s of %s: %s", l[1], test.period, body)
			} else if !csv && !strings.Contains(body, test.json) {
				b.t.Errorf("%s of %s: %s", l[1], test.period, body)
			}
		}
	}
}
