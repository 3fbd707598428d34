package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/casedb"
	"teiten/notify"
	"teiten/web"
)

// contents is a digest of every table but the sessions: what changed nothing
// leaves them as they were.
func (b *bundle) contents() map[string]string {
	b.t.Helper()
	rows, err := b.db.SQL().QueryContext(b.t.Context(), `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = current_schema() and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'session'`)
	if err != nil {
		b.t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			b.t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := rows.Close(); err != nil || len(tables) < 20 {
		b.t.Fatalf("tables %q, %v", tables, err)
	}
	sums := map[string]string{}
	for _, name := range tables {
		sums[name] = one[string](b.t, b.db, `select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from `+name+` t`)
	}
	return sums
}

// unchanged wants the tables as they were.
func (b *bundle) unchanged(what string, before map[string]string) {
	b.t.Helper()
	for name, sum := range b.contents() {
		if before[name] != sum {
			b.t.Errorf("%s changed table %s", what, name)
		}
	}
}

// postPaths are the addresses of all routes that change something, filled with
// what there is, and whether one needs no login.
func postPaths(t *testing.T, c sampleCase) map[string]bool {
	t.Helper()
	fill := strings.NewReplacer("{number}", c.Number, "{id}", "1", "{n}", "0", "{name}", "infected.first.en")
	paths := map[string]bool{}
	for _, route := range routesOf(t, "POST") {
		verbs := []string{""}
		switch {
		case strings.Contains(route, "messages"):
			verbs = []string{"approve", "hold", "edit", "cancel"}
		case strings.Contains(route, "mailbox"):
			verbs = []string{"reply", "bounce"}
		case strings.Contains(route, "{verb}"):
			verbs = []string{"note", "close", "ignore", "reopen", "again", "answer", "contact", "seen", "end-link", "tell", "ticket"}
		}
		token := pageTokens(t).PagePath(c.Number, &c.Message)
		if strings.HasPrefix(route, "/register/") {
			token = confirmToken
		}
		public := strings.HasPrefix(route, "/o/") || strings.HasPrefix(route, "/register") || route == "/login" || route == "/logout"
		for _, v := range verbs {
			path := fill.Replace(strings.NewReplacer("{verb}", v, "{token}", token).Replace(route))
			if strings.Contains(path, "{") {
				t.Errorf("route %s: what to fill in is not known", route)
			}
			paths[path] = public
		}
	}
	return paths
}

// TestEveryChangeIsGuarded tries all routes that change something without the
// right to do so: from another site with a lead's session, without a session, as a
// viewer, and by other methods. Not a row of the database changes.
func TestEveryChangeIsGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("hanako", casedb.RoleViewer, "en")
	viewer := b.http
	b.http = browser(t)
	b.user("taro", casedb.RoleLead, "en")
	lead := b.http
	c := fillWithEvil(t, b)
	paths := postPaths(t, c)
	before := b.contents()
	send := func(client *http.Client, method, path string, headers ...string) int {
		t.Helper()
		b.http = client
		body := "act=fixed&version=" + version(t, b, c) + "&message-version=2&reason=x&text=x&stop=yes&name=taro&password=" + strings.ReplaceAll(password, " ", "+") +
			"&language=ja&case=" + c.Number + "&decision=accept&organisation=Example&purpose=some+research&email=a@research.example&prefixes=203.0.113.128/26&_method=POST"
		if method == http.MethodGet {
			path, body = path+"?"+body, ""
		}
		req, err := http.NewRequest(method, b.srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		status, _, _ := b.do(req)
		return status
	}
	for path, public := range paths {
		for _, foreign := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://other.example"}, {"Origin", "null"},
			{"Origin", b.srv.URL + ".other.example"}, {"Sec-Fetch-Site", "cross-site", "Origin", b.srv.URL}} {
			if status := send(lead, http.MethodPost, path, foreign...); status != http.StatusForbidden {
				t.Errorf("POST %s with %q: %d", path, foreign, status)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			send(lead, method, path, "X-HTTP-Method-Override", "POST", "X-Method-Override", "POST", "X-HTTP-Method", "POST")
		}
		if public {
			continue
		}
		if status := send(browser(t), http.MethodPost, path); status != http.StatusUnauthorized {
			t.Errorf("POST %s without a session: %d", path, status)
		}
		if status := send(viewer, http.MethodPost, path); status != http.StatusForbidden && path != "/settings/language" {
			t.Errorf("POST %s by a viewer: %d", path, status)
		}
	}
	// A viewer's language is the viewer's.
	before["users"] = b.contents()["users"]
	b.unchanged("who may not change anything", before)
	if status := send(lead, http.MethodPost, "/cases/"+c.Number+"/note"); status != http.StatusSeeOther {
		t.Errorf("the lead's own note: %d", status)
	}
}

// TestReadingChangesNothing: mail scanners, browsers that load ahead and
// visitors that follow every link leave no trace.
func TestReadingChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Registry = prometheus.NewRegistry() })
	b.user("taro", casedb.RoleLead, "en")
	c := fillWithEvil(t, b)
	before := b.contents()
	pages, _ := b.everyPage("/metrics", "/effect/survival.csv", "/register/confirm/"+confirmToken, "/o/"+pageTokens(t).PagePath(c.Number, &c.Message))
	for _, path := range pages {
		req, err := http.NewRequest(http.MethodHead, b.srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.do(req)
	}
	b.unchanged("reading", before)
}

