package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/reason"
)

// inline finds what the content policy forbids.
var inline = regexp.MustCompile(`(?i)\sstyle=|<style|<script(\s[^>]*)?>[^<]|\son[a-z]+=|javascript:`)

// escapedQuery finds a query that html/template took for one value.
var escapedQuery = regexp.MustCompile(`(?:href|action)="[^"?]*\?[^"=&]*%(?:3d|26)[^"]*"`)

func checkPage(t *testing.T, path, lang, body string) {
	t.Helper()
	if !strings.Contains(body, `<html lang="`+lang+`">`) {
		t.Errorf("%s is not in %s", path, lang)
	}
	if m := inline.FindString(body); m != "" {
		t.Errorf("%s has %q", path, m)
	}
	for _, bad := range []string{"%!", "<nil>", "map[", "0001-01-01", "{{"} {
		if strings.Contains(body, bad) && (bad != "{{" || !strings.HasPrefix(path, "/letters/")) { // there templates are what is shown
			t.Errorf("%s shows %q", path, bad)
		}
	}
	if m := escapedQuery.FindString(body); m != "" {
		t.Errorf("%s has a link whose query is escaped as one value: %s", path, m)
	}
	if n := strings.Count(body, "<table"); n != strings.Count(body, "<caption") {
		t.Errorf("%s has a table without caption", path)
	}
	if strings.Count(body, "<h1") != 1 {
		t.Errorf("%s does not have one heading", path)
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if ids[m[1]] {
			t.Errorf("%s has id %s twice", path, m[1])
		}
		ids[m[1]] = true
	}
}

func TestEveryPageWithEmptyData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "ja")
	for _, lang := range []string{"ja", "en"} {
		for _, path := range []string{
			"/cases", "/cases?view=all", "/cases?view=reply",
			"/sources", "/sources?attention=1",
			"/aggregates",
			"/sources/windows", "/sources/windows?port=23&window=1024&country=kr&to=2026-01-15",
			"/outgoing", "/outgoing?view=held",
			"/mailbox", "/unmatched",
			"/scanners", "/contacts", "/owners", "/findings", "/registrations", "/captures",
			"/effect", "/effect?by=arm&kind=infected&from=2026-01-01",
			"/settings",
			"/public/scanners", "/register", "/register/done",
		} {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			checkPage(t, path, lang, b.page(path+sep+"lang="+lang))
		}
		for _, path := range []string{"/nowhere", "/cases/TT-2026-000001", "/sources/192.0.2.1", "/mailbox/1", "/registrations/7", "/sources/x", "/aggregates/7", "/aggregates/x",
			"/register/confirm/aaaaaaaaaaaaaaaaaaaaaaaaaa", "/register/confirm/x"} {
			status, body, _ := b.get(path + "?lang=" + lang)
			if status != http.StatusNotFound {
				t.Errorf("%s: got %d", path, status)
			}
			checkPage(t, path, lang, body)
		}
	}
}

func TestEveryPageWithFullData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleLead, "ja")
	c := fill(t, b)
	paths := viewPaths(t, b, c)
	views, err := os.ReadDir("templates/views")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		name := strings.TrimSuffix(v.Name(), ".html")
		if _, ok := paths[name]; !ok && name != "error" && name != "login" && name != "confirm" && name != "owner" { // these have tests of their own
			t.Errorf("view %s is not looked at", name)
		}
	}
	for _, lang := range []string{"ja", "en"} {
		for _, path := range paths {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			checkPage(t, path, lang, b.page(path+sep+"lang="+lang))
		}
	}
	if body := b.page("/digests/" + digestOf(t, b)); !strings.Contains(body, "in one &lt;b&gt;mail") || !strings.Contains(body, "one\n\nof them") {
		t.Error("the digest, or a letter in it, cannot be read")
	}
	for lang, want := range map[string]string{"ja": "ほか 2 件", "en": "and 2 more"} { // besides the source that is shown
		if !strings.Contains(b.page("/cases?view=all&lang="+lang), want) {
			t.Errorf("the list of cases in %s does not say %q", lang, want)
		}
	}
	body := b.page("/cases/" + c.Number + "?lang=en")
	for _, want := range []string{c.Number, "Example Internet Service 1", "abuse1@isp.example", "&lt;script&gt;alert(1)&lt;/script&gt;", "MS17-010",
		"<svg class=\"chart\"", "mark-sent", "mark-reply", "550 5.1.1", "A note &amp; more", "noc1@isp.example", "192.0.2.9"} {
		if !strings.Contains(body, want) {
			t.Errorf("the case page does not show %q", want)
		}
	}
	if strings.Contains(body, "<script>alert") {
		t.Error("a reply's text is not escaped")
	}
	showsAggregates(t, b)
	if body := b.page("/unmatched?lang=en"); !strings.Contains(body, `From <span class="mono wrap">–</span>`) {
		t.Error("a mail without a sender is from nothing")
	}
	source := b.page("/sources/192.0.2.9?lang=en")
	for _, want := range []string{c.Number, "445/TCP", "sample", "superseded", "<svg class=\"chart\""} {
		if !strings.Contains(source, want) {
			t.Errorf("the source page does not show %q", want)
		}
	}
}

