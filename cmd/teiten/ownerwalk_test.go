package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"teiten/internal/browsertest"
	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/internal/synth"
)

var ownerLink = regexp.MustCompile(`http://[^\s"<]+(/o/[a-z0-9.-]+)`)

// TestTheOwnerSaysFixed walks the loop to its end: an owner opens the link of
// a letter on a phone, in Japanese, reads the evidence and says "fixed"; a
// coordinator sees it; the sensors stay quiet, and the case closes itself.
func TestTheOwnerSaysFixed(t *testing.T) {
	t.Parallel()
	phone, desk := browsertest.Open(t), browsertest.Open(t)
	database := pgtest.New(t)
	args := []string{"--sample", "--set", "database.url=" + database, "--set", "web.listen=127.0.0.1:0", "--set", "mail.inbound_listen=127.0.0.1:0",
		"--set", "web.base_url=http://desk.example", "--set", "follow.quiet=24h"}
	s := serve(t, args...)
	number, path := sendLetter(t, s)

	// The owner, on a phone.
	see(t, phone, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2)),
		chromedp.Navigate(s.url+path), chromedp.WaitVisible("#h-evidence"))
	readsTheLetter(t, s, phone, number)
	const said = "古いファイル共有の機器が原因でした。ファームウェアを更新し、445番ポートを閉じました。"
	see(t, phone, chromedp.SendKeys(`textarea[name="comment"]`, said), chromedp.Click(`button[value="fixed"]`), chromedp.WaitVisible(`[role="status"]`))
	page := look(t, phone, "owner-2-thanks")
	page.check(t, "the page of thanks", 390)
	if !strings.Contains(page.Text, "対応完了と記録しました") {
		t.Error("nothing says that it was recorded")
	}

	// The coordinator finds it in the queue and in the timeline.
	open := `a[href="/cases/` + number + `"]`
	see(t, desk, chromedp.EmulateViewport(1280, 900))
	s.enter(desk)
	see(t, desk, chromedp.Navigate(s.url+"/cases?view=reply"), chromedp.WaitVisible(open))
	look(t, desk, "desk-1-queue").check(t, "the queue", 1280)
	see(t, desk, chromedp.Navigate(s.url+"/cases/"+number), chromedp.WaitVisible("#timeline"))
	page = look(t, desk, "desk-2-case")
	if !slices.Contains(page.Events, "owner-fixed") || !strings.Contains(page.Text, "対応完了") || !strings.Contains(page.Text, said) {
		t.Errorf("the case does not show what the owner said: %q", page.Events)
	}
	see(t, desk, chromedp.Click(`form[action$="/seen"] button`), chromedp.WaitVisible(`[role="status"]`))
	if d := s.detail(number); d.State != "answered" || d.Waiting != "" {
		t.Errorf("after it was read the case is %s and waits for %q", d.State, d.Waiting)
	}

	// Time passes: without the sensors that is no silence, with them it is.
	db, err := casedb.Open(database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	hourPasses := func() {
		t.Helper()
		s.end()
		if _, err := db.SQL().Exec(`update followup set checked_at = checked_at - interval '61 minutes'`); err != nil {
			t.Fatal(err)
		}
		s = serve(t, args...)
		eventually(t, "the sources are looked at", func() bool {
			return count(t, db.SQL(), `select count(*) from followup where (select min(checked_at) from followup) > now() - interval '1 hour'`) > 0
		})
	}
	hourPasses() // they are followed from here on
	hourPasses()
	if state := s.state(number); state != "answered" {
		t.Errorf("before the sensors worked for a day the case is %s", state)
	}
	importOthers(t, database)
	hourPasses()
	eventually(t, "the case closes itself", func() bool { return s.state(number) == "closed" })

	// The timeline tells it in the order in which it happened.
	tellsInOrder(t, s, desk, number, said)
	see(t, phone, chromedp.Navigate(s.url+path), chromedp.WaitVisible("main"))
	look(t, phone, "owner-3-closed").check(t, "the owner's page of the closed case", 390)
}

