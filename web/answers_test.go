package web_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"html"
	"mime/multipart"
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
		if want(t, tag, status, http.StatusUnprocessableEntity); !strings.Contains(body, "A ticket contains a digit") {
			t.Errorf("%q: no word why not", tag)
		}
	}
	status, _ := d.act("ticket", "address", "stranger@elsewhere.example", "tag", "1")
	want(t, "another address", status, http.StatusConflict)
	status, _ = d.act("ticket", "address", "abuse1@isp.example", "tag", "INC0012345\r\nBcc: x@y.example")
	want(t, "correct", status, http.StatusSeeOther)
	body = d.page("/cases/" + d.c.Number)
	for _, text := range []string{"INC0012345 Bcc: x@y.example", "set by taro", "Recipient&#39;s ticket changed"} {
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
	id, err := d.db.StoreInbound(t.Context(), "abuse1@isp.example", tokens.Make(notify.TokenReply, d.c.Number, &d.c.Message), []byte(hostileFiles()), d.now)
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
			"text/html 25 B", "50 of the attached files; there are at least 54 more", "Open them only for analysis, on an isolated machine", fmt.Sprintf(`action="/inbound/%d/files/49"`, id),
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

// upload is a file of a form.
type upload struct{ name, content string }

// answer sends the form of an answer as a browser does.
func (d *desk) answer(files []upload, pairs ...string) (int, string) {
	d.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	pairs = append([]string{"version", version(d.t, d.bundle, d.c)}, pairs...)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
			d.t.Fatal(err)
		}
	}
	for _, f := range files {
		p, err := w.CreateFormFile("files", f.name)
		if err != nil {
			d.t.Fatal(err)
		}
		if _, err := p.Write([]byte(f.content)); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, d.srv.URL+"/cases/"+d.c.Number+"/answer", &b)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	status, body, _ := d.do(req)
	return status, body
}

