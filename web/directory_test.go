package web_test

import (
	"net/http"
	"strings"
	"testing"

	"teiten/internal/casedb"
)

// TestDirectoryIsEdited walks the way of an entry: refused with what was typed,
// entered, changed with its history, exported, ended.
func TestDirectoryIsEdited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("Taro", casedb.RoleCoordinator, "en")
	entry := func(target, email, note string) (int, string, http.Header) {
		return b.post("/contacts", "scope", "prefix", "target", target, "email", email, "name", "Dept", "language", "ja", "format", "xarf",
			"country", "jp", "from", "", "until", "2099-04-01", "note", note)
	}
	for target, want := range map[string]string{"192.0.2.1/24": "host bits", "192.0.2.0": "", "0.0.0.0/0": "too large", "<b>": "neither an address"} {
		status, body, _ := entry(target, map[bool]string{true: "nobody", false: "noc@dept.example"}[want == ""], "<script>x</script>")
		if want == "" {
			want = "not a mail address"
		}
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, want) || !strings.Contains(body, "&lt;script&gt;") || strings.Contains(body, "<script>x") {
			t.Errorf("%s: got %d", target, status)
		}
	}
	if status, body, _ := b.post("/contacts", "scope", "as", "target", "64500", "email", "noc@dept.example", "language", "ja", "key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx"); status != http.StatusUnprocessableEntity || !strings.Contains(body, "cannot be used for encryption") {
		t.Errorf("a key that is none: got %d", status)
	}
	if status, body, _ := entry("192.0.2.0/28", "someone@teiten.example", ""); status != http.StatusUnprocessableEntity || !strings.Contains(body, "belongs to a registry or to us") {
		t.Errorf("our own address: got %d", status)
	}
	status, _, h := entry("192.0.2.0/28", "noc@dept.example", "=1+1")
	if status != http.StatusSeeOther || h.Get("Location") != "/contacts/1" {
		t.Fatalf("enter: got %d to %s", status, h.Get("Location"))
	}
	if body := b.page("/contacts?q=192.0.2.7"); !strings.Contains(body, "noc@dept.example") {
		t.Error("not found by an address inside it")
	}
	if body := b.page("/contacts?q=192.0.2.17"); strings.Contains(body, "noc@dept.example") {
		t.Error("found by an address outside it")
	}
	status, _, h = b.post("/contacts/1", "scope", "prefix", "target", "192.0.2.0/28", "email", "new@dept.example", "language", "ja", "digest", "1", "note", "moved")
	if status != http.StatusSeeOther || h.Get("Location") != "/contacts/2" {
		t.Fatalf("change: got %d to %s", status, h.Get("Location"))
	}
	if body := b.page("/contacts/2"); !strings.Contains(body, "new@dept.example") || !strings.Contains(body, "noc@dept.example") {
		t.Error("the history is missing")
	}
	// Who still looks at the first does not undo the second.
	status, body, _ := b.post("/contacts/1", "scope", "prefix", "target", "192.0.2.0/28", "email", "late@dept.example", "language", "ja", "note", "late")
	if status != http.StatusConflict || !strings.Contains(body, "in the meantime") {
		t.Errorf("change of what was changed: got %d", status)
	}
	if status, _, _ = b.post("/contacts/2", "scope", "prefix", "target", "192.0.2.0/29", "email", "late@dept.example", "language", "ja"); status != http.StatusConflict {
		t.Errorf("change into another target: got %d", status)
	}
	if status, _, _ = b.post("/contacts/99", "scope", "prefix", "target", "192.0.2.0/28", "email", "late@dept.example", "language", "ja"); status != http.StatusNotFound {
		t.Errorf("change of what is not there: got %d", status)
	}
	if body := b.page("/contacts/contacts.csv"); !strings.Contains(body, "prefix,192.0.2.0/28,new@dept.example,,ja,,yes,,,,moved,") {
		t.Errorf("export: %s", body)
	}
	if status, _, _ = b.post("/contacts/1/end"); status != http.StatusConflict {
		t.Errorf("ended what had ended: got %d", status)
	}
	if status, _, _ = b.post("/contacts/2/end"); status != http.StatusSeeOther {
		t.Errorf("end: got %d", status)
	}
	if body := b.page("/contacts"); strings.Contains(body, "dept.example") {
		t.Error("an entry that has ended is listed")
	}
	b.http = browser(t)
	b.user("Hanako", casedb.RoleViewer, "ja")
	if status, _, _ := entry("192.0.2.0/28", "noc@dept.example", ""); status != http.StatusForbidden {
		t.Errorf("a viewer entered a contact: got %d", status)
	}
	if body := b.page("/contacts/2"); strings.Contains(body, "<textarea") {
		t.Error("a viewer sees a form")
	}
}
