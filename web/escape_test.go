package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"

	"teiten/internal/browsertest"
	"teiten/internal/soak"
	"teiten/web"
)

// watcher reads pages in a browser and notes what a page must not do.
type watcher struct {
	t    *testing.T
	ctx  context.Context
	mu   sync.Mutex // guards the rest
	said []string   // requests elsewhere, dialogs, exceptions
	ours []string   // where requests may go
}

// watch opens a browser that notes, from the first byte of every page, what
// the content policy stops.
func watch(t *testing.T, ours ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, ctx: browsertest.Open(t), ours: ours}
	err := chromedp.Do(w.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `window.stopped = []; document.addEventListener("securitypolicyviolation", e => stopped.push(e.violatedDirective + " " + e.blockedURI))`})
		return chromedp.Void{}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = chromedp.Listen(w.ctx, func(ev any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch e := ev.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "data:") && !slices.ContainsFunc(w.ours, func(o string) bool { return strings.HasPrefix(e.Request.URL, o+"/") }) {
				w.said = append(w.said, "request to "+e.Request.URL)
			}
		case *page.EventJavascriptDialogOpening:
			w.said = append(w.said, "dialog "+e.Message)
			go func() {
				_ = chromedp.Do(w.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
					_, err := cdp.Call(ctx, tab, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
					return chromedp.Void{}, err
				})
			}()
		case *runtime.EventExceptionThrown:
			w.said = append(w.said, "exception "+e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// withoutPolicy lets pages do what the content policy would stop: then escaping
// alone must hold.
func (w *watcher) withoutPolicy(yes bool) {
	w.t.Helper()
	err := chromedp.Do(w.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: yes})
		return chromedp.Void{}, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// inspect looks at the page that is open, then at the same page loaded as our
// script does: as a part put into the frame.
const inspect = `(async () => {
	const found = [];
	const look = (how) => {
		if (window.pwned !== undefined) found.push(how + "a script ran: " + window.pwned);
		for (const e of document.querySelectorAll("*")) {
			if (e.localName === "x-pwn" || e.localName === "iframe" || e.localName === "object" || e.localName === "base") found.push(how + "element " + e.localName);
			if (e.localName === "script" && !e.src.startsWith(location.origin + "/assets/")) found.push(how + "script " + e.outerHTML.slice(0, 80));
			if (e.localName === "img" && !e.src.startsWith(location.origin + "/assets/")) found.push(how + "picture " + e.src);
			for (const a of e.attributes) {
				if (a.name.startsWith("on") || a.name === "style" || a.name.includes("pwn")) found.push(how + "attribute " + a.name + " of " + e.localName);
				if (["href", "src", "action", "formaction", "xlink:href"].includes(a.name) && !/^(https?:|mailto:)/.test(new URL(a.value, location.href))) found.push(how + a.name + " " + a.value);
			}
		}
		const turned = document.documentElement.outerHTML.match(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c].{0,40}/);
		if (turned) found.push(how + "text that turns: " + escape(turned[0]));
	};
	look("");
	const text = document.documentElement.textContent + " " + [...document.querySelectorAll("input,textarea")].map(e => e.value).join(" ") + " " + document.title;
	const content = document.getElementById("content");
	if (content && %t) {
		const answer = await fetch(location.href, {headers: {"Teiten-Partial": "1"}});
		content.innerHTML = await answer.text();
		await new Promise(done => setTimeout(done, 20));
		look("as a part: ");
	}
	return {found: found, stopped: window.stopped || [], marks: [...new Set(text.match(/pwn-[a-z0-9-]+/g) || [])]};
})()`

// seen is what inspect finds.
type seen struct {
	Found   []string `json:"found"`
	Stopped []string `json:"stopped"`
	Marks   []string `json:"marks"` // the fields that are shown
}

// read opens a page and returns what it shows, and all that is wrong with it.
func (w *watcher) read(address string, again bool) (seen, []string) {
	w.t.Helper()
	w.mu.Lock()
	w.said = nil
	w.mu.Unlock()
	if err := chromedp.Do(w.ctx, chromedp.Navigate(address)); err != nil {
		w.t.Fatalf("%s: %v", address, err)
	}
	s, err := chromedp.Run(w.ctx, chromedp.Evaluate[seen](fmt.Sprintf(inspect, again), chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v", address, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return s, slices.Concat(s.Found, s.Stopped, w.said)
}

// enter logs in as a person would.
func (w *watcher) enter(b *bundle, name string) {
	w.t.Helper()
	err := chromedp.Do(w.ctx, chromedp.Navigate(b.srv.URL+"/login?lang=ja"), chromedp.SendKeys(`input[name="name"]`, name),
		chromedp.SendKeys(`input[name="password"]`, password), chromedp.Click(`main form button`), chromedp.WaitVisible(`nav a[href="/settings"]`))
	if err != nil {
		w.t.Fatal(err)
	}
}

// replay serves answers to forms again, under the policy they came with, so
// that a browser can read them.
type replay struct {
	*httptest.Server
	bodies []string
	policy string
}

func newReplay(t *testing.T) *replay {
	r := &replay{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var n int
		if _, err := fmt.Sscanf(req.URL.Path, "/%d", &n); err != nil || n >= len(r.bodies) {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", r.policy)
		_, _ = io.WriteString(w, r.bodies[n])
	}))
	t.Cleanup(r.Close)
	return r
}

// tooMuch is more text than any field takes.
var tooMuch = strings.Repeat(" x", 110_000)

// refusals fills every form of the pages with evil that is too long to be
// taken, and returns the pages that say so, by form.
func (b *bundle) refusals(pages []string) map[string]string {
	b.t.Helper()
	answers, asked := map[string]string{}, map[string]bool{}
	alike := regexp.MustCompile(`\d+|/letters/.+`)
	for _, path := range pages {
		_, body, _ := b.get(path)
		doc, err := html.Parse(strings.NewReader(body))
		if err != nil {
			b.t.Fatal(err)
		}
		for n := range doc.Descendants() {
			action := attribute(n, "action")
			kind := alike.ReplaceAllString(action, "N")
			if n.Data != "form" || !strings.EqualFold(attribute(n, "method"), "post") || action == "/logout" || asked[kind] {
				continue
			}
			asked[kind] = true
			values, changed := url.Values{}, false
			for f := range n.Descendants() {
				name := attribute(f, "name")
				switch {
				case name == "":
				case f.Data == "textarea", f.Data == "input" && attribute(f, "type") != "hidden" && attribute(f, "type") != "checkbox" && attribute(f, "type") != "file":
					values.Set(name, strings.TrimSuffix(evil("form-"+name), marks)+tooMuch) // marks of one's own are one's own
					changed = true
				case f.Data == "input" || f.Data == "button":
					values.Set(name, attribute(f, "value"))
				case f.Data == "select":
					values.Set(name, brief("form-"+name))
				}
			}
			req, err := http.NewRequest(http.MethodPost, b.srv.URL+action, strings.NewReader(values.Encode()))
			if err != nil {
				b.t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if status, body, h := b.do(req); changed && strings.HasPrefix(h.Get("Content-Type"), "text/html") && status != http.StatusSeeOther {
				answers[action] = strings.ReplaceAll(body, tooMuch, " x") // a browser takes long to lay it out
			}
		}
	}
	return answers
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// TestNothingOfAStrangerRunsOnAnyPage walks every page of the desk in a
// browser after strangers wrote markup into every field they can write to: the
// text stands there as text, no script runs even without the content policy,
// and with it there is nothing to stop; no request goes elsewhere. Of pages that
// show the same fields it reads one of each route; the long test reads them all.
func TestNothingOfAStrangerRunsOnAnyPage(t *testing.T) {
	t.Parallel()
	walkWithEvil(t, (*bundle).telling)
}

func TestSoakNothingOfAStrangerRunsOnAnyPage(t *testing.T) {
	soak.Start(t)
	walkWithEvil(t, func(_ *bundle, pages, _ []string) []string { return pages })
}

var mark = regexp.MustCompile(`pwn-[a-z0-9-]+`)

// telling returns the first pages and those that show a field which none
// before them shows.
func (b *bundle) telling(pages, first []string) (some []string) {
	b.t.Helper()
	shown := map[string]bool{}
	for _, path := range slices.Concat(first, pages) {
		_, body, _ := b.get(path)
		fields := mark.FindAllString(body, -1)
		if slices.ContainsFunc(fields, func(m string) bool { return !shown[m] }) || slices.Contains(first, path) {
			some = append(some, path)
		}
		for _, m := range fields {
			shown[m] = true
		}
	}
	slices.Sort(some)
	return slices.Compact(some)
}

// walkWithEvil reads the pages that are chosen from all and from the first of
// each route.
func walkWithEvil(t *testing.T, choose func(b *bundle, pages, first []string) []string) {
	b := setup(t, func(c *web.Config) { c.Registry = prometheus.NewRegistry() })
	b.user("taro", "lead", "ja")
	c := fillWithEvil(t, b)
	again := newReplay(t)
	w := watch(t, b.srv.URL, again.URL)
	pages, first := b.everyPage("/metrics", "/effect/survival.csv", "/effect/survival.svg", "/register/confirm/"+confirmToken, "/o/"+pageTokens(t).PagePath(c.Number, &c.Message))

	// What would be seen if something were wrong.
	again.bodies = []string{`<!doctype html><body><p>` + evil("open") + `</p><a href="javascript:alert(1)">x</a>`}
	w.withoutPolicy(true)
	if _, wrong := w.read(again.URL+"/0", false); len(wrong) < 5 {
		t.Fatalf("on a page without escaping all that is noticed is %q", wrong)
	}
	w.withoutPolicy(false)
	_, _, h := b.get("/login")
	again.policy = h.Get("Content-Security-Policy")
	if s, wrong := w.read(again.URL+"/0", false); len(s.Stopped) == 0 || slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, "a script ran") }) {
		t.Fatalf("the content policy stops %q of %q", s.Stopped, wrong)
	}

	w.enter(b, "taro")
	shown := map[string]bool{}
	read := func(address string, again bool) {
		t.Helper()
		s, wrong := w.read(address, again)
		if len(wrong) > 0 {
			t.Errorf("%s: %q", address, wrong)
		}
		for _, m := range s.Marks {
			shown[m] = true
		}
	}
	answers := b.refusals(pages)
	pages = choose(b, pages, first) // now that forms have changed what pages show
	again.bodies = nil
	for _, body := range answers {
		again.bodies = append(again.bodies, body)
	}
	for _, path := range first { // the policy has nothing to stop
		read(b.srv.URL+path, false)
	}
	w.withoutPolicy(true)
	for _, path := range pages {
		read(b.srv.URL+path, true)
	}
	for n := range again.bodies {
		read(fmt.Sprintf("%s/%d", again.URL, n), false)
	}
	t.Logf("%d pages, %d refused forms, %d fields", len(pages), len(answers), len(shown))
	if len(answers) < 15 {
		t.Errorf("only %d forms were refused with a page", len(answers))
	}
	// What was not shown was not looked at.
	for _, field := range append(hostileFields(), "box-body", "box-csv", "box-envelopefrom", "box-envelopeto", "box-file", "box-from", "box-listed", "box-subject", "box-to",
		"comment", "contactcomment", "contactname", "handle", "network", "note", "organisation-accepted", "organisation-unconfirmed", "owner", "purpose-accepted", "purpose-unconfirmed",
		"why", "form-comment", "form-text", "form-organisation", "form-purpose", "form-reason") {
		if !shown["pwn-"+field] {
			t.Errorf("no page shows the field %s", field)
		}
	}
}

// hostileFields are the fields of hostileMails that some page shows.
func hostileFields() (fields []string) {
	for _, kind := range []string{"case", "stray"} {
		for name, parts := range map[string]string{"reply": "from subject text rfc2231", "html": "from subject page", "charset": "from subject text", "utf7": "text",
			"jis": "text", "auto": "from subject text", "complaint": "from subject text", "receipt": "text", "delay": "explanation", "forged": "explanation", "bounce": "explanation"} {
			for part := range strings.FieldsSeq(parts) {
				fields = append(fields, kind+"-"+name+"-"+part)
			}
		}
	}
	return append(fields, "case-reply-replyto")
}
