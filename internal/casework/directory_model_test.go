package casework_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/registrytest"
	"teiten/internal/soak"
)

// modelNetwork is a network that the model's registries know.
type modelNetwork struct {
	prefix       netip.Prefix
	last         string
	handle, name string
	as           string
	email        string // empty: the registry names nobody
	country      string
}

var modelNetworks = []modelNetwork{
	{netip.MustParsePrefix("192.0.2.0/25"), "192.0.2.127", "A", "Example Alpha", "64500", "abuse@alpha.example", "JP"},
	{netip.MustParsePrefix("192.0.2.128/25"), "192.0.2.255", "B", "Example Beta", "64501", "abuse@beta.example", "JP"},
	{netip.MustParsePrefix("198.51.100.0/24"), "198.51.100.255", "A", "Example Alpha", "64500", "abuse@alpha.example", "JP"},
	{netip.MustParsePrefix("203.0.113.0/24"), "203.0.113.255", "B", "Example Beta", "64502", "abuse@beta.example", "JP"},
	{netip.MustParsePrefix("2001:db8::/32"), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "C", "Example Gamma", "64503", "", "KR"},
}

var (
	modelAddresses = []string{"192.0.2.1", "192.0.2.66", "192.0.2.127", "192.0.2.128", "192.0.2.255", "198.51.100.7", "203.0.113.9", "2001:db8::1", "2001:db8:1::1"}
	modelTargets   = []casedb.DirectoryEntry{
		{Scope: casedb.ScopePrefix, Target: "192.0.0.0/16", Country: "JP"}, {Scope: casedb.ScopePrefix, Target: "192.0.2.0/24", Country: "JP"},
		{Scope: casedb.ScopePrefix, Target: "192.0.2.64/26", Country: "JP"}, {Scope: casedb.ScopePrefix, Target: "192.0.2.127", Country: "JP"},
		{Scope: casedb.ScopePrefix, Target: "192.0.2.128/31"}, {Scope: casedb.ScopePrefix, Target: "203.0.113.0/28", Country: "JP"},
		{Scope: casedb.ScopePrefix, Target: "2001:DB8:0::/48", Country: "JP"}, {Scope: casedb.ScopePrefix, Target: "2001:db8::/32", Country: "JP"},
		{Scope: casedb.ScopeOrganisation, Target: "EXAMPLE Alpha"}, {Scope: casedb.ScopeOrganisation, Target: "example gamma"},
		{Scope: casedb.ScopeAS, Target: "as64500"}, {Scope: casedb.ScopeAS, Target: "64501"}, {Scope: casedb.ScopeAS, Target: "64503"},
		{Scope: casedb.ScopeCountry, Target: "jp"}, {Scope: casedb.ScopeCountry, Target: "KR"},
	}
)

// directoryModel is the directory as a list, and who is written to for what.
type directoryModel struct {
	*desk
	entries map[[2]string]casedb.DirectoryEntry // by scope and target
	trace   []string
}

func (m *directoryModel) holds(e casedb.DirectoryEntry) bool {
	return (e.ValidFrom == nil || !e.ValidFrom.After(m.now)) && (e.ValidUntil == nil || e.ValidUntil.After(m.now))
}

// contact is whom to write to for an address: the longest prefix that holds,
// else the organisation's, the AS's, the registry's or the country's contact.
func (m *directoryModel) contact(a netip.Addr) string {
	var best netip.Prefix
	email := ""
	for _, e := range m.entries {
		if e.Scope != casedb.ScopePrefix || !m.holds(e) {
			continue
		}
		p := netip.MustParsePrefix(e.Target)
		if p.Contains(a) && (!best.IsValid() || p.Bits() > best.Bits()) {
			best, email = p, e.Email
		}
	}
	if email != "" {
		return email
	}
	for _, r := range modelNetworks {
		if !r.prefix.Contains(a) {
			continue
		}
		for _, k := range [][2]string{{"organisation", strings.ToLower(r.name)}, {"as", r.as}, {"", r.email}, {"country", r.country}} {
			switch e, ok := m.entries[k]; {
			case k[0] == "" && k[1] != "":
				return k[1]
			case k[0] == "as" && r.handle == "B": // who is in two
			case ok && m.holds(e):
				return e.Email
			}
		}
	}
	return ""
}

