package main

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"teiten/internal/pgtest"
)

var confirmLink = regexp.MustCompile(`http://[^\s"<]+(/register/confirm/[^\s"<]+)`)

// TestTheTrial plays what `make run` promises on the default world: the sample
// becomes cases; one is approved, its letter read in the built-in mailbox and
// answered from there, as a person and as a mail server; it is closed. A
// researcher registers, confirms, is accepted, and the scanner is acknowledged.
func TestTheTrial(t *testing.T) {
	t.Parallel()
	args := []string{"--sample", "--set", "database.url=" + pgtest.New(t), "--set", "web.listen=127.0.0.1:0",
		"--set", "mail.inbound_listen=127.0.0.1:0"}
	s := serve(t, args...)
	desk := s.login()
	var queue string
	eventually(t, "three cases wait", func() bool {
		queue = desk.get("/cases?lang=en")
		return len(links(t, queue, "/cases/TT-")) == 3
	})

	// The case without an address cannot be approved; the provider's can.
	number := ""
	for _, link := range links(t, queue, "/cases/TT-") {
		page := desk.get(link)
		switch {
		case strings.Contains(page, "Example Trading"):
			if strings.Contains(page, "/approve") {
				t.Error("a case with nobody to write to offers an approval")
			}
		case strings.Contains(page, "Example Internet Service"):
			number = caseNumber.FindString(link)
		}
	}
	desk.submit(desk.get("/cases/"+number), "/approve", nil)
	var box string
	eventually(t, "the letter is in the mailbox", func() bool {
		found := links(t, desk.get("/mailbox"), "/mailbox/")
		if len(found) == 1 {
			box = found[0]
		}
		return len(found) == 1
	})
	letter := desk.get(box)
	for _, want := range []string{"192.0.2.10", number, "auto-generated"} {
		if !strings.Contains(letter, want) {
			t.Errorf("the letter in the mailbox does not show %q", want)
		}
	}
	desk.submit(letter, "/reply", map[string]string{"text": "The machine was cleaned & reinstalled."})
	eventually(t, "the case is answered", func() bool { return s.state(number) == "answered" })
	if page := desk.get("/cases/" + number); !strings.Contains(page, "cleaned &amp; reinstalled") {
		t.Error("the case does not show the reply")
	}
	desk.submit(desk.get(box), "/bounce", nil)
	eventually(t, "the bounce is in the case", func() bool {
		return slices.ContainsFunc(s.detail(number).Messages, func(m messageLine) bool { return m.State == "bounced" })
	})
	if waiting := s.detail(number).Waiting; waiting != "reply" { // no coordinator has read the answer yet
		t.Errorf("the case waits for %q, want reply", waiting)
	}
	desk.submit(desk.get("/cases/"+number), "/close", map[string]string{"reason": "cleaned"})
	if got := s.state(number); got != "closed" {
		t.Errorf("state %q, want closed", got)
	}

	// The researcher: a form, a mailed link, a button.
	researcherRegisters(t, s, desk)

	// A second start doubles nothing.
	s.end()
	again := serve(t, args...)
	if d := again.detail(number); d.State != "closed" || d.Sources != 8 {
		t.Errorf("after a second start: %+v", d.caseLine)
	}
	if got := len(links(t, again.login().get("/cases?view=all"), "/cases/TT-")); got != 3 {
		t.Errorf("%d cases after a second start, want 3", got)
	}
}

// researcherRegisters walks a registration to the acknowledged scanner.
func researcherRegisters(t *testing.T, s *served, desk *client) {
	t.Helper()
	researcher := s.visitor()
	researcher.submit(researcher.get("/register?lang=en"), "/register", map[string]string{"organisation": "Example Research Institute",
		"purpose": "Measuring TLS deployment", "email": "security@research.example", "prefixes": "203.0.113.0/26"})
	confirm := ""
	eventually(t, "the confirmation is mailed", func() bool {
		for _, link := range links(t, desk.get("/mailbox"), "/mailbox/") {
			if m := confirmLink.FindStringSubmatch(desk.get(link)); m != nil {
				confirm = m[1]
			}
		}
		return confirm != ""
	})
	page := researcher.get(confirm)
	if got := links(t, desk.get("/registrations"), "/registrations/"); len(got) != 0 {
		t.Error("a GET of the link was enough to confirm")
	}
	researcher.submit(page, confirm, nil)
	waiting := links(t, desk.get("/registrations"), "/registrations/")
	if len(waiting) != 1 {
		t.Fatalf("%d registrations wait, want 1", len(waiting))
	}
	u, err := url.Parse(waiting[0])
	if err != nil {
		t.Fatal(err)
	}
	desk.submit(desk.get(waiting[0]), u.Path, map[string]string{"decision": "accept", "reason": "known institute"})
	eventually(t, "the scanner is acknowledged", func() bool {
		return strings.Contains(desk.get("/sources/203.0.113.10?lang=en"), "Example Research Institute")
	})
	if public := s.visitor().get("/public/scanners.json"); !strings.Contains(public, "203.0.113.0/26") {
		t.Errorf("the public list does not have it: %s", public)
	}
}
