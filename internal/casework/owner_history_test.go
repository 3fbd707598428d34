package casework_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/registrytest"
)

// ask asks for the owners of addresses and lets the worker answer.
func (d *desk) ask(addrs ...string) {
	d.t.Helper()
	var list []netip.Addr
	for _, a := range addrs {
		d.exec(`insert into source (address, first_at, last_at) values ($1, $2, $2) on conflict do nothing`, a, d.now)
		list = append(list, netip.MustParseAddr(a))
	}
	if err := d.db.RequestLookups(d.t.Context(), list, d.now); err != nil {
		d.t.Fatal(err)
	}
	for d.work() > 0 {
	}
}

func TestAddressHasAnOwnerAtATime(t *testing.T) {
	t.Parallel()
	holder := func(name, email string) string {
		return registrytest.Network(`,"country":"JP"` + registrytest.Entities(fmt.Sprintf(`{"handle":"ORG1","roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text",%q]]]}`, name),
			registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp"), registrytest.Entity("A", `"abuse"`, email)))
	}
	var body atomic.Value
	body.Store(holder("Old Name", "old@example.net"))
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body.Load().(string)) })
	d := newDesk(t, c)
	file := filepath.Join(t.TempDir(), "as.tsv")
	if err := os.WriteFile(file, []byte("192.0.2.0/24 64500 Example Net\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.worker.AS, err = owner.ReadASTable(file); err != nil {
		t.Fatal(err)
	}
	d.ask("192.0.2.5")
	d.now = d.now.Add(8 * 24 * time.Hour)
	// The same organisation under another name: its row is brought up to date, the past stays.
	body.Store(holder("New Name", "new@example.net"))
	d.ask("192.0.2.5")
	d.want(`select string_agg(format('%s %s %s %s AS%s %s', owner_name, choice->>'email', fetched_at::date, superseded_at::date, asn, as_name), E'\n' order by id) from network`,
		"Old Name old@example.net 2026-11-20 2026-11-28 AS64500 Example Net\nNew Name new@example.net 2026-11-28  AS64500 Example Net")
	d.want(`select name from owner`, "New Name")
	d.want(`select choice->'rejected'->0->>'why' from network where superseded_at is null`, `[{"args": ["IRT-JPNIC-JP"], "code": "placeholder"}]`)
	page, err := d.db.SourcePage(t.Context(), netip.MustParseAddr("192.0.2.5"))
	if err != nil {
		t.Fatal(err)
	}
	history, err := json.Marshal(owner.LookupHistory(page.Networks))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"from":"2026-11-28T12:00:00Z","until":null,"range":"192.0.2.0/24","handle":"H","name":"EX","owner":"New Name","country":"JP","registry":"unknown","asn":64500,"email":"new@example.net"},` +
		`{"from":"2026-11-20T12:00:00Z","until":"2026-11-28T12:00:00Z","range":"192.0.2.0/24","handle":"H","name":"EX","owner":"Old Name","country":"JP","registry":"unknown","asn":64500,"email":"old@example.net"}]`
	if string(history) != want {
		t.Errorf("got  %s\nwant %s", history, want)
	}
}

func TestAddressMovesToAnotherOwner(t *testing.T) {
	t.Parallel()
	holder := func(handle string) string {
		return registrytest.Network(`,"country":"JP"` + registrytest.Entities(fmt.Sprintf(`{"handle":%q,"roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text",%q]]]}`, handle, handle),
			registrytest.Entity("DESK", `"abuse"`, "abuse@"+handle+".example")))
	}
	var body atomic.Value
	body.Store(holder("old"))
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body.Load().(string)) })
	d := newDesk(t, c)
	d.see("192.0.2.5", "192.0.2.6")
	d.open()
	d.want(casesText, "old new approval ja abuse@old.example sources=2")
	groups := func(owner string) int {
		id, err := strconv.ParseInt(d.row(`select c.id::text from cases c join owner o on o.id = c.owner_id where o.name = $1`, owner), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		g, err := d.db.LetterGroups(t.Context(), casedb.LetterScope{CaseID: id, Now: d.now})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, x := range g {
			n += x.Sources
		}
		return n
	}
	if n := groups("old"); n != 2 {
		t.Fatalf("the letter names %d sources, want 2", n)
	}
	// The network is transferred. What was seen before is not the new owner's, and no more the old one's to hear of.
	d.now = d.now.Add(8 * 24 * time.Hour)
	body.Store(holder("new"))
	d.ask("192.0.2.5")
	d.open()
	d.want(casesText, "old new approval ja abuse@old.example sources=2")
	if n := groups("old"); n != 0 {
		t.Errorf("the letter to the former owner names %d sources", n)
	}
	// One is seen again.
	d.now = d.now.Add(time.Hour)
	d.see("192.0.2.6")
	d.open()
	d.want(casesText, "new new approval ja abuse@new.example sources=1\nold new approval ja abuse@old.example sources=2")
	if o, n := groups("old"), groups("new"); o != 0 || n != 1 {
		t.Errorf("the letters name %d and %d sources, want none and one", o, n)
	}
}

func TestWiderAnswerLeavesNarrowerNetworksAlone(t *testing.T) {
	t.Parallel()
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) {
		body := registrytest.Network("")
		if strings.HasSuffix(r.URL.Path, ".5") {
			body = strings.Replace(body, `"192.0.2.255"`, `"192.0.2.15"`, 1)
		}
		_, _ = io.WriteString(w, body)
	})
	d := newDesk(t, c)
	d.ask("192.0.2.5")
	d.ask("192.0.2.200", "192.0.2.6")
	d.exec(`insert into source (address, first_at, last_at) values ('192.0.2.7', $1, $1)`, d.now)
	d.exec(`update network set fetched_at = fetched_at - interval '1 day', expires_at = expires_at - interval '1 day' where last_address = '192.0.2.255'`)
	d.now = d.now.Add(6*24*time.Hour + 12*time.Hour) // the wide one has expired, the narrow one has not
	d.ask("192.0.2.201")
	d.want(`select string_agg(format('%s %s-%s', s.address, n.first_address, n.last_address), E'\n' order by s.address) from source s left join network n on n.id = s.network_id`,
		"192.0.2.5 192.0.2.0-192.0.2.15\n192.0.2.6 192.0.2.0-192.0.2.15\n192.0.2.7 -\n"+
			"192.0.2.200 192.0.2.0-192.0.2.255\n192.0.2.201 192.0.2.0-192.0.2.255")
}

func TestWorkerWaitsForNationalRegistry(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	server, _ := registrytest.WHOISServer(t, func(_ string, w io.Writer) {
		if up.Load() {
			_, _ = io.WriteString(w, registrytest.JPNICRecord("192.0.2.0/28", "Example Shop", "o. [Abuse] desk@shop.example"))
		}
	})
	rdap := registrytest.AnswerOf{Raw: registrytest.RDAPJapan, Asked: new(atomic.Int32)}
	d := newDesk(t, owner.NewRegistries(rdap, owner.WhoisConfig{JPNIC: server, Every: time.Nanosecond}, owner.DefaultContactConfig()))
	d.ask("192.0.2.5")
	d.want(`select format('%s %s %s', state, attempts, last_error like 'WHOIS malformed%') from owner_lookup`, "due 1 t")
	d.want(`select count(*)::text from network`, "0")
	up.Store(true)
	d.now = d.now.Add(time.Hour)
	d.work()
	d.want(`select format('%s-%s %s %s', n.first_address, n.last_address, n.owner_name, n.whois is not null) from network n`, "192.0.2.0-192.0.2.15 Example Shop t")
	d.want(`select format('%s %s %s', email, provenance, gate) from contact`, "desk@shop.example jpnic-whois approve")
	if rdap.Asked.Load() != 1 {
		t.Errorf("RDAP was asked %d times, want once", rdap.Asked.Load())
	}
	// Another address of the assignment: nobody is asked.
	d.ask("192.0.2.6")
	d.want(`select count(*)::text from network`, "1")
}

func TestWorkerGivesUpOnNationalRegistry(t *testing.T) {
	t.Parallel()
	server, _ := registrytest.WHOISServer(t, func(_ string, w io.Writer) { _, _ = io.WriteString(w, "<html>") })
	d := newDesk(t, owner.NewRegistries(registrytest.AnswerOf{Raw: registrytest.RDAPJapan, Asked: new(atomic.Int32)}, owner.WhoisConfig{JPNIC: server, Every: time.Nanosecond},
		owner.DefaultContactConfig()))
	d.ask("192.0.2.5")
	d.exec(`update owner_lookup set attempts = 7, next_attempt_at = $1`, d.now)
	d.work()
	d.want(`select state from owner_lookup`, "done")
	d.want(`select format('%s %s %s', owner_name, expires_at - fetched_at, choice->>'why') from network`,
		`EX 1 day [{"code": "all-rejected"}, {"args": ["JPNIC"], "code": "whois-silent"}]`)
}
