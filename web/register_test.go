package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/web"
)

var link = regexp.MustCompile(`http://desk\.example(/register/confirm/[a-z2-7]+)`)

func TestScannerIsRegistered(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	coordinator := d.http
	d.http = browser(t)
	good := []string{"organisation", "Example Research Institute", "purpose", "Measuring the internet", "email", "security@research.example",
		"url", "https://research.example/", "prefixes", "203.0.113.0/26\n2001:db8:1::/48",
		"ports", "443/tcp, 80/TCP\n8000-8100/TCP ICMP"}
	bad := []string{"organisation", "Kept <Institute>", "purpose", "short", "email", "nobody", "url", "javascript:x", "prefixes", "203.0.113.5/26\n10.0.0.0/8", "ports", "443"}
	status, body, _ := d.post("/register?lang=en", bad...)
	want(t, "bad form", status, http.StatusUnprocessableEntity)
	for _, text := range []string{"Kept &lt;Institute&gt;", "at least 10 characters", "We cannot write to this mail address", "starts with http://", "203.0.113.0/26", "<code>10.0.0.0/8</code>", "Please write the ports like 80/TCP", ">443</textarea>"} {
		if !strings.Contains(body, text) {
			t.Errorf("the form does not show %q", text)
		}
	}
	want(t, "requests", one[int](t, d.db, `select count(*) from registration`), 0)
	status, _, h := d.post("/register", good...)
	want(t, "register", []any{status, h.Get("Location")}, []any{http.StatusSeeOther, "/register/done"})
	mail := one[string](t, d.db, `select body from message where purpose = 'confirmation' and state = 'queued' and recipient = 'security@research.example'`)
	found := link.FindStringSubmatch(mail)
	if found == nil {
		t.Fatalf("the mail has no link:\n%s", mail)
	}
	state := func() string { return one[string](t, d.db, `select state from registration`) }
	const ports = "ICMP, 80/TCP, 443/TCP, 8000-8100/TCP"
	if body := d.page(found[1]); !strings.Contains(body, "203.0.113.0/26") || !strings.Contains(body, ports) {
		t.Error("the page does not show what is confirmed")
	}
	want(t, "after GET", state(), "unconfirmed")
	for range 2 { // a second press changes nothing
		status, _, _ = d.post(found[1])
		want(t, "confirm", status, http.StatusSeeOther)
		want(t, "after POST", state(), "pending")
	}
	if body := d.page("/public/scanners"); strings.Contains(body, "Research") {
		t.Error("published before the decision")
	}
	d.http = coordinator
	if body := d.page("/registrations"); !strings.Contains(body, "Example Research Institute") {
		t.Error("the request is not listed")
	}
	for _, pairs := range [][]string{{"decision", "accept", "reason", ""}, {"decision", "x", "reason", "y"}} {
		if status, _, _ := d.post("/registrations/1", pairs...); status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
			t.Errorf("%v: got %d", pairs, status)
		}
	}
	if body := d.page("/registrations/1"); !strings.Contains(body, ports) {
		t.Error("the coordinator does not see the declared ports")
	}
	status, _, _ = d.post("/registrations/1", "decision", "accept", "reason", "Known people")
	want(t, "accept", status, http.StatusSeeOther)
	status, _, _ = d.post("/registrations/1", "decision", "reject", "reason", "changed my mind")
	want(t, "decide twice", status, http.StatusConflict)
	want(t, "mail", one[int](t, d.db, `select count(*) from message where purpose = 'decision' and body like '%Known people%'`), 1)
	want(t, "declared", one[int](t, d.db, `select count(*) from scanner where ports = $1`, ports), 2)
	if body := d.page("/scanners"); !strings.Contains(body, ports) {
		t.Error("the allowlist does not show the declared ports")
	}
	for _, path := range []string{"/scanners", "/registrations/1"} {
		if body := d.page(path); !strings.Contains(body, "no end") || strings.Contains(body, "– –") || strings.Contains(body, "–\n–") {
			t.Errorf("%s does not say that the entries are valid without end", path)
		}
	}
	d.http = browser(t)
	if body := d.page("/public/scanners"); !strings.Contains(body, ports) || !strings.Contains(body, "Example Research Institute") || strings.Contains(body, "security@research.example") {
		t.Error("the public list is wrong")
	}
	_, text, h := d.get("/public/scanners.json")
	var list struct {
		Scanners []struct {
			Organisation, Prefix, Purpose, URL string
			Ports                              []string
		}
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Scanners) != 2 || len(list.Scanners[0].Ports) != 4 || h.Get("Content-Type") != "application/json" {
		t.Errorf("JSON: got %s, %v", text, err)
	}
}

