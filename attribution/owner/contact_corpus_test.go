package owner_test

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/corpus"
)

func TestLookupFileAgreesWithCorpus(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "rdap", func(t *testing.T, c corpus.Corpus) { lookupFilesAgree(t, c.Dir) })
}

// lookupFilesAgree reads each answer that the list of the folder names and
// compares the contact with the list's.
func lookupFilesAgree(t *testing.T, dir string) {
	index, err := os.Open(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	lines := bufio.NewScanner(index)
	for n := 0; lines.Scan(); n++ {
		f := strings.Split(lines.Text(), "\t")
		if n == 0 || len(f) < 5 {
			continue
		}
		file, query, email, provenance, gate := f[0], f[1], strings.TrimPrefix(f[2], "-"), f[3], f[4]
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			r, err := os.Open(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := owner.LookupFile(r, netip.MustParseAddr(query), owner.DefaultContactConfig(), nil, sayer(t, "ja"))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := json.MarshalIndent(got, "", " "); err == nil {
				t.Logf("%s", b)
			}
			if got.Contact.Email != email || string(got.Contact.Provenance) != provenance || string(got.Contact.Gate) != gate {
				t.Errorf("got %s %s %s, want %s %s %s", got.Contact.Email, got.Contact.Provenance, got.Contact.Gate, email, provenance, gate)
			}
			for _, k := range append([]owner.LookupContact{got.Contact}, got.Alternatives...) {
				saidInJapanese(t, k.Why)
			}
			for _, k := range got.Rejected {
				saidInJapanese(t, k.Why)
			}
			note := strings.Join(f[5:], " ")
			fromRemark := slices.ContainsFunc(got.Alternatives, func(a owner.LookupContact) bool { return a.Provenance == casedb.FromRemark })
			if strings.Contains(note, "remark names another") && !fromRemark {
				t.Error("the address in the remark is no alternative")
			}
			if strings.Contains(note, "reject") && (len(got.Rejected) == 0 || got.Rejected[0].Why == "") {
				t.Error("the registry's address is not rejected with a reason")
			}
			if p, err := netip.ParsePrefix(got.Network.Range); err == nil && !p.Contains(netip.MustParseAddr(query)) {
				t.Errorf("range %s does not hold the address", got.Network.Range)
			}
			if got.Network.Range == "" || got.Network.Country == "" || got.Owner == "" {
				t.Errorf("incomplete: %+v owner %q", got.Network, got.Owner)
			}
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}
