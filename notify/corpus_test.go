package notify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"teiten/notify"
)

// corpusDir returns a folder of the shared corpus, or skips the test.
func corpusDir(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("TEITEN_CORPUS")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				t.Fatal("no go.mod above the test")
			}
			dir = filepath.Dir(dir)
		}
		root = filepath.Join(dir, "..", "shared", "data")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the corpus is not there: %v", err)
	}
	return dir
}

// TestClassifyCorpus reads real mails: none fails, and each is what its source
// says.
func TestClassifyCorpus(t *testing.T) {
	t.Parallel()
	dir := corpusDir(t, "mails")
	list, err := os.ReadFile(filepath.Join(dir, "SOURCES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"bounce": "bounce", "arf-complaint": "feedback", "autoreply": "autoreply", "not-a-bounce": "human"}
	n := 0
	for line := range strings.Lines(string(list)) {
		field := strings.Split(strings.TrimSpace(line), "\t")
		if len(field) != 4 || want[field[2]] == "" {
			continue
		}
		n++
		raw, err := os.ReadFile(filepath.Join(dir, field[0]))
		if err != nil {
			t.Fatal(err)
		}
		r := notify.ClassifyMail(field[0], raw)
		if r.Class != want[field[2]] {
			t.Errorf("%s: class %s, want %s (subject %q)", field[0], r.Class, want[field[2]], r.Subject)
		}
		t.Logf("%-28s %-9s hard=%-5v %-7s %-45s ticket=%s", field[0], r.Class, r.Hard, r.Status, r.Recipient, r.RemoteTicket)
		if r.RemoteTicket != "" || r.TicketTag != "" { // none of them comes from a ticket system
			t.Errorf("%s: ticket %q %q", field[0], r.RemoteTicket, r.TicketTag)
		}
		if r.Class == "bounce" && (r.Status == "" || r.Text == "") {
			t.Errorf("%s: a bounce without status or text", field[0])
		}
	}
	if n < 60 {
		t.Errorf("the corpus names %d mails, want at least 60", n)
	}
}
