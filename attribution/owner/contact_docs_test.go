package owner_test

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
)

// example is an answer in docs/contacts.md, followed by JPNIC's WHOIS if
// the page has it, and the result that the page gives.
var example = regexp.MustCompile("(?s)```json\n(.*?)```\n(?:\n```whois\n(.*?)```\n)?\n(Contact: .*?\\.)\n\n")

// TestDocumentedExamples keeps the worked examples of docs/contacts.md true.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/contacts.md")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.5")
	examples := example.FindAllSubmatch(page, -1)
	if n := strings.Count(string(page), "```json"); n < 10 || len(examples) != n {
		t.Fatalf("%d of %d examples are understood", len(examples), n)
	}
	for _, m := range examples {
		network := casedb.Network{Raw: m[1]}
		if len(m[2]) > 0 {
			network.Whois = m[2]
		}
		answer, err := owner.StoredAnswer(network, addr)
		if err != nil {
			t.Errorf("%v: %s", err, m[1])
			continue
		}
		c := owner.ChooseContact(answer, addr, owner.DefaultContactConfig())
		inJapanese(t, &c)
		got := "Contact: none, "
		if c.Contact.Email != "" {
			got = fmt.Sprintf("Contact: `%s`, ", c.Contact.Email)
		}
		got += fmt.Sprintf("`%s`, `%s`", c.Contact.Provenance, c.Contact.Gate)
		if c.Contact.Valid != nil {
			got += map[bool]string{true: ", valid", false: ", invalid"}[*c.Contact.Valid]
		}
		for _, a := range c.Alternatives {
			got += ". Alternative: `" + a.Email + "`"
		}
		for _, r := range c.Rejected {
			got += ". Rejected: `" + r.Email + "`"
		}
		if got += "."; got != string(m[3]) {
			t.Errorf("the page says  %s\nbut it is      %s", m[3], got)
		}
		if len(m[2]) > 0 && c.Network.Range != "192.0.2.0/26" {
			t.Errorf("range %s", c.Network.Range)
		}
	}
}
