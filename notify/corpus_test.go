package notify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"teiten/internal/corpus"
	"teiten/notify"
)

// TestClassifyCorpus reads the mails of the corpus: none fails, and each is
// what its source says.
func TestClassifyCorpus(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "mails", func(t *testing.T, c corpus.Corpus) {
		least := 60
		if c.MadeUp {
			least = 8
		}
		if n := classifyMails(t, c.Dir); n < least {
			t.Errorf("the corpus names %d mails, want at least %d", n, least)
		}
	})
}

// classifyMails classifies each mail that the list of the folder names, and
// returns their number.
func classifyMails(t *testing.T, dir string) (n int) {
	list, err := os.ReadFile(filepath.Join(dir, "SOURCES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"bounce": "bounce", "arf-complaint": "feedback", "autoreply": "autoreply", "not-a-bounce": "human"}
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
	return n
}
