package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
)

// search sends the form of the list of cases as it stands on a page, with the
// text typed into it.
func (b *bundle) search(page, text string) (status int, body, to string) {
	b.t.Helper()
	form := regexp.MustCompile(`(?s)<form class="filter".*?</form>`).FindString(b.page(page))
	if form == "" {
		b.t.Fatalf("%s has no form", page)
	}
	q := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(form, -1) {
		q.Set(m[1], m[2])
	}
	q.Set("q", text)
	q.Set("state", "")
	q.Set("kind", "")
	status, body, h := b.get("/cases?" + q.Encode())
	return status, body, h.Get("Location")
}

// TestSearchFindsEveryCase: a case that does not wait is found from the queue, too.
func TestSearchFindsEveryCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	for n := range 3 {
		addCase(t, b.db, n, b.now.Add(time.Duration(n)*time.Minute))
	}
	exec(t, b.db, `update cases set waiting = '', waiting_since = null where id = 2`)
	exec(t, b.db, `update cases set waiting = 'reply' where id = 3`)
	for _, page := range []string{"/cases", "/cases?view=waiting", "/cases?view=reply", "/cases?view=all"} {
		status, body, _ := b.search(page, "Example Internet")
		want(t, page+": status", status, http.StatusOK)
		if n := strings.Count(body, `<a class="mono" href="/cases/`); n != 3 {
			t.Errorf("from %s: got %d cases, want 3", page, n)
		}
		for tab, n := range map[string]string{"Waiting": "2", "Reply": "1", "Approval": "1", "All": "3"} {
			if !regexp.MustCompile(`(?s)<a data-partial[^>]*>\s*` + tab + ` <span class="n">` + n + `</span>`).MatchString(body) {
				t.Errorf("from %s: the tab %s does not say %s", page, tab, n)
			}
		}
	}
	body := b.page("/cases?view=bounce&q=Example+Internet")
	if !strings.Contains(body, "No case of this view matches.") || !strings.Contains(body, `href="/cases?q=Example&#43;Internet&amp;view=all"`) {
		t.Error("a view without matches does not say where the others are")
	}
}

// TestSearchGoesStraight: a number or an address means one case.
func TestSearchGoesStraight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	for n := range 2 {
		addCase(t, b.db, n, b.now.Add(time.Duration(n)*time.Minute))
	}
	exec(t, b.db, `update cases set waiting = '', waiting_since = null where id = 2`)
	exec(t, b.db, `insert into source (address, first_at, last_at, country, judged_at) values ('198.51.100.7', $1, $1, 'JP', $1)`, b.now)
	for text, to := range map[string]string{"TT-2026-000002": "/cases/TT-2026-000002", "[tt-2026-000001]": "/cases/TT-2026-000001", "2": "/cases/TT-2026-000002",
		"192.0.2.9": "/cases/TT-2026-000002", "::ffff:192.0.2.9": "/cases/TT-2026-000002", "198.51.100.7": "/sources/198.51.100.7",
		"198.51.100.8": "", "TT-2026-000009": "", "999": "", "192.0.2.0/24": "", "service 1": ""} {
		_, _, got := b.search("/cases", text)
		want(t, text, got, to)
	}
	exec(t, b.db, `insert into case_source (case_id, source, verdict_id, joined_at) select 1, source, verdict_id, joined_at from case_source where source = '192.0.2.9'`)
	status, body, _ := b.search("/cases", "192.0.2.9")
	want(t, "an address of two cases", []any{status, strings.Count(body, `<a class="mono" href="/cases/`)}, []any{http.StatusOK, 2})
}
