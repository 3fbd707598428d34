package web_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/internal/soak"
)

// screens are the widths that pages are looked at, in pixels.
var screens = []int64{390, 640, 700, 768, 820, 920, 1024, 1100, 1200, 1440}

// narrow says what does not fit on a screen: the page as a whole, cells in which
// words are broken every few letters, and a current entry that is out of view.
const narrow = `(() => {
	const found = [], root = document.documentElement;
	if (root.scrollWidth > root.clientWidth) {
		const wide = [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > root.clientWidth && !e.closest(".figure, pre"));
		found.push("scrolls sideways by " + (root.scrollWidth - root.clientWidth) + ": " + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(" | "));
	}
	for (const e of document.querySelectorAll(".list tbody th, .list tbody td")) {
		const box = e.getBoundingClientRect(), style = getComputedStyle(e);
		const room = box.width - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
		if (box.height > 0 && room < 40 && e.textContent.trim().length > 8) found.push("a cell of " + Math.round(room) + " pixels: " + e.textContent.trim().slice(0, 40));
	}
	for (const e of document.querySelectorAll(".nav [aria-current], .tabs [aria-current]")) {
		const at = e.getBoundingClientRect(), bar = e.parentElement.getBoundingClientRect();
		if (at.left < bar.left - 1 || at.right > bar.right + 1) found.push("out of view: " + e.textContent.trim());
	}
	return found;
})()`

// TestPagesFitTheScreen looks at the lists that are the widest.
func TestPagesFitTheScreen(t *testing.T) {
	t.Parallel()
	fitTheScreen(t, func(pages []string) []string {
		return []string{"/cases?view=all", "/sources", "/sources/windows", "/aggregates", "/settings", "/outgoing?view=held", "/captures"}
	})
}

// TestSoakPagesFitTheScreen looks at every page.
func TestSoakPagesFitTheScreen(t *testing.T) {
	t.Parallel()
	soak.Start(t)
	fitTheScreen(t, func(pages []string) []string { return pages })
}

func fitTheScreen(t *testing.T, choose func(pages []string) []string) {
	t.Helper()
	b := setup(t)
	b.user("taro", casedb.RoleLead, "ja")
	c := fill(t, b)
	b.longNames()
	pages := slices.Sorted(maps.Values(viewPaths(t, b, c)))
	w := watch(t, b.srv.URL)
	w.enter(b, "taro")
	for _, path := range choose(pages) {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		for _, lang := range locale.Languages() {
			for i, width := range screens {
				w.resize(width)
				if i == 0 { // the script looks at the width once
					if err := chromedp.Do(w.ctx, chromedp.Navigate(b.srv.URL+path+sep+"lang="+lang)); err != nil {
						t.Fatalf("%s: %v", path, err)
					}
				}
				found, err := chromedp.Run(w.ctx, chromedp.Evaluate[[]string](narrow))
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				for _, f := range found {
					t.Errorf("%s in %s at %d: %s", path, lang, width, f)
				}
			}
		}
	}
}

// longNames makes what lists show as long as it comes.
func (b *bundle) longNames() {
	b.t.Helper()
	exec(b.t, b.db, `update owner set name = 'Example University Computing and Networking Centre for Research and Education' where id = 1`)
	exec(b.t, b.db, `update owner set name = 'サンプルネットワークサービス株式会社 インターネット事業本部' where id = 2`)
	exec(b.t, b.db, `update aggregate set victim = '2001:db8:1234:5678:9abc:def0:1234:5678' where victim is not null`)
	exec(b.t, b.db, `insert into source (address, first_at, last_at, country, judged_at) values ('2001:db8:1234:5678:9abc:def0:1234:5678', $1, $1, 'JP', $1)`, b.now)
	exec(b.t, b.db, `insert into verdict (source, kind, malware, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at, created_at)
		values ('2001:db8:1234:5678:9abc:def0:1234:5678', 'infected', 'ms17-010', true, 0.97, 'worm445', '2026.1', '{445/TCP,8080/TCP,50000/UDP}', '{"packets": 1234567}', $1, $1, $1)`, b.now)
	exec(b.t, b.db, `update message set recipient = 'network-abuse-desk@computing.university.example' where state = 'held'`)
}

// resize makes the screen as wide.
func (w *watcher) resize(width int64) {
	w.t.Helper()
	err := chromedp.Do(w.ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1})
		return chromedp.Void{}, err
	})
	if err != nil {
		w.t.Fatal(fmt.Errorf("resize: %w", err))
	}
}
