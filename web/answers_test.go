package web_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

func TestTheirTicketIsCorrected(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	exec(t, d.db, `insert into inbound (id, received_at, envelope_from, envelope_to, raw, state, next_attempt_at) overriding system value
		values (900, $1, '', '', '', 'processed', $1)`, d.now)
	exec(t, d.db, `insert into case_ticket (case_id, address, tag, inbound_id, set_at) values ($1, 'abuse1@isp.example', '[<b>isp.example #4711]', 900, $2)`, d.c.ID, d.now)
	body := d.page("/cases/" + d.c.Number)
	for _, text := range []string{`<strong class="wrap">[&lt;b&gt;isp.example #4711]</strong>`, "read from their mail", "#4711] "} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	for _, tag := range []string{"words alone", "[TT-2026-000001]", "=?utf-8?q?1?=", strings.Repeat("1", 81)} {
		status, body := d.act("ticket", "address", "abuse1@isp.example", "tag", tag)
		if want(t, tag, status, http.StatusUnprocessableEntity); !strings.Contains(body, "A ticket has a digit") {
			t.Errorf("%q: no word why not", tag)
		}
	}
	status, _ := d.act("ticket", "address", "stranger@elsewhere.example", "tag", "1")
	want(t, "another address", status, http.StatusConflict)
	status, _ = d.act("ticket", "address", "abuse1@isp.example", "tag", "INC0012345\r\nBcc: x@y.example")
	want(t, "correct", status, http.StatusSeeOther)
	body = d.page("/cases/" + d.c.Number)
	for _, text := range []string{"INC0012345 Bcc: x@y.example", "set by taro", "Their ticket was changed"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	status, _ = d.act("ticket", "address", "abuse1@isp.example", "tag", "")
	want(t, "take away", status, http.StatusSeeOther)
	if body = d.page("/cases/" + d.c.Number); !strings.Contains(body, "not in subjects") {
		t.Error("the page does not say that there is none")
	}
}

// hostileFiles is a mail whose files have the names that attackers choose.
func hostileFiles() string {
	const part = "--b\r\nContent-Type: %s\r\nContent-Disposition: attachment; filename%s\r\nContent-Transfer-Encoding: base64\r\n\r\nPHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==\r\n"
	var b strings.Builder
	b.WriteString("From: abuse1@isp.example\r\nSubject: Re: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the files.\r\n")
	for _, name := range []string{`="../../x"`, "*=utf-8''a.pdf%E2%80%AEexe", `="<script>alert(1)</script>.html"`, "*=utf-8''%E8%AA%BF%E6%9F%BB%22%0D%0AX-Evil%3A%201.html"} {
		fmt.Fprintf(&b, part, "text/html", name)
	}
	for range 100 {
		fmt.Fprintf(&b, part, "image/svg+xml", `="same.svg"`)
	}
	b.WriteString("--b--\r\n")
	return b.String()
}

func TestFilesOfAMailAreListedAndFetchedAsBytes(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	tokens, err := notify.NewTokens(make([]byte, 32), "teiten.example")
	if err != nil {
		t.Fatal(err)
	}
	id, err := d.db.StoreInbound(t.Context(), "abuse1@isp.example", tokens.Make(notify.TokenReply, d.c.Number, d.c.Message.ID), []byte(hostileFiles()), d.now)
	if err != nil {
		t.Fatal(err)
	}
	stray, err := d.db.StoreInbound(t.Context(), "x@elsewhere.example", "csirt@teiten.example", []byte(hostileFiles()), d.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&notify.InboundWorker{DB: d.db, Tokens: tokens, Now: func() time.Time { return d.now }}).Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, id := range map[string]int64{"/cases/" + d.c.Number: id, "/unmatched": stray} {
		body := d.page(path)
		for _, text := range []string{"<strong>x</strong>", "<strong>a.pdfexe</strong>", "<strong>script_.html</strong>", "<strong>調査_ X-Evil_ 1.html</strong>", "<strong>same.svg</strong>",
			"text/html 25 B", "50 of the attached files, and at least 54 more", "Open them on an isolated machine", fmt.Sprintf(`action="/inbound/%d/files/49"`, id),
			"SHA-256 " + fmt.Sprintf("%x", sha256.Sum256([]byte("<script>alert(1)</script>")))} {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not show %q", path, text)
			}
		}
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "\u202e") || strings.Contains(body, "../") {
			t.Errorf("%s shows a name as it came", path)
		}
	}
	file := fmt.Sprintf("/inbound/%d/files/", id)
	for n, disposition := range map[string]string{"0": `attachment; filename=x`, "1": `attachment; filename=a.pdfexe`, "49": `attachment; filename=same.svg`,
		"3": `attachment; filename*=utf-8''%E8%AA%BF%E6%9F%BB_%20X-Evil_%201.html`} {
		status, body, h := d.post(file + n)
		if status != http.StatusOK || body != "<script>alert(1)</script>" || h.Get("Content-Type") != "application/octet-stream" || h.Get("Content-Disposition") != disposition ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Evil") != "" {
			t.Errorf("file %s: got %d, %q, %v", n, status, body, h)
		}
	}
	for _, path := range []string{file + "50", file + "-1", file + "x", "/inbound/99999/files/0", "/inbound/x/files/0"} {
		if status, _, _ := d.post(path); status != http.StatusNotFound {
			t.Errorf("%s: got %d", path, status)
		}
	}
	if status, _, _ := d.get(file + "0"); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Errorf("a link fetches the file: %d", status)
	}
	d.http = browser(t)
	if status, _, _ := d.post(file + "0"); status != http.StatusUnauthorized {
		t.Errorf("without login: got %d", status)
	}
	d.user("jiro", casedb.RoleViewer, "ja")
	if status, _, _ := d.post(file + "0"); status != http.StatusForbidden {
		t.Errorf("viewer: got %d", status)
	}
	if body := d.page("/cases/" + d.c.Number); !strings.Contains(body, "a.pdfexe") || strings.Contains(body, "/inbound/") {
		t.Error("a viewer does not see the files, or is offered them")
	}
}