// showsAggregates looks at the pages of what many sources show together.
// viewPaths are where each view shows what fill made.
func viewPaths(t *testing.T, b *bundle, c sampleCase) map[string]string {
	t.Helper()
	b.capturesOverlap(3)
	return map[string]string{
		"captures": "/captures",
		"cases":    "/cases", "case": "/cases/" + c.Number, "outgoing": "/outgoing", "held": "/outgoing?view=held", "sources": "/sources", "source": "/sources/" + c.Sources[0].String(),
		"mailbox": "/mailbox", "mail": "/mailbox/1", "unmatched": "/unmatched", "scanners": "/scanners", "registrations": "/registrations?state=accepted",
		"registration": "/registrations/1", "settings": "/settings", "effect": "/effect",
		"public": "/public/scanners", "register": "/register", "registered": "/register/done",
		"aggregates": "/aggregates", "aggregate": "/aggregates/1", "windows": "/sources/windows",
		"findings": "/findings", "directory": "/contacts", "entry": "/contacts/1", "owners": "/owners", "owner-desk": "/owners/1",
		"digest": "/digests/" + digestOf(t, b), "letters": "/letters", "letter": "/letters/backscatter.first.ja?version=0&against=0",
	}
}

func showsAggregates(t *testing.T, b *bundle) {
	t.Helper()
	for path, want := range map[string][]string{
		"/aggregates":                       {"Flood from forged sources", "Campaign", "Denial-of-service attack", "12,000", "180"},
		"/aggregates/1":                     {"80/TCP", "6,000", "are forged", "<svg class=\"chart\"", "Sources by the hour"},
		"/aggregates/3":                     {"192.0.2.9", "443/TCP", "12,000", "180", "Moore et al."},
		"/aggregates?kind=campaign&victim=": {"Mirai family"}, "/sources/192.0.2.9": {"/aggregates/3"},
	} {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		body := b.page(path + sep + "lang=en")
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not show %q", path, text)
			}
		}
		if strings.Contains(body, "198.51.100.9") {
			t.Errorf("%s shows our address", path)
		}
	}
	if body := b.page("/aggregates?victim=192.0.2.200"); strings.Contains(body, "/aggregates/3") {
		t.Error("another victim's attack is shown")
	}
	if status, _, _ := b.get("/aggregates?victim=x"); status != http.StatusUnprocessableEntity {
		t.Errorf("not an address: got %d", status)
	}
}