// TestOldSessionsAreWorthless: a cookie from before the login does not become
// a session, and one that was logged out is none any more.
func TestOldSessionsAreWorthless(t *testing.T) {
	t.Parallel()
	b := setup(t)
	with := func(cookie string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, b.srv.URL+"/cases", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", cookie)
		client := browser(t)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	b.user("taro", casedb.RoleLead, "en")
	cookie := func() string {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, b.srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.http.Jar.Cookies(req.URL) {
			if c.Name == "teiten" {
				return "teiten=" + c.Value
			}
		}
		t.Fatal("no session")
		return ""
	}
	first := cookie()
	want(t, "a session", with(first), http.StatusOK)
	b.login("taro") // once more, with the cookie of the session
	second := cookie()
	if first == second {
		t.Error("a login keeps the token from before")
	}
	want(t, "the token from before", with(first), http.StatusSeeOther)
	b.post("/logout")
	want(t, "after logout", with(second), http.StatusSeeOther)
	for _, made := range []string{"teiten=", "teiten=" + strings.Repeat("A", 43), "teiten=1", "teiten=" + second[7:len(second)-1]} {
		want(t, made, with(made), http.StatusSeeOther)
	}
}

// TestEveryLetterOfAnOwnersLinkCounts: no link but the one that was mailed
// leads anywhere, however near it is.
func TestEveryLetterOfAnOwnersLinkCounts(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	token := strings.TrimPrefix(page, "/o/")
	guesses := map[string]bool{token + "a": true, token + "=": true, "0" + token: true, token + "/": true, token + "%00": true, token + "%20": true, "": true,
		token + "@teiten.example": true, token + "%3E": true, "%20" + token: true, "%3C" + token: true, strings.ToUpper(token): true}
	for i := range token {
		guesses[token[:i]] = true // cut
		for _, letter := range "a2.-%" {
			if token[i] != byte(letter) {
				guesses[token[:i]+string(letter)+token[i+1:]] = true
			}
		}
	}
	// The other owner's HMAC, and this one's on his message.
	other := one[int64](t, d.db, `select max(id) from message`)
	number := one[string](t, d.db, `select number from cases order by id desc limit 1`)
	theirMessage, err := d.db.Message(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	theirs := pageTokens(t).PagePath(number, &theirMessage)
	mac := func(s string) string { return s[strings.LastIndexByte(s, '.'):] }
	body := func(s string) string { return s[:strings.LastIndexByte(s, '.')] }
	guesses[body(token)+mac(theirs)], guesses[body(theirs)+mac(token)] = true, true
	// Tokens that every reader of the mail or its envelope has.
	for _, kind := range []notify.TokenKind{notify.TokenReply, notify.TokenBounce} {
		address := pageTokens(t).Make(kind, d.c.Number, &d.c.Message)
		local, _, _ := strings.Cut(address, "@")
		_, bare, _ := strings.Cut(local, "+")
		guesses[address], guesses[local], guesses[bare] = true, true, true
	}
	before := d.contents()
	for _, guess := range slices.Sorted(maps.Keys(guesses)) {
		d.now = d.now.Add(10 * time.Second) // no visitor is slowed down
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequest(method, d.srv.URL+"/o/"+guess, strings.NewReader("act=fixed"))
			if err != nil {
				continue // no such address can be asked for
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			status, text, _ := d.do(req)
			if status != http.StatusNotFound && status != http.StatusBadRequest && status != http.StatusTemporaryRedirect && status != http.StatusMovedPermanently {
				t.Errorf("%s %q: %d", method, guess, status)
			}
			if strings.Contains(text, "192.0.2.") {
				t.Errorf("%q shows the evidence", guess)
			}
		}
	}
	d.unchanged("guessing", before)
	if status, _, _ := d.get(page); status != http.StatusOK {
		t.Errorf("the link itself: %d", status)
	}
}

// TestGuessesDoNotKeepOwnersOut: one address guesses, or follows one link
// without end as mail scanners do; others behind it read on.
func TestGuessesDoNotKeepOwnersOut(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	theirs, err := d.db.Message(t.Context(), one[int64](t, d.db, `select max(id) from message`))
	if err != nil {
		t.Fatal(err)
	}
	other := "/o/" + pageTokens(t).PagePath(one[string](t, d.db, `select number from cases order by id desc limit 1`), &theirs)
	codes := map[int]int{}
	for i := range 200 {
		status, _, _ := d.get(fmt.Sprintf("/o/tt-2026-000001.%d.aaaaaaaaaaaaaaaaaaaa", i+1))
		codes[status]++
	}
	if codes[http.StatusNotFound] != 60 || codes[http.StatusTooManyRequests] != 140 {
		t.Errorf("guesses: %v", codes)
	}
	clear(codes)
	for range 200 {
		status, _, _ := d.get(page)
		codes[status]++
	}
	if codes[http.StatusOK] != 120 || codes[http.StatusTooManyRequests] != 80 {
		t.Errorf("one link: %v", codes)
	}
	if status, _, _ := d.get(other); status != http.StatusOK {
		t.Errorf("another owner behind the same address: %d", status)
	}
	if status, _, _ := d.post(other, "act", "fixed"); status != http.StatusSeeOther {
		t.Errorf("and his answer: %d", status)
	}
}

// TestNothingIsReplayedAfterTheLinkEnded: a form that was open when the link
// was revoked, or that is sent twice, says nothing more.
func TestNothingIsReplayedAfterTheLinkEnded(t *testing.T) {
	t.Parallel()
	d, page := atOwnersPage(t)
	_, form, _ := d.get(page)
	if !strings.Contains(form, `value="fixed"`) {
		t.Fatal("no form")
	}
	owner := d.http
	if status, _, _ := d.post(page, "act", "fixed", "comment", "once"); status != http.StatusSeeOther {
		t.Fatalf("while the link works: %d", status)
	}
	d.login("taro")
	if status, _ := d.act("end-link", "message", fmt.Sprint(d.c.Message.ID), "reason", "forwarded"); status != http.StatusSeeOther {
		t.Fatalf("end the link: %d", status)
	}
	before := d.contents()
	d.http = owner
	for _, act := range casedb.OwnerActs {
		status, body, _ := d.post(page, "act", string(act), "comment", "again", "email", "soc@isp.example", "days", "30", "language", "en")
		want(t, "replay of "+string(act), status, http.StatusNotFound)
		if strings.Contains(body, "192.0.2.") {
			t.Errorf("the answer to %s shows the evidence", act)
		}
	}
	d.unchanged("replay after revocation", before)
}

// TestAConfirmationIsNotReplayed: the link that a researcher was mailed does
// nothing more once it was used, whatever was decided since.
func TestAConfirmationIsNotReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleLead, "en")
	if status, _, _ := b.post("/register", "organisation", "Example Research Institute", "purpose", "Measuring the internet", "email", "security@research.example",
		"prefixes", "203.0.113.0/26"); status != http.StatusSeeOther {
		t.Fatalf("register: %d", status)
	}
	found := link.FindStringSubmatch(one[string](t, b.db, `select body from message where purpose = 'confirmation'`))
	if found == nil {
		t.Fatal("no link was mailed")
	}
	state := func() string { return one[string](t, b.db, `select state from registration`) }
	b.post(found[1])
	want(t, "confirmed", state(), "pending")
	for _, decision := range []string{"", "reject"} {
		if decision != "" {
			b.post("/registrations/1", "decision", decision, "reason", "not known")
			want(t, "decided", state(), "rejected")
		}
		before := b.contents()
		for range 3 {
			b.post(found[1])
		}
		b.unchanged("replaying the confirmation", before)
	}
}
