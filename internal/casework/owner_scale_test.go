package casework_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"teiten/internal/registrytest"

	"teiten/internal/soak"
)

// TestOneQuestionPerNetwork finds the owners of 1,000 new sources in 20
// networks, with a local server in the registries' place that counts.
func TestOneQuestionPerNetwork(t *testing.T) {
	t.Parallel()
	oneQuestionPerNetwork(t, 20, 50)
}

// TestSoakOneQuestionPerNetwork does so for 100,000 sources in 500 networks.
func TestSoakOneQuestionPerNetwork(t *testing.T) {
	soak.Start(t)
	oneQuestionPerNetwork(t, soak.Size(100, 500), 200)
}

func oneQuestionPerNetwork(t *testing.T, networks, each int) {
	var asked atomic.Int32
	var ranges sync.Map // that were asked about
	c, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		p := netip.PrefixFrom(netip.MustParseAddr(strings.TrimPrefix(r.URL.Path, "/ip/")), 48).Masked()
		ranges.Store(p, true)
		fmt.Fprintf(w, `{"objectClassName":"ip network","handle":"%s","startAddress":"%s","endAddress":"%s","country":"US"%s}`,
			p, p.Addr(), strings.TrimSuffix(p.Addr().String(), "::")+":ffff:ffff:ffff:ffff:ffff", registrytest.Entities(registrytest.Entity("A", `"abuse"`, "abuse@example.net")))
	})
	d := newDesk(t, c)
	d.exec(`insert into source (address, first_at, last_at) select format('2001:db8:%s::%s', to_hex(n), to_hex(i))::inet, $3, $3
		from generate_series(1, $1::int) n, generate_series(1, $2::int) i`, networks, each, d.now)
	d.exec(`insert into verdict (source, kind, malware, tell, confidence, rule, ruleset, evidence, first_at, last_at, created_at)
		select address, 'infected', 'ms17-010', true, 0.9, 'worm445', 'test', '{}', $1, $1, $1 from source`, d.now)
	d.exec(`analyze source`)
	d.exec(`analyze verdict`)
	begun, handled := time.Now(), 0
	for {
		d.exec(`analyze`) // as the server does by itself
		if _, err := d.opener.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for k := d.work(); k > 0; k = d.work() {
			n += k
		}
		if n == 0 {
			break
		}
		handled += n
	}
	t.Logf("%d sources in %d networks: %d questions, %d lookups handled one by one, %v", networks*each, networks, asked.Load(), handled,
		time.Since(begun).Round(time.Millisecond))
	distinct := 0
	ranges.Range(func(any, any) bool { distinct++; return true })
	if int(asked.Load()) != networks || distinct != networks {
		t.Errorf("%d questions about %d networks, want one for each of %d", asked.Load(), distinct, networks)
	}
	if handled > networks {
		t.Errorf("%d lookups were handled one by one; an answer settles all in its range", handled)
	}
	all := fmt.Sprint(networks * each)
	d.want(`select count(*)::text from source where network_id is not null`, all)
	d.want(`select count(*)::text from owner_lookup where state <> 'done'`, "0")
	d.want(`select count(*)::text from source s join network n on n.id = s.network_id where s.address between n.first_address and n.last_address`, all)
}
