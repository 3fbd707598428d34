package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/web"
)

// TestALeadReleasesTheBacklogOfARule: the settings page says how many letters
// still wait for a rule that is automatic now, and releases them.
func TestALeadReleasesTheBacklogOfARule(t *testing.T) {
	t.Parallel()
	var releaser casework.Releaser
	b := setup(t, func(c *web.Config) {
		releaser = casework.Releaser{DB: c.DB, FirstContactByGate: true}
		c.ReleaseHeld = func(ctx context.Context, rule, by string, now time.Time) (int, int, error) {
			r, err := releaser.Release(ctx, rule, by, now)
			return r.Released, r.Kept, err
		}
	})
	b.user("taro", casedb.RoleLead, "en")
	for n := range 2 {
		addCase(t, b.db, n, b.now)
	}
	exec(t, b.db, `update contact set gate = 'human' where email = 'abuse1@isp.example'`)
	if body := b.page("/settings"); strings.Contains(body, "/settings/release") {
		t.Error("the page offers to release letters of a rule that holds")
	}
	status, _, _ := b.post("/settings/rules", "rule", "worm445", "mode", "automatic", "reason", "never wrong")
	want(t, "automatic", status, http.StatusSeeOther)
	body := b.page("/settings")
	for _, text := range []string{"2 letters are still held from before", "2 letters are still held</a>", "Release 2 letters", `action="/settings/release"`} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	status, _, _ = b.post("/settings/release", "rule", "worm445")
	want(t, "release", status, http.StatusSeeOther)
	if body := b.page("/settings"); !strings.Contains(body, "Letters queued: 1. Still held for another reason: 1.") || strings.Contains(body, `action="/settings/release"`) {
		t.Error("the page does not say what became of them")
	}
	want(t, "queued", one[int](t, b.db, `select count(*) from message where state = 'queued' and approved_by = ''`), 1)
	want(t, "the mail workers were woken", b.woke, 1)
	status, _, _ = b.post("/settings/release", "rule", "none")
	want(t, "no rule", status, http.StatusBadRequest)
}