// see does steps in a browser.
func see(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// enter logs in with a browser.
func (s *served) enter(desk context.Context) {
	s.t.Helper()
	see(s.t, desk, chromedp.Navigate(s.url+"/login?lang=ja"), chromedp.SendKeys(`input[name="name"]`, s.user), chromedp.SendKeys(`input[name="password"]`, s.password),
		chromedp.Click(`main form button`), chromedp.WaitVisible(`a[href="/settings"]`))
}

// readsTheLetter looks at the owner's page of a case.
func readsTheLetter(t *testing.T, s *served, phone context.Context, number string) {
	t.Helper()
	page := look(t, phone, "owner-1-letter")
	for _, words := range append([]string{number, "観測結果のご確認", "ご回答", "観測した内容", "445/TCP", "Example Internet Service"}, s.detail(number).Addresses...) {
		if !strings.Contains(page.Text, words) {
			t.Errorf("the owner's page does not say %q", words)
		}
	}
	page.check(t, "the owner's page", 390)
	if state := s.state(number); state != "notified" {
		t.Errorf("reading made the case %s", state)
	}
}

// importOthers imports a capture in which the sensors see others alone.
func importOthers(t *testing.T, database string) {
	t.Helper()
	later := filepath.Join(t.TempDir(), "later.pcap")
	f, err := os.Create(later)
	if err != nil {
		t.Fatal(err)
	}
	// Others are seen: the sensors work, and see nothing of this owner.
	other := synth.Attack{Victim: netip.MustParseAddr("203.0.113.200"), Port: 443, Start: time.Now().Add(time.Hour), Packets: 200, Interval: 10 * time.Minute}
	if err := other.Write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := teiten("import", "--sensor", "sample", "--set", "database.url="+database, later).CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
}

// tellsInOrder looks at a closed case's timeline in the database and on its page.
func tellsInOrder(t *testing.T, s *served, desk context.Context, number, said string) {
	t.Helper()
	want := []string{"opened", "source-joined", "message-held", "message-approved", "message-sent", "owner-fixed", "note", "quiet", "closed"}
	var kinds []string
	var last time.Time
	for _, e := range s.detail(number).Events {
		if e.At.Before(last) {
			t.Errorf("%s stands behind what was after it", e.Kind)
		}
		kinds, last = append(kinds, e.Kind), e.At
	}
	if kinds = slices.Compact(kinds); !slices.Equal(kinds, want) {
		t.Errorf("the timeline is %q, want %q", kinds, want)
	}
	s.enter(desk)
	see(t, desk, chromedp.Navigate(s.url+"/cases/"+number), chromedp.WaitVisible("#timeline"))
	page := look(t, desk, "desk-3-closed")
	slices.Reverse(page.Events) // the newest stands first
	if !slices.Equal(page.Events, want) {
		t.Errorf("the page's timeline is %q, want %q", page.Events, want)
	}
	for _, words := range []string{"すべての送信元が停止", "案件を終了", said} {
		if !strings.Contains(page.Text, words) {
			t.Errorf("the closed case does not say %q", words)
		}
	}

}

// sendLetter approves the letter to the sample's provider and returns the
// case, and where the link in the letter leads.
func sendLetter(t *testing.T, s *served) (number, path string) {
	t.Helper()
	desk := s.login()
	eventually(t, "the provider's case waits", func() bool {
		for _, link := range links(t, desk.get("/cases"), "/cases/TT-") {
			if strings.Contains(desk.get(link), "Example Internet Service") {
				number = caseNumber.FindString(link)
			}
		}
		return number != ""
	})
	desk.submit(desk.get("/cases/"+number), "/approve", nil)
	eventually(t, "the letter is in the mailbox", func() bool {
		for _, box := range links(t, desk.get("/mailbox"), "/mailbox/") {
			if m := ownerLink.FindStringSubmatch(desk.get(box)); m != nil {
				path = m[1]
			}
		}
		return path != ""
	})
	eventually(t, "the case is notified", func() bool { return s.state(number) == "notified" })
	return number, path
}

// looked is what a person sees of a page.
type looked struct {
	Text   string   `json:"text"`
	Lang   string   `json:"lang"`
	Wide   int      `json:"wide"`
	Cookie string   `json:"cookie"`
	Events []string `json:"events"` // of the timeline, as they stand
}

// look reads the page that is open; with TEITEN_SHOTS it leaves a picture of
// it in that folder.
func look(t *testing.T, ctx context.Context, name string) looked {
	t.Helper()
	page, err := chromedp.Run(ctx, chromedp.Evaluate[looked](`({text: document.querySelector("main").innerText, lang: document.documentElement.lang,
		wide: document.documentElement.scrollWidth, cookie: document.cookie,
		events: [...document.querySelectorAll(".timeline > li")].map(e => [...e.classList].find(c => c.startsWith("event-")).slice(6))})`))
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("TEITEN_SHOTS"); dir != "" {
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return page
}

// check wants a page in Japanese that is no wider than its screen.
func (l looked) check(t *testing.T, what string, width int) {
	t.Helper()
	if l.Lang != "ja" || l.Wide > width || l.Cookie != "" {
		t.Errorf("%s is in %s, %d wide on a screen of %d, with cookie %q", what, l.Lang, l.Wide, width, l.Cookie)
	}
}