func TestAnswerQuotesAndAttaches(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "abuse1@isp.example", Subject: "Re: x", Text: "Which </textarea> host?\n> 445/TCP",
		MatchedBy: casedb.MatchedByToken, HeaderID: "r1@isp.example"})
	id := fmt.Sprint(one[int64](t, d.db, `select max(id) from inbound`))
	const quote = "2026-03-10 12:00 (JST) abuse1@isp.example 様:\n> Which </textarea> host?\n>> 445/TCP\n"
	path := "/cases/" + d.c.Number
	if body := d.page(path); !strings.Contains(body, `href="/cases/`+d.c.Number+`?answer=`+id+`#h-actions"`) || strings.Contains(body, "様:") {
		t.Error("there is no link to answer the mail with a quote")
	}
	body := d.page(path + "?answer=" + id)
	for _, text := range []string{"\n\n\n" + html.EscapeString(quote), `<option value="` + id + `" selected>`, `name="quoted" value="1"`} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	for _, other := range []string{"0", "999", "-1", "x", ""} {
		if body := d.page(path + "?answer=" + other); strings.Contains(body, "様:") {
			t.Errorf("a mail %q is quoted", other)
		}
	}

	// Too much comes back with the text, and nothing is kept.
	big := strings.Repeat("x", 3<<20)
	for _, files := range [][]upload{{{"a", big}, {"b", big}}, make([]upload, 11)} {
		for i := range files {
			if files[i].name == "" {
				files[i] = upload{"f", "x"}
			}
		}
		status, body := d.answer(files, "inbound", id, "text", "My words.", "evidence", "1")
		if want(t, "too much", status, http.StatusUnprocessableEntity); !strings.Contains(body, "My words.") || !strings.Contains(body, "At most 5 MiB") ||
			!strings.Contains(body, `name="evidence" value="1" checked`) || strings.Contains(body, `name="quote" value="1" checked`) {
			t.Error("what was typed is lost")
		}
	}
	want(t, "kept", one[int](t, d.db, `select count(*) from message_file`), 0)

	status, _ := d.answer([]upload{{"../../etc/手順.txt", "手順"}, {"a.pdf\u202eexe", "MZ"}, {"page.html", "<script>"}, {"bad.csv", "\xff"}, {"empty.png", ""}},
		"inbound", id, "text", "My words.", "evidence", "1", "quote", "1")
	want(t, "answer", status, http.StatusSeeOther)
	m := d.message()
	want(t, "answer", []any{m.Purpose, m.State, m.Recipient, m.InReplyTo, m.Evidence, m.Body},
		[]any{casedb.PurposeAnswer, casedb.MessageQueued, "abuse1@isp.example", "r1@isp.example", true, "My words.\n\n" + quote})
	files, err := d.db.MessageFiles(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s %s %q", f.Name, f.Type, f.Content))
	}
	want(t, "files", strings.Join(got, "\n"), strings.Join([]string{`手順.txt text/plain "手順"`, `a.pdfexe application/octet-stream "MZ"`,
		`page.html application/octet-stream "<script>"`, `bad.csv application/octet-stream "\xff"`, `empty.png image/png ""`}, "\n"))
	body = d.page(path)
	for _, text := range []string{"evidence (CSV)", "手順.txt</span>", "page.html</span>"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	// It can be taken back until it leaves.
	status, _ = d.actMessage("cancel")
	want(t, "cancel", []any{status, d.message().State}, []any{http.StatusSeeOther, casedb.MessageCanceled})

	// A stranger gets no evidence, nor does anybody when there is none.
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "trap@elsewhere.example", Subject: "Re: x", Text: "Send it here.",
		MatchedBy: casedb.MatchedBySubject, HeaderID: "r2@elsewhere.example"})
	stranger := fmt.Sprint(one[int64](t, d.db, `select max(id) from inbound`))
	status, body = d.answer(nil, "inbound", stranger, "text", "x", "evidence", "1")
	if want(t, "stranger", status, http.StatusConflict); !strings.Contains(body, "The evidence cannot be sent to this address") {
		t.Error("no word why not")
	}
	exec(t, d.db, `update verdict set superseded_at = $1 where superseded_at is null`, d.now)
	status, body = d.answer(nil, "text", "x", "evidence", "1")
	if want(t, "no evidence", status, http.StatusUnprocessableEntity); !strings.Contains(body, "There is no evidence") {
		t.Error("no word why not")
	}
}

// TestLargeFormsAreForCoordinatorsAlone: files of other users are not read.
func TestLargeFormsAreForCoordinatorsAlone(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.user("jiro", casedb.RoleViewer, "en")
	status, _ := d.answer([]upload{{"a", "x"}}, "text", "x")
	want(t, "viewer", status, http.StatusForbidden)
	d.login("taro")
	status, _ = d.answer([]upload{{"a", strings.Repeat("x", 32<<20)}}, "text", "x")
	want(t, "far too much", status, http.StatusBadRequest)
	status, _, _ = d.post("/cases/"+d.c.Number+"/note", "version", version(t, d.bundle, d.c), "text", strings.Repeat("x", 3<<20))
	want(t, "another form", status, http.StatusBadRequest)
}

// TestPagesSayWhatOurMailServerFound about the sender of a mail, where a person
// decides about it.
func TestPagesSayWhatOurMailServerFound(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &d.c.ID, Sender: "abuse1@isp.example", Subject: "Re: x", Text: "Which host?",
		MatchedBy: casedb.MatchedByToken, HeaderID: "a"})
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, Sender: "x@elsewhere.example", Subject: "x", Text: "x", HeaderID: "b"})
	for _, path := range []string{"/cases/" + d.c.Number, "/unmatched"} {
		if strings.Contains(d.page(path), "checked by our mail server") {
			t.Errorf("%s says that something was checked", path)
		}
	}
	exec(t, d.db, `update inbound set auth = 'spf=pass dkim=fail'`)
	for _, path := range []string{"/cases/" + d.c.Number, "/unmatched"} {
		if body := d.page(path); !strings.Contains(body, `checked by our mail server: <span class="mono">spf=pass dkim=fail</span>`) {
			t.Errorf("%s does not say what was checked", path)
		}
	}
}