// check compares the database with the model.
func (m *directoryModel) check() {
	m.t.Helper()
	for _, text := range modelAddresses {
		a := netip.MustParseAddr(text)
		n, err := m.db.NetworkFor(m.t.Context(), a, m.now)
		if err != nil {
			m.t.Fatalf("%s: %v", text, err)
		}
		if got := m.row(`select coalesce(network_id, 0)::text from source where address = $1`, text); got != strconv.FormatInt(n.ID, 10) {
			m.t.Errorf("%s: the source has network %s, of %d", text, got, n.ID)
		}
		contacts, err := m.db.UsableContacts(m.t.Context(), n.OwnerID, m.now)
		if err != nil {
			m.t.Fatal(err)
		}
		got := ""
		if len(contacts) > 0 {
			got = contacts[0].Email
		}
		if want := m.contact(a); got != want {
			m.t.Errorf("%s: written to %q, want %q", text, got, want)
		}
	}
	// An address has an owner at a time: of networks of one prefix one holds.
	m.want(`select count(*)::text from network a join network b on a.id < b.id and a.first_address = b.first_address and a.last_address = b.last_address
		and (a.directory_id is null) = (b.directory_id is null) and a.fetched_at < coalesce(b.superseded_at, 'infinity') and b.fetched_at < coalesce(a.superseded_at, 'infinity')`, "0")
	// No letter that waits tells about what is somebody else's by now, or goes
	// where nobody is any more, unless the sender finds out.
	rows, err := m.db.HeldMessages(m.t.Context(), 0, 1000)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, k := range rows {
		there, err := m.db.ContactInForce(m.t.Context(), k, m.now)
		if err != nil {
			m.t.Fatal(err)
		}
		groups, err := m.db.LetterGroups(m.t.Context(), casedb.ScopeOf(k, m.now))
		if err != nil {
			m.t.Fatal(err)
		}
		if !there || len(groups) == 0 {
			continue
		}
		told := m.row(`select string_agg(host(cs.source), ' ') from case_source cs join cases c on c.id = cs.case_id
			join source s on s.address = cs.source join network n on n.id = s.network_id and n.owner_id = c.owner_id where c.id = $1`, *k.CaseID)
		for _, text := range strings.Fields(told) {
			if want := m.contact(netip.MustParseAddr(text)); want != k.Recipient {
				m.t.Errorf("message %d about %s goes to %s, want %s", k.ID, text, k.Recipient, want)
			}
		}
	}
}

// step does something to the directory, or lets time pass.
func (m *directoryModel) step(rnd *rand.Rand, n int) {
	m.now = m.now.Add(time.Second) // two things never happen at one time
	e := modelTargets[rnd.IntN(len(modelTargets))]
	e.Email, e.Name, e.Language = fmt.Sprintf("desk%d@x%d.example", n, rnd.IntN(3)), "", "en"
	if rnd.IntN(2) == 0 {
		e.Name = "Dept " + strconv.Itoa(rnd.IntN(3))
	}
	at := func(from int) *time.Time {
		t := m.now.Add(time.Duration(from+rnd.IntN(30)) * time.Hour)
		return &t
	}
	if rnd.IntN(3) == 0 {
		e.ValidFrom = at(-10)
	}
	if rnd.IntN(3) == 0 {
		e.ValidUntil = at(21)
	}
	if err := e.Check(); err != nil {
		m.t.Fatal(err)
	}
	key := [2]string{string(e.Scope), e.Target}
	switch old, there := m.entries[key]; rnd.IntN(5) {
	case 0, 1, 2:
		if there && rnd.IntN(4) == 0 { // only one detail changes
			old.Note = fmt.Sprintf("note %d", n)
			e = old
		}
		m.trace = append(m.trace, fmt.Sprintf("enter %s %s %s %v-%v", e.Scope, e.Target, e.Email, e.ValidFrom, e.ValidUntil))
		m.enter(e)
		m.entries[key] = e
	case 3:
		if !there {
			return
		}
		m.trace = append(m.trace, "end "+key[0]+" "+key[1])
		delete(m.entries, key)
		m.inTx(func(ctx context.Context, tx *casedb.Tx) error {
			list, err := tx.DirectoryHistory(ctx, e.Scope, e.Target, 1)
			if err != nil {
				return err
			}
			return tx.EndDirectoryEntry(ctx, list[0].ID, "taro", m.now)
		})
	case 4:
		hours := 1 + rnd.IntN(20)
		m.trace = append(m.trace, fmt.Sprintf("%d hours pass", hours))
		m.now = m.now.Add(time.Duration(hours) * time.Hour)
		m.inTx(func(ctx context.Context, tx *casedb.Tx) error { return tx.ApplyDirectory(ctx, 0, m.now) })
	}
	if rnd.IntN(2) == 0 {
		m.now = m.now.Add(time.Minute)
		m.see(modelAddresses...)
	}
	m.open()
}

