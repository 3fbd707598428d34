package owner_test

import (
	"encoding/csv"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"teiten/attribution/owner"
	"teiten/internal/corpus"
)

// TestFieldContacts chooses from the answers that were made after reports of users.
func TestFieldContacts(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "field/rdap", func(t *testing.T, c corpus.Corpus) {
		if c.MadeUp {
			t.Skip("the tests of kinds make the like")
		}
		f, err := os.Open(filepath.Join(c.Dir, "expect.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.Comma, r.Comment, r.LazyQuotes = '\t', '#', true
		rows, err := r.ReadAll()
		if err != nil || len(rows) < 6 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, row := range rows {
			raw, err := os.ReadFile(filepath.Join(c.Dir, row[0]))
			if err != nil {
				t.Fatal(err)
			}
			got := choose(t, string(raw))
			for _, want := range strings.Fields(row[2]) {
				name, values, _ := strings.Cut(want, "=")
				is := map[string]string{"gate": string(got.Contact.Gate), "contact": got.Contact.Email}[name]
				if !slices.Contains(strings.Split(values, "|"), is) {
					t.Errorf("%s: %s is %s, want %s", row[0], name, is, values)
				}
			}
			onceOnly(t, &got)
		}
	})
}

// onceOnly fails if an address is both written to and rejected.
func onceOnly(t interface{ Errorf(string, ...any) }, c *owner.Choice) {
	for _, r := range c.Rejected {
		for _, k := range append([]owner.ChosenContact{c.Contact}, c.Alternatives...) {
			if strings.EqualFold(k.Email, r.Email) {
				t.Errorf("%s is a contact and rejected", r.Email)
			}
		}
	}
}

// chosen parses an answer and chooses for 192.0.2.5.
func chosen(t interface{ Fatalf(string, ...any) }, answer string) owner.Choice {
	a, err := owner.ParseAnswer([]byte(answer))
	if err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	return owner.ChooseContact(a, netip.MustParseAddr("192.0.2.5"), owner.DefaultContactConfig())
}
