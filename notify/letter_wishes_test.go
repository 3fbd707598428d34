package notify_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"teiten/internal/casedb"
	"teiten/notify"
)

// wishing gives the contact of a message an entry with wishes.
func (w *world) wishing(m casedb.Message, silent, networks bool) {
	w.t.Helper()
	w.exec(`with e as (insert into directory_entry (scope, target, email, language, silent, networks, created_at, created_by, ended_at)
		values ('as', '64500', 'noc@example.net', 'en', $2, $3, now(), 'taro', now()) returning id)
		update contact set directory_id = e.id from e where contact.id = $1`, *m.ContactID, silent, networks)
}

// TestAutoSubmitted is left out for a contact that wants it so, and only where a
// person approved the letter (RFC 3834, 5).
func TestAutoSubmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.message(w.openCase(ispCase), ispCase, casedb.MessageHeld)
	for _, silent := range []bool{false, true} {
		w.wishing(m, silent, false)
		for _, by := range []string{"", "coordinator"} {
			m.ApprovedBy = by
			d, err := w.composer.Preview(t.Context(), w.db, m, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := bytes.Contains(d.Raw, []byte("\r\nAuto-Submitted: auto-generated\r\n")), !silent || by == ""; got != want {
				t.Errorf("silent %v, approved by %q: Auto-Submitted %v", silent, by, got)
			}
		}
	}
}

// TestNetworksOfSensors go to the contact that wants them: the /24 of IPv4 and
// the /48 of IPv6, and nothing that says more of a sensor. By default none goes.
func TestNetworksOfSensors(t *testing.T) {
	t.Parallel()
	for _, name := range notify.LetterNames() {
		if name.Reason == casedb.ReasonRecovered {
			continue
		}
		t.Run(name.String(), func(t *testing.T) {
			t.Parallel()
			for address, network := range map[string]string{secretAddress: "198.51.100.0/24", secretV6: "2001:db8:5ec::/48"} {
				w := newWorld(t)
				s := specOf(name)
				c := w.openCase(s)
				w.betray()
				w.exec(`update observation set destination = case when proto = 17 then null else cast($1 as inet) end,
					samples = cast(jsonb_set(cast(samples as jsonb), '{0,dst}', to_jsonb($1::text)) as json)`, address)
				if name.Reason != casedb.ReasonFirst {
					w.told(c, s)
				}
				m := w.letter(c, s, name.Reason)
				for _, wanted := range []bool{false, true} {
					w.wishing(m, false, wanted)
					for _, format := range []notify.Format{notify.FormatCSV, notify.FormatXARF} {
						d, err := w.formatted(format).Preview(t.Context(), w.db, m, epoch)
						if err != nil {
							t.Fatal(err)
						}
						if strings.Contains(d.Body, network) != wanted {
							t.Errorf("wanted %v: %s is told %v", wanted, network, !wanted)
						}
						noSecretsBut(t, d, network)
					}
				}
			}
		})
	}
}

// noSecretsBut looks for secrets in all but the one place that names the network.
func noSecretsBut(t *testing.T, d notify.Draft, network string) {
	t.Helper()
	text := strings.Replace(d.Body, network, "", 1) + "\n" + d.Subject + "\n" + string(d.CSV) + "\n" + string(d.XARF)
	for _, s := range secrets() {
		if utf8.ValidString(s) && strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Errorf("the letter says %q", s)
		}
	}
}

// TestNetworksOfAnyAddress: whatever the address, what leaves is its /24 or /48.
func TestNetworksOfAnyAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := ispCase
	m := w.message(w.openCase(s), s, casedb.MessageHeld)
	w.wishing(m, false, true)
	rapid.Check(t, func(t *rapid.T) {
		bits, raw := 24, rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4")
		if rapid.Bool().Draw(t, "IPv6") {
			bits, raw = 48, slices.Concat([]byte{0x20, 0x01, 0x0d, 0xb8}, rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "IPv6 address"))
		}
		address, _ := netip.AddrFromSlice(raw)
		prefix, err := address.Prefix(bits)
		if err != nil {
			t.Fatal(err)
		}
		w.exec(`update observation set destination = $1`, address.String())
		d, err := w.composer.Preview(w.t.Context(), w.db, m, epoch)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.Body, fmt.Sprintf(" %s", prefix)) || address != prefix.Addr() && strings.Contains(d.Body, " "+address.String()+"\n") {
			t.Fatalf("%s: %s is not told", address, prefix)
		}
	})
}