// TestDirectoryModel enters, changes and ends entries in random order, and
// compares whom is written to with a list that the most specific entry is taken
// from. TEITEN_SEQUENCES is the number of orders, TEITEN_SEED the first one's seed.
func TestDirectoryModel(t *testing.T) {
	t.Parallel()
	runDirectoryModel(t, 1, 25)
}

// TestSoakDirectoryModel runs TEITEN_SEQUENCES sequences from TEITEN_SEED on.
func TestSoakDirectoryModel(t *testing.T) {
	soak.Start(t)
	sequences := soak.Size(3, 60)
	if v, err := strconv.Atoi(os.Getenv("TEITEN_SEQUENCES")); err == nil {
		sequences = v
	}
	runDirectoryModel(t, sequences, 40)
}

func runDirectoryModel(t *testing.T, sequences, steps int) {
	seed := uint64(1)
	if v, err := strconv.ParseUint(os.Getenv("TEITEN_SEED"), 10, 64); err == nil {
		seed = v
	}
	file := filepath.Join(t.TempDir(), "as.tsv")
	var lines strings.Builder
	for _, r := range modelNetworks {
		fmt.Fprintf(&lines, "%s %s Example\n", r.prefix, r.as)
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	as, err := owner.ReadASTable(file)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := registrytest.RDAPServer(t, answerRegistered)
	for i := range sequences {
		m := &directoryModel{desk: newDesk(t, c), entries: map[[2]string]casedb.DirectoryEntry{}}
		m.worker.AS = as
		m.opener.Countries = []string{"JP", "KR"}
		m.ask(modelAddresses...) // all networks are known
		m.see(modelAddresses...)
		rnd := rand.New(rand.NewPCG(seed+uint64(i), 0))
		for n := range steps {
			m.step(rnd, n)
			if m.check(); t.Failed() {
				t.Fatalf("seed %d, step %d:\n%s", seed+uint64(i), n, strings.Join(m.trace, "\n"))
			}
		}
	}
}

// answerRegistered answers as the registries of the model.
func answerRegistered(w http.ResponseWriter, r *http.Request) {
	a, err := netip.ParseAddr(path.Base(r.URL.Path))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n := modelNetworks[slices.IndexFunc(modelNetworks, func(n modelNetwork) bool { return n.prefix.Contains(a) })]
	var desk string
	if n.email != "" {
		desk = "," + registrytest.Entity("D"+n.handle, `"abuse"`, n.email)
	}
	_, _ = fmt.Fprintf(w, `{"objectClassName":"ip network","handle":"N%s","startAddress":"%s","endAddress":%q,"name":"EX","country":%q,"port43":"whois.apnic.net","entities":[{"handle":%q,"roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text",%q]]]}%s]}`,
		n.prefix.Addr(), n.prefix.Addr(), n.last, n.country, n.handle, n.name, desk)
}
