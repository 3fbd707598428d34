package owner_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"teiten/attribution/owner"
	"teiten/internal/registrytest"
)

// TestEntityIsAskedFor (D6): an entity without a card is asked for at its own URL,
// at the server that answered and nowhere else.
func TestEntityIsAskedFor(t *testing.T) {
	t.Parallel()
	card := `"vcardArray":["vcard",[["fn",{},"text","Desk"],["email",{},"text","abuse@isp.example"]]]`
	jscard := `"jscard":{"@type":"Card","version":"1.0","emails":{"a":{"address":"abuse@isp.example"}}}`
	for _, tt := range []struct {
		name   string
		entity string // in the answer about the network; %s is the server
		paths  map[string]string
		want   string
		asked  int
	}{
		{"at its link", `{"handle":"D 1","roles":["abuse"],"links":[{"rel":"self","href":"%s/any/D1"}]}`,
			map[string]string{"/any/D1": `{"objectClassName":"entity","handle":"D 1",` + card + `}`}, "abuse@isp.example auto", 1},
		{"beside the answer", `{"handle":"D1","roles":["abuse"]}`, map[string]string{"/entity/D1": `{"objectClassName":"entity","handle":"D1",` + card + `}`}, "abuse@isp.example auto", 1},
		{"JSContact", `{"handle":"D1","roles":["abuse"]}`, map[string]string{"/entity/D1": `{"objectClassName":"entity","handle":"D1",` + jscard + `}`}, "abuse@isp.example auto", 1},
		{"nested", `{"handle":"R","roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text","R"]]],"entities":[{"handle":"D1","roles":["abuse"]}]}`,
			map[string]string{"/entity/D1": `{"objectClassName":"entity","handle":"D1",` + card + `}`}, "abuse@isp.example auto", 1},
		{"its remarks hold", `{"handle":"D1","roles":["abuse"]}`, map[string]string{"/entity/D1": `{"objectClassName":"entity","handle":"D1",` +
			`"remarks":[{"description":["This mailbox is not monitored"]}],` + card + `}`}, "abuse@isp.example human", 1},
		{"removed", `{"handle":"D1","roles":["abuse"],"status":["removed"]}`, nil, " human", 0},
		{"another server", `{"handle":"D1","roles":["abuse"],"links":[{"rel":"self","href":"http://198.51.100.1/entity/D1"}]}`, nil, " human", 0},
		{"a redirect to another server", `{"handle":"D1","roles":["abuse"]}`, map[string]string{"/entity/D1": "> http://127.0.0.2/entity/D1"}, " human", 1},
		{"not found", `{"handle":"D1","roles":["abuse"]}`, nil, " human", 1},
		{"another entity", `{"handle":"D1","roles":["abuse"]}`, map[string]string{"/entity/D1": `{"objectClassName":"entity","handle":"D2",` + card + `}`}, " human", 1},
		{"HTML", `{"handle":"D1","roles":["abuse"]}`, map[string]string{"/entity/D1": `<html>`}, " human", 1},
		{"the address is there", `{"handle":"D1","roles":["abuse"],` + card + `},{"handle":"D2","roles":["abuse"]}`, nil, "abuse@isp.example auto", 0},
		{"many", strings.TrimSuffix(strings.Repeat(`{"handle":"D`+`","roles":["noc"]},`, 1)+`{"handle":"D1","roles":["noc"]},{"handle":"D2","roles":["noc"]},{"handle":"D3","roles":["noc"]},`, ","),
			nil, " human", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			client, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/rdap+json")
				if strings.HasPrefix(r.URL.Path, "/ip/") {
					entity := tt.entity
					if strings.Contains(entity, "%s") {
						entity = fmt.Sprintf(entity, "http://"+r.Host)
					}
					fmt.Fprint(w, registrytest.Network(registrytest.Entities(entity)))
					return
				}
				asked++
				body, ok := tt.paths[r.URL.Path]
				if to, redirect := strings.CutPrefix(body, "> "); redirect {
					http.Redirect(w, r, to, http.StatusFound)
					return
				}
				if !ok {
					http.NotFound(w, r)
					return
				}
				fmt.Fprint(w, body)
			})
			addr := netip.MustParseAddr("192.0.2.5")
			a, err := client.Lookup(context.Background(), addr)
			if err != nil {
				t.Fatal(err)
			}
			again, err := owner.ParseAnswer(a.Raw) // as it is stored
			if err != nil {
				t.Fatal(err)
			}
			for _, answer := range []owner.RegistryAnswer{a, again} {
				if c := owner.ChooseContact(answer, addr, owner.DefaultContactConfig()); c.Contact.Email+" "+string(c.Contact.Gate) != tt.want {
					t.Errorf("got %s, want %s", contactText(c.Contact), tt.want)
				}
			}
			if asked != tt.asked {
				t.Errorf("asked %d times, want %d", asked, tt.asked)
			}
		})
	}
}

// TestEntityServerIsBusy: without any address the look-up is tried again, with one
// it is good as it is.
func TestEntityServerIsBusy(t *testing.T) {
	t.Parallel()
	for _, with := range []bool{false, true} {
		entities := `{"handle":"D1","roles":["abuse"]}`
		if with {
			entities += `,` + registrytest.Entity("T1", `"technical"`, "noc@isp.example")
		}
		client, _ := registrytest.RDAPServer(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/ip/") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/rdap+json")
			fmt.Fprint(w, registrytest.Network(registrytest.Entities(entities)))
		})
		if _, err := client.Lookup(context.Background(), netip.MustParseAddr("192.0.2.5")); (err == nil) != with {
			t.Errorf("with another address %v: %v", with, err)
		}
	}
}
