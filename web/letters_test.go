package web_test

import (
	"net/http"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/notify"
)

// TestLettersAreWrittenTriedAndChosen walks the way of a letter: a bad one is
// refused and stays in the form, a good one is tried, saved, put in force, and
// left for the program's own again.
func TestLettersAreWrittenTriedAndChosen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("Taro", casedb.RoleCoordinator, "en")
	if body := b.page("/letters"); strings.Count(body, "/letters/") < len(notify.LetterNames()) {
		t.Error("letters are missing")
	}
	const path = "/letters/infected-mirai.first.en"
	const subject, text = "[{{.Number}}] Hello", "{{.Owner}} {{.Number}} {{.Email}}\n{{range .Groups}}{{.Table}}{{end}}\n<b>my words</b>"
	status, body, _ := b.post(path, "subject", subject, "body", text+"{{.Sensor}}", "save", "1")
	if status != http.StatusUnprocessableEntity || !strings.Contains(body, "{{.Sensor}}") || !strings.Contains(body, "&lt;b&gt;my words") {
		t.Errorf("a bad letter: got %d", status)
	}
	status, body, _ = b.post(path, "subject", subject, "body", text, "preview", "1")
	if status != http.StatusOK || !strings.Contains(body, "[TT-2026-000123] Hello") {
		t.Errorf("preview: got %d", status)
	}
	if status, _, _ = b.post(path, "subject", subject, "body", text, "preview", "1", "case", "TT-2026-999999"); status != http.StatusUnprocessableEntity {
		t.Errorf("preview on no case: got %d", status)
	}
	status, _, h := b.post(path, "subject", subject, "body", text, "save", "1")
	if status != http.StatusSeeOther || !strings.HasPrefix(h.Get("Location"), path+"?version=1") {
		t.Fatalf("save: got %d to %s", status, h.Get("Location"))
	}
	if body := b.page(h.Get("Location")); !strings.Contains(body, "<ins>+ &lt;b&gt;my words&lt;/b&gt;</ins>") {
		t.Error("the difference to the text in force is not shown")
	}
	if status, _, _ = b.post(path+"/choose", "version", "1", "reason", ""); status != http.StatusUnprocessableEntity {
		t.Errorf("chosen without a reason: got %d", status)
	}
	if status, _, _ = b.post(path+"/choose", "version", "2", "reason", "x"); status != http.StatusNotFound {
		t.Errorf("chose what is not there: got %d", status)
	}
	for _, version := range []string{"1", "0"} {
		if status, _, _ = b.post(path+"/choose", "version", version, "reason", "a reason"); status != http.StatusSeeOther {
			t.Errorf("choose %s: got %d", version, status)
		}
		if status, _, _ = b.post(path+"/choose", "version", version, "reason", "again"); status != http.StatusConflict {
			t.Errorf("choose %s again: got %d", version, status)
		}
		if n := one[string](t, b.db, `select version::text from letter_choice order by id desc limit 1`); n != version {
			t.Errorf("in force is %s, want %s", n, version)
		}
	}
	if _, err := b.db.SQL().ExecContext(t.Context(), `update letter_template set body = ''`); err == nil {
		t.Error("a version was changed")
	}
	b.http = browser(t)
	b.user("Hanako", casedb.RoleViewer, "ja")
	if status, _, _ = b.post(path, "subject", subject, "body", text, "save", "1"); status != http.StatusForbidden {
		t.Errorf("a viewer saved a letter: got %d", status)
	}
	if body := b.page(path); strings.Contains(body, "<textarea") {
		t.Error("a viewer sees a form")
	}
}