func TestRegistrationShowsWhoseThePrefixesAre(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	exec(t, d.db, `insert into network_prefix (network_id, prefix) select id, '192.0.2.8/29' from network`)
	ctx := context.Background()
	for i, prefixes := range [][]string{{"203.0.113.0/28", "192.0.2.0/26", "2001:db8:1::/48"}, {"192.0.2.10/32"}, {"203.0.113.0/28"}} {
		_, err := d.db.CreateRegistration(ctx, casedb.Registration{Organisation: "Strangers", Purpose: "Measuring the internet", Email: "a@research.example",
			Language: "en", Prefixes: prefixes, ConfirmDigest: []byte{byte(i)}, ConfirmUntil: d.now.Add(time.Hour), CreatedAt: d.now})
		if err != nil {
			t.Fatal(err)
		}
	}
	exec(t, d.db, `update registration set state = 'pending'`)
	for path, inside := range map[string]string{"/registrations/1": "3 infected", "/registrations/2": "1 infected"} {
		body := d.page(path)
		for _, text := range []string{inside, "Example Internet Service 1", `href="/cases/` + d.c.Number + `"`, "Caution: ", "192.0.2.8 – 192.0.2.15"} {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not show %q", path, text)
			}
		}
	}
	if body := d.page("/registrations/3"); strings.Contains(body, "Caution") || !strings.Contains(body, "not looked up") || !strings.Contains(body, "nothing infected") {
		t.Error("the warning is shown for what is clean")
	}
	status, _, _ := d.post("/registrations/3", "decision", "accept", "reason", "Known people")
	want(t, "accept", status, http.StatusSeeOther)
	if body := d.page("/registrations/3"); !strings.Contains(body, "no end") {
		t.Error("the entry's end is not shown")
	}
	until := d.now.AddDate(1, 0, 0)
	exec(t, d.db, `update scanner set valid_to = $1`, until)
	if body := d.page("/registrations/3"); !strings.Contains(body, until.Format("2006-01-02")) {
		t.Error("the entry's expiry is not shown")
	}
}

func TestRegistrationLinksEnd(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.http = browser(t)
	good := []string{"organisation", "Example Research Institute", "purpose", "Measuring the internet", "email", "security@research.example", "prefixes", "203.0.113.0/26"}
	limited := false
	for range 5 {
		status, _, _ := d.post("/register", good...)
		limited = limited || status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("one address can be mailed without end")
	}
	found := link.FindStringSubmatch(one[string](t, d.db, `select body from message where purpose = 'confirmation' order by id limit 1`))
	d.now = d.now.Add(49 * time.Hour)
	for _, method := range []func(string) int{func(p string) int { s, _, _ := d.get(p); return s }, func(p string) int { s, _, _ := d.post(p); return s }} {
		want(t, "late", method(found[1]), http.StatusNotFound)
		want(t, "wrong", method("/register/confirm/aaaaaaaaaaaaaaaaaaaaaaaaaa"), http.StatusNotFound)
	}
	want(t, "unconfirmed", one[int](t, d.db, `select count(*) from registration where state <> 'unconfirmed'`), 0)
}

// TestRegistrationsAreBounded: the form takes no request whose mail could not go
// out before its link is dead.
func TestRegistrationsAreBounded(t *testing.T) {
	t.Parallel()
	d := setup(t, func(c *web.Config) {
		c.Planner.Limits = casedb.SendLimits{ConfirmationsPerHour: 20, ConfirmationsPerDomainDay: 2}
	})
	for i, c := range []struct {
		email string
		want  int
	}{
		{"a@research.example", 303}, {"b@research.example", 303}, {"c@Research.example", 303}, {"d@research.example", 303},
		{"e@research.example", 429}, {"a@other.example", 303}, // two days of two mails are full, of one domain
	} {
		status, _, _ := d.post("/register", "organisation", "Example Research Institute", "purpose", "Measuring the internet",
			"email", c.email, "prefixes", "203.0.113.0/26")
		want(t, fmt.Sprintf("registration %d", i), status, c.want)
	}
	want(t, "requests", one[int](t, d.db, `select count(*) from registration`), 5)
	exec(t, d.db, `insert into message (registration_id, purpose, state, recipient, language, message_id, token, next_attempt_at, created_at)
		select 1, 'confirmation', 'queued', 'x@d' || n || '.example', 'en', n::text, n::text, $1, $1 from generate_series(1, 48 * 20) n`, d.now)
	status, _, _ := d.post("/register", "organisation", "Example Research Institute", "purpose", "Measuring the internet",
		"email", "a@third.example", "prefixes", "203.0.113.0/26")
	want(t, "all hours are full", status, 429)
}
