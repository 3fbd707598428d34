// Package registrytest makes up registries for tests: RDAP answers, WHOIS records and servers that give them.
package registrytest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"teiten/attribution/owner"
)

// Network is an answer about 192.0.2.0/24 with more members.
func Network(members string) string {
	return `{"objectClassName":"ip network","handle":"H","startAddress":"192.0.2.0","endAddress":"192.0.2.255","name":"EX"` + members + `}`
}

// Entity is an entity with e-mail properties, each "ADDRESS" or "ADDRESS {parameters}".
func Entity(handle, roles string, emails ...string) string {
	var card strings.Builder
	for _, e := range emails {
		address, parameters, _ := strings.Cut(e, " ")
		if parameters == "" {
			parameters = "{}"
		}
		fmt.Fprintf(&card, `,["email",%s,"text",%q]`, parameters, address)
	}
	return fmt.Sprintf(`{"handle":%q,"roles":[%s],"vcardArray":["vcard",[["fn",{},"text","Desk of %s"]%s]]}`, handle, roles, handle, card.String())
}

// Entities is the member that lists entities.
func Entities(list ...string) string { return `,"entities":[` + strings.Join(list, ",") + `]` }

// RDAPServer starts a server and a client that knows it as its only registry.
func RDAPServer(t *testing.T, h http.HandlerFunc, change ...func(*owner.RDAPConfig)) (*owner.RDAPClient, *httptest.Server) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg := owner.RDAPConfig{BaseURL: s.URL + "/", Every: time.Nanosecond, UserAgent: "teiten test"}
	for _, f := range change {
		f(&cfg)
	}
	c, err := owner.NewRDAPClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// WHOISServer answers each query with what f writes, and closes.
func WHOISServer(t *testing.T, f func(query string, w io.Writer)) (address string, asked *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				query, _ := bufio.NewReader(c).ReadString('\n')
				f(query, c)
			}()
		}
	}()
	return l.Addr().String(), asked
}

// JPNICRecord is a made-up record in the form that JPNIC's WHOIS gives.
func JPNICRecord(network, organisation string, more ...string) string {
	s := "[ Example registry database provides information regarding IP address and ASN. ]\r\n\r\n" +
		"Network Information:            \r\n" +
		"a. [Network Number]             " + network + "\r\n" +
		"b. [Network Name]               EX-NET\r\n" +
		"g. [Organization]               " + organisation + "\r\n" +
		"m. [Administrative Contact]     EX0001JP\r\n" +
		"n. [Technical Contact]          EX0002JP\r\n"
	for _, m := range more {
		s += m + "\r\n"
	}
	return s + "p. [Nameserver]                 ns.example.jp\r\n[Assigned Date]                 2020/04/01\r\n" +
		"[Return Date]                   \r\n[Last Update]                   2023/06/19 16:29:02(JST)\r\n\r\n" +
		"Less Specific Info.\r\n----------\r\nExample Provider\r\n                     [Allocation]   192.0.2.0/24\r\n" +
		"More Specific Info.\r\n----------\r\nNo match!!\r\n"
}

// RDAPJapan is what RDAP says of a Japanese network: the registry stands where
// the owner should.
var RDAPJapan = Network(`,"country":"JP","port43":"whois.apnic.net"` + Entities(Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp")))

// AnswerOf is an owner.Lookup that always has one answer, and counts.
type AnswerOf struct {
	Raw   string
	Asked *atomic.Int32
}

func (a AnswerOf) Lookup(context.Context, netip.Addr) (owner.RegistryAnswer, error) {
	a.Asked.Add(1)
	return owner.ParseAnswer([]byte(a.Raw))
}
