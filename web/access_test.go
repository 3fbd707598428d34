package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/internal/casedb"
	"teiten/web"
)

func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "teiten_test", Help: "x"}))
	b := setup(t, func(c *web.Config) { c.Registry = registry })
	for _, path := range []string{"/", "/login", "/nowhere", "/healthz", "/readyz", "/metrics", "/public/scanners.json", "/cases", "/robots.txt"} {
		status, body, h := b.get(path)
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", path, h)
		}
		if status >= 500 {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
	if _, body, _ := b.get("/metrics"); !strings.Contains(body, "teiten_test 0") {
		t.Error("metrics are not served")
	}
	if status, body, _ := b.get("/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("ready: got %d %q", status, body)
	}
}

func TestReadyzSaysNoWithoutDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Ready = func(context.Context) error { return errors.New("no workers") } })
	if status, _, _ := b.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready without workers: got %d", status)
	}
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := b.get("/healthz"); status != http.StatusOK {
		t.Errorf("alive: got %d", status)
	}
	status, body, _ := b.get("/login")
	if status != http.StatusOK {
		t.Errorf("login page: got %d %s", status, body)
	}
}

func TestAssetsAreKeptForGood(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, body, _ := b.get("/login")
	i := strings.Index(body, "/assets/")
	path := body[i : i+strings.IndexByte(body[i:], '"')]
	status, _, h := b.get(path)
	if status != http.StatusOK || !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%s: got %d, %v", path, status, h)
	}
	if status, _, _ := b.get("/assets/0000000000000000/teiten.css"); status != http.StatusNotFound {
		t.Errorf("another hash: got %d", status)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	status, _, h := b.get("/cases?view=reply")
	if status != http.StatusSeeOther || h.Get("Location") != "/login?next=%2Fcases%3Fview%3Dreply" {
		t.Errorf("without login: got %d to %q", status, h.Get("Location"))
	}
	b.user("Taro", casedb.RoleCoordinator, "ja")
	if body := b.page("/cases"); !strings.Contains(body, "taro") {
		t.Error("the page does not say who is logged in")
	}
	jar := b.http
	b.http = browser(t)
	for name, pw := range map[string]string{"taro": "wrong", "nobody": password, "": "", "taro\x00": password} {
		status, body, h := b.post("/login", "name", name, "password", pw)
		if status != http.StatusUnauthorized || h.Get("Set-Cookie") != "" {
			t.Errorf("%q: got %d, cookie %q", name, status, h.Get("Set-Cookie"))
		}
		if strings.Contains(body, password) {
			t.Error("the page repeats the password")
		}
	}
	status, _, h = b.post("/login", "name", "TARO", "password", password, "next", "//other.example/")
	if status != http.StatusSeeOther || h.Get("Location") != "/cases" {
		t.Errorf("login: got %d to %q", status, h.Get("Location"))
	}
	cookie := h.Get("Set-Cookie")
	if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") || strings.Contains(cookie, "Secure") {
		t.Errorf("cookie: got %q", cookie)
	}
	token := strings.TrimPrefix(strings.Split(cookie, ";")[0], "teiten=")
	if n := one[int](t, b.db, `select count(*) from session where encode(data, 'escape') like '%' || $1 || '%' or encode(digest, 'escape') = $1`, token); n != 0 {
		t.Error("the token itself is in the database")
	}
	// A new password ends the other sessions.
	hash, err := cheap.Hash("another long password")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.db.SetPassword(context.Background(), "taro", hash); err != nil {
		t.Fatal(err)
	}
	for _, client := range []*http.Client{jar, b.http} {
		b.http = client
		if status, _, _ := b.get("/cases"); status != http.StatusSeeOther {
			t.Errorf("after a new password: got %d", status)
		}
	}
}

func TestLogoutAndDisabledUsers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "ja")
	if status, _, _ := b.get("/logout"); status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
		t.Errorf("GET of logout: got %d", status)
	}
	b.page("/cases")
	b.post("/logout")
	if status, _, _ := b.get("/cases"); status != http.StatusSeeOther {
		t.Errorf("after logout: got %d", status)
	}
	b.login("taro")
	if err := b.db.DisableUser(context.Background(), "taro", b.now); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := b.get("/cases"); status != http.StatusSeeOther {
		t.Errorf("disabled: got %d", status)
	}
	if status, _, _ := b.post("/login", "name", "taro", "password", password); status != http.StatusUnauthorized {
		t.Errorf("login of a disabled user: got %d", status)
	}
	// Sessions end by themselves.
	if err := b.db.EnableUser(context.Background(), "taro"); err != nil {
		t.Fatal(err)
	}
}

func TestLoginIsLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limited := 0
	for range 25 {
		if status, _, h := b.post("/login", "name", "nobody", "password", "x"); status == http.StatusTooManyRequests {
			limited++
			if h.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if limited != 5 {
		t.Errorf("limited: got %d of 25, want 5", limited)
	}
	b.now = b.now.Add(time.Minute)
	if status, _, _ := b.post("/login", "name", "nobody", "password", "x"); status != http.StatusUnauthorized {
		t.Errorf("a minute later: got %d", status)
	}
}

func TestForwardedAddressesCountFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{false, true} {
		b := setup(t, func(c *web.Config) {
			if trusted {
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
		})
		limited := 0
		for i := range 25 {
			if b.loginFrom(fmt.Sprintf("203.0.113.%d", i), "nobody", "x") == http.StatusTooManyRequests {
				limited++
			}
		}
		if want := 5; !trusted && limited != want || trusted && limited != 0 {
			t.Errorf("trusted %v: %d limited", trusted, limited)
		}
	}
}

// loginFrom tries to log in from an address behind a proxy.
func (b *bundle) loginFrom(address, name, password string) int {
	b.t.Helper()
	form := url.Values{"name": {name}, "password": {password}}
	req, err := http.NewRequest(http.MethodPost, b.srv.URL+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", address)
	status, _, _ := b.do(req)
	return status
}

func TestStrangersLockNobodyOut(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	const slowness = 50 * time.Millisecond
	b.desk.SetSlowness(slowness)
	b.user("taro", casedb.RoleCoordinator, "en")
	b.user("hanako", casedb.RoleCoordinator, "en")
	for range 21 {
		b.loginFrom("192.0.2.1", "taro", "x")
	}
	want(t, "the pair, even with the password", b.loginFrom("192.0.2.1", "taro", password), http.StatusTooManyRequests)
	// Those who know their password never run out of tries, also behind the
	// address that did this.
	for i := range 21 {
		if status := b.loginFrom("192.0.2.1", "hanako", password); status != http.StatusSeeOther {
			t.Fatalf("login %d: got %d", i, status)
		}
	}
	// Wrong passwords for the account from many addresses, more than what slows it.
	for i := range 21 {
		if status := b.loginFrom(fmt.Sprintf("203.0.113.%d", i), "taro", "x"); status != http.StatusUnauthorized {
			t.Fatalf("try %d: got %d", i, status)
		}
	}
	begin := time.Now()
	want(t, "from elsewhere", b.loginFrom("198.51.100.1", "taro", password), http.StatusSeeOther)
	if took := time.Since(begin); took < slowness {
		t.Errorf("from elsewhere: took %v, which is not slowed", took)
	}
	b.now = b.now.Add(time.Minute)
	want(t, "the pair a minute later", b.loginFrom("192.0.2.1", "taro", password), http.StatusSeeOther)
}

func TestSecureCookieOverHTTPS(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.BaseURL = "https://desk.example/" })
	hash, err := cheap.Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.CreateUser(context.Background(), casedb.User{Name: "taro", PasswordHash: hash, Role: casedb.RoleViewer, Language: "ja"}, b.now); err != nil {
		t.Fatal(err)
	}
	_, _, h := b.post("/login", "name", "taro", "password", password)
	if !strings.Contains(h.Get("Set-Cookie"), "; Secure") {
		t.Errorf("cookie: got %q", h.Get("Set-Cookie"))
	}
	for _, bad := range []string{"desk.example", "ftp://desk.example", "https://", "https://desk.example/path", "https://a b"} {
		if _, err := web.New(web.Config{DB: b.db, BaseURL: bad}); err == nil {
			t.Errorf("base URL %q passes", bad)
		}
	}
	if _, err := web.New(web.Config{}); err == nil {
		t.Error("a desk without database")
	}
}

// changes are all routes that change something a coordinator decides.
func changes(c sampleCase) []string {
	var paths []string
	for _, verb := range []string{"note", "close", "ignore", "reopen", "again", "answer", "contact", "seen", "end-link"} {
		paths = append(paths, "/cases/"+c.Number+"/"+verb)
	}
	for _, verb := range []string{"approve", "hold", "edit", "cancel"} {
		paths = append(paths, fmt.Sprintf("/cases/%s/messages/%d/%s", c.Number, c.Message.ID, verb))
	}
	return append(paths, "/mailbox/1/reply", "/mailbox/1/bounce", "/unmatched/1", "/registrations/1", "/settings/sending", "/settings/rules",
		"/settings/suppressions", "/settings/release")
}

func TestViewersChangeNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := addCase(t, b.db, 1, b.now)
	for _, path := range changes(c) {
		if status, _, _ := b.post(path, "version", "1", "message-version", "1", "reason", "x", "text", "x"); status != http.StatusUnauthorized {
			t.Errorf("%s without login: got %d", path, status)
		}
	}
	b.user("hanako", casedb.RoleViewer, "en")
	for _, path := range changes(c) {
		if status, _, _ := b.post(path, "version", "1", "message-version", "1", "reason", "x", "text", "x", "stop", "yes"); status != http.StatusForbidden {
			t.Errorf("%s by a viewer: got %d", path, status)
		}
		if status, _, _ := b.get(path); status == http.StatusOK && !strings.HasPrefix(path, "/registrations/") {
			t.Errorf("GET %s: got %d", path, status)
		}
	}
	if v := version(t, b, c); v != "1" {
		t.Errorf("the case has version %s", v)
	}
	body := b.page("/cases/" + c.Number)
	if strings.Contains(body, "/approve") || strings.Contains(body, "/note") {
		t.Error("a viewer is shown buttons")
	}
	if status, _, _ := b.post("/settings/language", "language", "ja", "next", "/settings"); status != http.StatusSeeOther {
		t.Error("a viewer cannot choose a language")
	}
	if !strings.Contains(b.page("/settings"), `<html lang="ja">`) {
		t.Error("the chosen language is not used")
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "ja")
	c := addCase(t, b.db, 1, b.now)
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"} {
		req, err := http.NewRequest(http.MethodPost, b.srv.URL+"/cases/"+c.Number+"/close", strings.NewReader("version=1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set(header, value)
		if status, _, _ := b.do(req); status != http.StatusForbidden {
			t.Errorf("%s: %s: got %d", header, value, status)
		}
	}
	if v := version(t, b, c); v != "1" {
		t.Errorf("the case has version %s", v)
	}
}

func TestLanguageOfVisitors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ask := func(accept, query string) string {
		req, err := http.NewRequest(http.MethodGet, b.srv.URL+"/login"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if accept != "" {
			req.Header.Set("Accept-Language", accept)
		}
		_, body, _ := b.do(req)
		i := strings.Index(body, `<html lang="`)
		return body[i+12 : i+14]
	}
	for _, test := range []struct{ accept, query, want string }{
		{"", "", "ja"}, {"en-GB,en;q=0.9", "", "en"}, {"de, fr;q=0.5", "", "ja"}, {"ja-JP", "", "ja"}, {"fr, en;q=0.2, ja;q=0.1", "", "en"},
		{"en", "?lang=xx", "en"}, {"*;q=x", "", "ja"}, {"ja", "?lang=en", "en"}, {"ja", "", "en"}, // remembered from the one before
	} {
		if got := ask(test.accept, test.query); got != test.want {
			t.Errorf("%q %q: got %s, want %s", test.accept, test.query, got, test.want)
		}
	}
}

func TestChosenLanguageOutlastsLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lang := func(path string) string {
		body := b.page(path)
		i := strings.Index(body, `<html lang="`)
		return body[i+12 : i+14]
	}
	b.user("taro", casedb.RoleCoordinator, "en")
	want(t, "stored", lang("/cases"), "en")
	b.http = browser(t)
	want(t, "chosen", lang("/login?lang=ja"), "ja")
	b.login("taro")
	want(t, "after login", lang("/cases"), "ja")
	if status, _, _ := b.post("/settings/language", "language", "en", "next", "/settings"); status != http.StatusSeeOther {
		t.Errorf("settings: got %d", status)
	}
	want(t, "newest choice", lang("/cases"), "en")
	b.http = browser(t)
	b.login("taro")
	want(t, "another browser", lang("/cases"), "en")
}

func TestHugeForms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if status, _, _ := b.post("/register", "purpose", strings.Repeat("x", 2<<20)); status != http.StatusBadRequest {
		t.Errorf("two megabytes: got %d", status)
	}
	if status, _, _ := b.post("/login", "name", strings.Repeat("x", 2<<20)); status != http.StatusBadRequest {
		t.Errorf("two megabytes: got %d", status)
	}
}