// digestOf is the digest that fill makes.
func digestOf(t *testing.T, b *bundle) (id string) {
	t.Helper()
	if err := b.db.SQL().QueryRowContext(t.Context(), `select id from message where purpose = 'digest'`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// fill makes one of everything and returns a case to which much has happened.
func fill(t *testing.T, b *bundle) sampleCase {
	t.Helper()
	ctx := context.Background()
	c := addCase(t, b.db, 1, b.now)
	addCase(t, b.db, 2, b.now)
	if status, body, _ := b.post("/contacts", "scope", "prefix", "target", "203.0.113.0/24", "email", "noc@dept.example", "language", "ja", "note", "電話で確認"); status != http.StatusSeeOther {
		t.Fatalf("contact: got %d: %s", status, body)
	}
	b.now = b.now.Add(time.Hour)
	if status, body, _ := b.post(fmt.Sprintf("/cases/%s/messages/%d/approve", c.Number, c.Message.ID), "version", "1", "message-version", "1"); status != http.StatusSeeOther {
		t.Fatalf("approve: got %d\n%s", status, body)
	}
	exec(t, b.db, `update message set state = 'sent', sent_at = $2, attempts = 1, subject = 'a subject', body = 'a body' where id = $1`, c.Message.ID, b.now)
	exec(t, b.db, `insert into message_attempt (message_id, n, started_at, finished_at, outcome, code, enhanced, response)
		values ($1, 1, $2, $2, 'sent', 250, '2.0.0', 'queued')`, c.Message.ID, b.now)
	inTx(t, b.db, func(tx *casedb.Tx) error {
		return tx.AddEvent(ctx, casedb.CaseEvent{CaseID: c.ID, At: b.now, Kind: casedb.EventSent, Actor: casedb.ActorSystem, MessageID: &c.Message.ID,
			Data: casedb.JSON[casedb.EventData]{V: casedb.EventData{Contact: c.Message.Recipient, Code: 250}}})
	})
	var digest int64
	if err := b.db.SQL().QueryRowContext(ctx, `insert into message (purpose, state, recipient, language, subject, body, raw, message_id, token, attempts, created_at, sent_at)
		values ('digest', 'sent', 'abuse1@isp.example', 'ja', 'two cases', 'in one mail', $1, 'tt.digest@teiten.example', 'digest', 1, $2, $2) returning id`,
		"Subject: two cases\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nin one <b>mail</b>\r\n--x\r\nContent-Type: multipart/digest; boundary=y\r\n\r\n"+
			"--y\r\nContent-Type: message/rfc822\r\n\r\nSubject: one\r\n\r\nof them\r\n--y--\r\n--x--\r\n", b.now).Scan(&digest); err != nil {
		t.Fatal(err)
	}
	exec(t, b.db, `update message set digest_id = $2 where id = $1`, c.Message.ID, digest)
	exec(t, b.db, `insert into message_attempt (message_id, n, started_at, finished_at, outcome, code, response) values ($1, 1, $2, $2, 'sent', 250, 'queued')`, digest, b.now)
	arrive(t, b, casedb.Inbound{Class: casedb.InboundHuman, MessageID: &digest, Sender: "abuse1@isp.example", Subject: "Re: two cases", Text: "Both?"})
	b.now = b.now.Add(time.Hour)
	arrive(t, b, casedb.Inbound{Class: casedb.InboundHuman, CaseID: &c.ID, Sender: "abuse1@isp.example", Subject: "Re: <b>you</b>", RemoteTicket: "#77",
		Text: "We found it. <script>alert(1)</script>", MatchedBy: casedb.MatchedByToken})
	arrive(t, b, casedb.Inbound{Class: casedb.InboundBounce, CaseID: &c.ID, MessageID: &c.Message.ID, Hard: true, Trusted: true, Status: "5.1.1",
		Recipient: c.Message.Recipient, Sender: "mailer-daemon@mx.isp.example", Text: "550 5.1.1 user unknown", MatchedBy: casedb.MatchedByToken})
	arrive(t, b, casedb.Inbound{Class: casedb.InboundHuman, Sender: "someone@dc.example", Subject: "Hello", Text: "What is this?"})
	arrive(t, b, casedb.Inbound{Class: casedb.InboundBounce, Text: "A mail without a sender."})
	post := func(path string, pairs ...string) {
		t.Helper()
		if status, body, _ := b.post(path, pairs...); status != http.StatusSeeOther {
			t.Fatalf("%s: got %d\n%s", path, status, body)
		}
	}
	post("/cases/"+c.Number+"/note", "version", version(t, b, c), "text", "A note & more")
	post("/settings/rules", "rule", "mirai", "mode", "automatic", "reason", "never wrong")
	raw := "From: csirt@teiten.example\r\nTo: abuse1@isp.example\r\nSubject: =?utf-8?b?44GU6YCj57Wh?=\r\nReply-To: c+1@teiten.example\r\nMessage-Id: <m1@teiten.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBody <b>text</b>\r\n" +
		"--x\r\nContent-Type: text/csv; name=a.csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\nsource\r\n--x--\r\n"
	if _, err := b.db.StoreBoxMail(ctx, casedb.BoxMail{ReceivedAt: b.now, EnvelopeFrom: "b+1@teiten.example", EnvelopeTo: "abuse1@isp.example",
		Subject: "ご連絡", Raw: []byte(raw)}); err != nil {
		t.Fatal(err)
	}
	post("/register", "organisation", "Example Research Institute", "purpose", "Measuring the internet for science", "email", "security@research.example",
		"url", "https://research.example/scan", "prefixes", "203.0.113.0/26")
	exec(t, b.db, `insert into aggregate (kind, key, destination, victim, rule, ports, sources, packets, peak, first_at, last_at, confidence,
			evidence, hours, ruleset, created_at, updated_at)
		values ('spoofed_flood', 'f', '198.51.100.9', null, '', '{80/TCP}', 6000, 6500, 0, $1, $1, 0.9, '{"packets": 6500}',
				format('[{"at": "%s", "sources": 6000, "packets": 6500}]', to_char($1::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"'))::jsonb, '1', $1, $1),
			('campaign', 'c', null, null, 'mirai', '{23/TCP}', 20, 400, 0, $1, $1, 0.8, '{"packets": 400}', '[]', '1', $1, $1),
			('dos_victim', 'v', null, '192.0.2.9', '', '{443/TCP,80/TCP}', 1, 12000, 180, $1::timestamptz - interval '9 hours', $1, 0.95,
				'{"packets": 12000, "notes": ["attack"]}', '[]', '1', $1, $1)`, b.now)
	exec(t, b.db, `update registration set state = 'pending', confirmed_at = $1`, b.now)
	post("/registrations/1", "decision", "accept", "reason", "Known people")
	return c
}

func inTx(t testing.TB, db *casedb.DB, f func(*casedb.Tx) error) {
	t.Helper()
	if err := db.InTx(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// version is the present version of a case.
func version(t testing.TB, b *bundle, c sampleCase) string {
	t.Helper()
	now, err := b.db.Case(context.Background(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(now.Version)
}

// arrive lets an inbound mail take effect.
func arrive(t testing.TB, b *bundle, in casedb.Inbound) {
	t.Helper()
	ctx := context.Background()
	if _, err := b.db.StoreInbound(ctx, in.Sender, "c+1@teiten.example", []byte("raw"), b.now); err != nil {
		t.Fatal(err)
	}
	claimed, err := b.db.ClaimInbound(ctx, 1, b.now)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claim: %v, %d mails", err, len(claimed))
	}
	in.ID, in.Attempts = claimed[0].ID, claimed[0].Attempts
	in.Answers = in.Class == casedb.InboundHuman
	inTx(t, b.db, func(tx *casedb.Tx) error {
		return tx.ProcessInbound(ctx, in, reason.Of(reason.MailBounced, "hard bounce", "5.1.1"), casework.AfterBounce, b.now)
	})
}

func TestPlacesThatAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleLead, "en")
	c := fill(t, b)
	for _, path := range []string{"/cases?view=all&before=", "/cases?view=all&after=", "/sources?after=", "/sources?q=192.0.2.0/24&behind=",
		"/mailbox?before=", "/unmatched?before=", "/settings?before=", "/scanners?after=", "/contacts?before=", "/findings?after=", "/owners?after=1-", "/owners/1?before=", "/registrations?after=", "/public/scanners?after=",
		"/cases/" + c.Number + "?before=", "/cases/" + c.Number + "?sources=", "/sources/" + c.Sources[0].String() + "?before="} {
		for _, place := range []string{"99999999999999999999", "9223372036854775807", "4294967296", "-1", "-9223372036854775808", "x", "", "0", "1e9",
			"%00", "9223372036854775807.9223372036854775807", "36028797018963968.9223372036854775807", "-36028797018963968.1", "1.1", "::ffff:192.0.2.1",
			"fe80::1%25eth0", "192.0.2.256", "36028797018963968.9223372036854775807.255.65535.x", "-36028797018963968.-1.0.0.", "'", "%ff"} {
			if status, _, _ := b.get(path + place); status != http.StatusOK {
				t.Errorf("%s%s: got %d", path, place, status)
			}
		}
	}
	for _, path := range []string{"/mailbox/", "/registrations/", "/cases/", "/sources/"} {
		for _, id := range []string{"99999999999999999999", "-1", "9223372036854775807", "x"} {
			if status, _, _ := b.get(path + id); status != http.StatusNotFound {
				t.Errorf("%s%s: got %d", path, id, status)
			}
		}
	}
}

// TestCaseReadsInOrder checks the order on a narrow screen, which is that of
// the document: what to do stands before the long lists.
func TestCaseReadsInOrder(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	body, last := d.page("/cases/"+d.c.Number), 0
	for _, id := range []string{"h-letter", "h-contact", "h-actions", "h-chart", "sources", "timeline"} {
		i := strings.Index(body, `id="`+id+`"`)
		if i < last {
			t.Errorf("%s stands at %d, behind what follows it", id, i)
		}
		last = i
	}
	if queue := d.page("/cases"); !strings.Contains(queue, `<th scope="row" class="nowrap"`) {
		t.Error("case numbers wrap")
	}
}

func TestQueueFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	for n := range 3 {
		addCase(t, b.db, n, b.now.Add(time.Duration(n)*time.Minute))
	}
	for query, want := range map[string]int{"": 3, "view=approval": 3, "view=reply": 0, "view=all&state=new": 3, "view=all&state=closed": 0,
		"view=all&kind=infected": 3, "view=all&kind=scanner": 0, "view=all&q=TT-2026-000002": 1, "view=all&q=2": 1, "view=all&q=192.0.2.9": 1, "in=approval&kind=infected": 3, "in=reply&kind=infected": 0, "q=192.0.2.0/24": 3,
		"q=192.0.2.8/29": 1, "q=service 1": 1, "q=EXAMPLE": 3, "q=nobody": 0, "q=%00%ff": 0, "view=x&state=x&kind=x": 0, "after=x.y": 3} {
		body := b.page("/cases?" + strings.ReplaceAll(query, " ", "+"))
		if query == "view=x&state=x&kind=x" {
			continue // nonsense is no error
		}
		if got := strings.Count(body, `<a class="mono" href="/cases/`); got != want {
			t.Errorf("%s: got %d cases, want %d", query, got, want)
		}
	}
	body := b.page("/cases")
	if strings.Index(body, "TT-2026-000001") > strings.Index(body, "TT-2026-000003") {
		t.Error("the queue is not longest first")
	}
	body = b.page("/cases?view=all")
	if strings.Index(body, "TT-2026-000001") < strings.Index(body, "TT-2026-000003") {
		t.Error("the list is not last changed first")
	}
}

func TestSourceFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	addCase(t, b.db, 1, b.now)
	for query, want := range map[string]int{"": 3, "kind=infected": 3, "kind=scanner": 0, "port=445": 3, "port=53/udp": 0, "q=192.0.2.9": 1,
		"q=192.0.2.8/30": 3, "q=2001:db8::/32": 0, "tool=zmap": 0} {
		if got := strings.Count(b.page("/sources?"+query), `href="/sources/192.0.2.`); got != want {
			t.Errorf("%s: got %d sources, want %d", query, got, want)
		}
	}
	if body := b.page("/cases"); strings.Contains(body, "/sources?attention=1") {
		t.Error("the queue asks to look at nothing")
	}
	exec(t, b.db, `update verdict set attention = 'undeclared-ports', kind = 'scanner', acknowledged = 'Example Research'
		where source = '192.0.2.10' and superseded_at is null`)
	body := b.page("/sources?attention=1")
	if strings.Count(body, `href="/sources/192.0.2.`) != 1 || !strings.Contains(body, "has not declared") || !strings.Contains(b.page("/cases"), "/sources?attention=1") {
		t.Errorf("contradictions are not found:\n%s", body)
	}
	for _, query := range []string{"port=x", "q=nonsense"} {
		if status, _, _ := b.get("/sources?" + query); status != http.StatusUnprocessableEntity {
			t.Errorf("%s: got %d", query, status)
		}
	}
	if status, _, _ := b.get("/sources/" + netip.MustParseAddr("::ffff:192.0.2.9").String()); status != http.StatusOK {
		t.Errorf("a mapped address: got %d", status)
	}
}

func TestPartialIsContentOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	req, err := http.NewRequest(http.MethodGet, b.srv.URL+"/cases", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Teiten-Partial", "1")
	status, body, h := b.do(req)
	if status != http.StatusOK || strings.Contains(body, "<html") || !strings.Contains(body, "<h1>") || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Teiten-Partial") {
		t.Errorf("partial: got %d, %s\n%s", status, h.Values("Vary"), body)
	}
}
