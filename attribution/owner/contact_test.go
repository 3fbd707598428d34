package owner_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/reason"
	"teiten/internal/registrytest"
)

// chooseTest is an answer of a registry and the contact that is chosen from it.
type chooseTest struct {
	name, answer string
	want         string // email provenance gate
	alternatives []string
	rejected     []string
}

func TestChooseContact(t *testing.T) {
	t.Parallel()
	tests := []chooseTest{
		{"abuse only beats several roles",
			registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"noc","abuse"`, "noc@example.net"), registrytest.Entity("B", `"abuse"`, "desk@example.net"))),
			"desk@example.net abuse-role auto", []string{"noc@example.net"}, nil},
		{"type beats preference, local part and order",
			registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, "first@example.net", "abuse@example.net", `pref@example.net {"pref":"1"}`, `marked@example.net {"type":["work","abuse"]}`))),
			"marked@example.net abuse-role auto", []string{"pref@example.net", "abuse@example.net", "first@example.net"}, nil},
		{"the lower preference number",
			registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, `two@example.net {"pref":"2"}`, `one@example.net {"pref":1}`))),
			"one@example.net abuse-role auto", []string{"two@example.net"}, nil},
		{"of two for abuse only the nearer to the network",
			registrytest.Network(registrytest.Entities(`{"handle":"ORG","roles":["registrant"],"entities":[`+registrytest.Entity("A", `"abuse"`, "far@example.net")+`]}`, registrytest.Entity("B", `"abuse"`, "near@example.net"))),
			"near@example.net abuse-role auto", []string{"far@example.net"}, nil},
		{"abuse entity without e-mail, as NIC.br's",
			registrytest.Network(registrytest.Entities(registrytest.Entity("BR", `"abuse"`), registrytest.Entity("T", `"technical"`, "tech@example.net"))),
			"tech@example.net none human", nil, nil},
		{"no roles, as AFRINIC's",
			registrytest.Network(registrytest.Entities(registrytest.Entity("A", ``, "x@example.net", "abuse@example.net"))),
			"abuse@example.net local-part approve", []string{"x@example.net"}, nil},
		{"placeholder, then the remark",
			registrytest.Network(`,"remarks":[{"title":"remarks","description":["Email address for spam or abuse complaints : desk@example.net"]}]` +
				registrytest.Entities(registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "registry@example.net"))),
			"desk@example.net remark approve", nil, []string{"registry@example.net"}},
		{"placeholder address under another handle",
			registrytest.Network(registrytest.Entities(registrytest.Entity("X", `"abuse"`, "Hostmaster@NIC.AD.JP"))), " none human", nil, []string{"Hostmaster@NIC.AD.JP"}},
		{"the registry's own network",
			strings.Replace(registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp"))), `"EX"`, `"JPNICNET"`, 1),
			"hostmaster@nic.ad.jp abuse-role auto", nil, nil},
		{"invalid, with a better one",
			registrytest.Network(registrytest.Entities(`{"handle":"A","roles":["abuse"],"remarks":[{"description":["dead@example.net is invalid"]}],"vcardArray":["vcard",[["email",{},"text","dead@example.net"]]]}`,
				registrytest.Entity("T", `"technical"`, "abuse@example.net"))),
			"abuse@example.net local-part approve", []string{"dead@example.net"}, nil},
		{"invalid, and nothing else",
			registrytest.Network(registrytest.Entities(`{"handle":"A","roles":["abuse"],"remarks":[{"description":["dead@example.net is invalid"]}],"vcardArray":["vcard",[["email",{},"text","dead@example.net"]]]}`)),
			"dead@example.net abuse-role human", nil, nil},
		{"ARIN could not validate",
			registrytest.Network(registrytest.Entities(`{"handle":"A","roles":["abuse"],"remarks":[{"title":"Unvalidated POC","description":["no response"]}],"vcardArray":["vcard",[["email",{},"text","abuse@example.net"]]]}`)),
			"abuse@example.net abuse-role approve", nil, nil},
		{"redacted", registrytest.Network(`,"redacted":[{"name":{"description":"e-mail"}}]` + registrytest.Entities(registrytest.Entity("A", `"abuse"`))), " none human", nil, nil},
		{"a handle without card, filled in from elsewhere, as RIPE's",
			registrytest.Network(registrytest.Entities(`{"handle":"D","roles":["abuse"]}`, registrytest.Entity("D", `"technical"`, "desk@example.net"))),
			"desk@example.net abuse-role auto", nil, nil},
		{"addresses that are none",
			registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, "REDACTED", "a@localhost", "a@[192.0.2.1]", "no", "ok@example.net"))),
			"ok@example.net abuse-role auto", nil, []string{"REDACTED", "a@localhost", "a@[192.0.2.1]", "no"}},
		{"line breaks in an address",
			registrytest.Network(registrytest.Entities(`{"handle":"A","roles":["abuse"],"vcardArray":["vcard",[["email",{},"text","abuse@example.net\r\nBcc: all@example.org"]]]}`)),
			" none human", nil, []string{"abuse@example.net Bcc: all@example.org"}},
		{"members of the wrong type",
			registrytest.Network(`,"remarks":7,"country":[],"entities":[null,3,{"roles":"abuse","vcardArray":["vcard",[1,["email"],["email",[],"text",["list@example.net"]]]]}]`),
			"list@example.net abuse-role auto", nil, nil},
		{"another range", strings.Replace(registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, "abuse@example.net"))), `"192.0.2.255"`, `"192.0.2.3"`, 1), " none human", nil, nil},
		{"no range", `{"objectClassName":"ip network","handle":"H"}`, " none human", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkChoice(t, tt) })
	}
}

// checkChoice compares what is chosen from an answer with what is wanted.
func checkChoice(t *testing.T, tt chooseTest) {
	t.Parallel()
	a, err := owner.ParseAnswer([]byte(tt.answer))
	if err != nil {
		t.Fatal(err)
	}
	c := owner.ChooseContact(a, netip.MustParseAddr("192.0.2.5"), owner.DefaultContactConfig())
	inJapanese(t, &c)
	got := c.Contact.Email + " " + string(c.Contact.Provenance) + " " + string(c.Contact.Gate)
	if got != tt.want {
		t.Errorf("got %q, want %q", got, tt.want)
	}
	var alternatives, rejected []string
	for _, x := range c.Alternatives {
		alternatives = append(alternatives, x.Email)
	}
	for _, x := range c.Rejected {
		rejected = append(rejected, x.Email)
		if len(x.Why) == 0 {
			t.Errorf("%s is rejected without a reason", x.Email)
		}
	}
	if d := cmp.Diff(alternatives, tt.alternatives); d != "" {
		t.Errorf("alternatives, got - want +:\n%s", d)
	}
	if d := cmp.Diff(rejected, tt.rejected); d != "" {
		t.Errorf("rejected, got - want +:\n%s", d)
	}
	if len(c.Contact.Why) == 0 {
		t.Error("no sentence for the coordinator")
	}
}

func TestChooseContactReadsRanges(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, members, query, want string }{
		{"lengths behind addresses", `"startAddress":"192.0.2.0/32","endAddress":"192.0.2.255/32"`, "192.0.2.9", "192.0.2.0/24"},
		{"padded octets", `"startAddress":"192.000.002.008","endAddress":"192.000.002.015"`, "192.0.2.9", "192.0.2.8/29"},
		{"not one prefix", `"startAddress":"192.0.2.1","endAddress":"192.0.2.10"`, "192.0.2.9", "192.0.2.1 - 192.0.2.10"},
		{"the queried address only", `"startAddress":"192.0.2.9","endAddress":"192.0.2.9"`, "192.0.2.9", "192.0.2.9/32"},
		{"the queried address only, with prefixes", `"startAddress":"192.0.2.9","endAddress":"192.0.2.9","cidr0_cidrs":[{"v4prefix":"192.0.2.0","length":26}]`, "192.0.2.9", "192.0.2.0/26"},
		{"prefixes only", `"handle":"H","cidr0_cidrs":[{"v4prefix":"192.0.2.0","length":26},{"v4prefix":"192.0.2.64","length":"26"}]`, "192.0.2.9", "192.0.2.0/25"},
		{"prefixes with a gap", `"handle":"H","cidr0_cidrs":[{"v4prefix":"192.0.2.0","length":26},{"v4prefix":"192.0.2.128","length":26}]`, "192.0.2.9", ""},
		{"the handle is the range", `"handle":"192.0.2.0 - 192.0.2.63"`, "192.0.2.9", "192.0.2.0/26"},
		{"the handle is a prefix", `"handle":"192.0.2.0/26","startAddress":"192.0.2.0"`, "192.0.2.9", "192.0.2.0/26"},
		{"the handle is an address", `"handle":"192.0.2.9"`, "192.0.2.9", ""},
		{"everything", `"startAddress":"0.0.0.0","endAddress":"255.255.255.255"`, "192.0.2.9", "192.0.2.9/32"},
		{"backwards", `"startAddress":"192.0.2.255","endAddress":"192.0.2.0"`, "192.0.2.9", ""},
		{"IPv6", `"startAddress":"2001:db8::","endAddress":"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"`, "2001:db8::1", "2001:db8::/32"},
		{"IPv6 to the very end", `"startAddress":"fff0::","endAddress":"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"`, "fff0::1", "fff0::/12"},
		{"families mixed", `"startAddress":"192.0.2.0","endAddress":"2001:db8::"`, "192.0.2.9", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := owner.ParseAnswer([]byte(`{"objectClassName":"ip network",` + tt.members + `}`))
			if err != nil {
				t.Fatal(err)
			}
			c := owner.ChooseContact(a, netip.MustParseAddr(tt.query), owner.DefaultContactConfig())
			if c.Network.Range != tt.want {
				t.Errorf("got %q, want %q", c.Network.Range, tt.want)
			}
		})
	}
}

func TestParseAnswerRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"entities":[`, 40) + strings.Repeat(`]}`, 40)
	many := `[` + strings.Repeat(`{},`, 10_001) + `{}]`
	tests := []struct {
		name, answer string
		want         error
	}{
		{"HTML", "<html><body>Too many requests</body></html>", owner.ErrNotRDAP},
		{"nothing", "", owner.ErrNotRDAP},
		{"cut short", registrytest.Network("")[:40], owner.ErrNotRDAP},
		{"a list", "[]", owner.ErrNotRDAP},
		{"an error", `{"errorCode":404,"title":"Not Found"}`, owner.ErrNotRDAP},
		{"a domain", `{"objectClassName":"domain","handle":"H"}`, owner.ErrNotRDAP},
		{"40 MB", registrytest.Network(`,"x":"` + strings.Repeat("x", 40<<20) + `"`), owner.ErrAnswerTooLarge},
		{"nested deeply", registrytest.Network(`,"entities":[` + deep + `]`), owner.ErrAnswerTooLarge},
		{"too many entities", registrytest.Network(`,"entities":` + many), owner.ErrAnswerTooLarge},
		{"brackets", registrytest.Network(`,"x":` + strings.Repeat("[", 100_000)), owner.ErrNotRDAP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := owner.ParseAnswer([]byte(tt.answer)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// An answer in the charset of its country is read as far as it is ASCII; ten
// thousand entities are read, and names and addresses with line breaks do no
// harm.
func TestParseAnswerReadsHostileOnes(t *testing.T) {
	t.Parallel()
	desk := registrytest.Entity("A", `"abuse"`, "desk@example.net")
	many := make([]string, 0, 10_000)
	for i := range 9_999 {
		many = append(many, registrytest.Entity(fmt.Sprint("E", i), `"technical"`, fmt.Sprintf("t%d@example.net", i)))
	}
	for name, answer := range map[string]string{
		"Shift_JIS":       registrytest.Network(`,"remarks":[{"description":["` + "\x95\x73\x90\xb3\x83\x41" + `"]}]` + registrytest.Entities(desk)),
		"a mark in front": "\xef\xbb\xbf" + registrytest.Network(registrytest.Entities(desk)),
		"10,000 entities": registrytest.Network(registrytest.Entities(append(many, desk)...)),
		"itself inside":   registrytest.Network(registrytest.Entities(strings.TrimSuffix(desk, "}") + `,"entities":[` + strings.TrimSuffix(desk, "}") + `,"entities":[` + desk + `]}]}`)),
		"line breaks":     registrytest.Network(`,"name":"a\r\nBcc: b@example.org","remarks":[{"title":"\u0000","description":["x\r\ny\u2028z"]}]` + registrytest.Entities(desk)),
	} {
		a, err := owner.ParseAnswer([]byte(answer))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := owner.ChooseContact(a, netip.MustParseAddr("192.0.2.5"), owner.DefaultContactConfig())
		if c.Contact.Email != "desk@example.net" || strings.ContainsAny(c.OwnerName+c.OwnerKey+c.Network.Name+c.Contact.Why.String(), "\r\n\x00") || len(c.Alternatives) > 50 {
			t.Errorf("%s: got %+v of %q", name, c.Contact, c.OwnerName)
		}
	}
}

func TestMailAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		" <mailto:desk@example.net> ": "", "mailto:desk@example.net?subject=x": "desk@example.net", "<desk@example.net>": "desk@example.net",
		"Desk@EXAMPLE.net": "Desk@EXAMPLE.net", "a@例え.example": "a@xn--r8jz45g.example", "a.b+c@example.net.": "a.b+c@example.net",
		"a..b@example.net": "", "@example.net": "", "a@": "", "a@b@example.net": "", `"a b"@example.net`: "", "a b@example.net": "",
		"a@192.0.2.1": "", "a@example": "", "あ@example.net": "", "a@ex_ample.net": "", "a@-x.example.net": "",
		"a,b@example.net": "", strings.Repeat("a", 65) + "@example.net": "", "a\x00@example.net": "",
	} {
		got, defect := owner.MailAddress(in)
		if got != want || (defect == "") != (want != "") {
			t.Errorf("%q: got %q (%s), want %q", in, got, defect, want)
		}
	}
}

func TestLookupResultKeys(t *testing.T) {
	t.Parallel()
	got, err := owner.LookupFile(strings.NewReader(registrytest.Network("")), netip.MustParseAddr("192.0.2.5"), owner.DefaultContactConfig(), nil, sayer(t, "en"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := got.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"address":"192.0.2.5","network":{"range":"192.0.2.0/24","handle":"H","name":"EX","country":"","registry":"unknown","asn":null,"as_name":""},"owner":"EX",` +
		`"contact":{"email":"","provenance":"none","gate":"human","valid":null,"why":"The answer names no address to write to.","role":""},` +
		`"alternatives":[],"rejected":[],"language":"en"}` + "\n"
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

func FuzzChooseContact(f *testing.F) {
	f.Add([]byte(registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp"), registrytest.Entity("B", `"abuse"`, `a@example.net {"pref":"1"}`)))))
	f.Add([]byte(registrytest.Network(`,"remarks":[{"title":"remarks","description":["abuse: a@example.net","a@example.net is invalid"]}],"cidr0_cidrs":[{"v4prefix":"192.0.2.0","length":24}]`)))
	f.Add([]byte(`{"startAddress":"0.0.0.0","endAddress":"255.255.255.255","entities":[{"entities":[{"vcardArray":["vcard",[["email",{},"text","x\r\ny@z.example"]]]}]}]}`))
	f.Add([]byte(registrytest.Network(`,"country":"JP","port43":"whois.apnic.net","arin_originas0_originautnums":[64500],"redacted":[{}],"remarks":[{"title":"abuse","description":["do not write to a (at) example (dot) net; spam: b@example.net","'b@example.net' was marked as invalid"]}]`)))
	f.Add([]byte(registrytest.Network(`,"port43":"whois.ripe.net","entities":[{"handle":"O","roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text","RIPE NCC"],["email",{"type":["abuse"],"pref":"1"},"text","abuse@ripe.net"]]]}]`)))
	addr := netip.MustParseAddr("192.0.2.5")
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := owner.ParseAnswer(raw)
		if err != nil {
			return
		}
		c := owner.ChooseContact(a, addr, owner.DefaultContactConfig())
		inJapanese(t, &c)
		all := append([]owner.ChosenContact{c.Contact}, c.Alternatives...)
		for i, x := range all {
			if x.Email == "" && i > 0 || strings.ContainsAny(x.Email+x.Name+x.Role+x.Why.String(), "\r\n\x00") {
				t.Errorf("bad contact %+v", x)
			}
			if again, defect := owner.MailAddress(x.Email); x.Email != "" && again != x.Email {
				t.Errorf("contact %q: %s", x.Email, defect)
			}
			if x.Valid != nil && !*x.Valid && x.Gate != casedb.GateHuman {
				t.Errorf("invalid contact with gate %s", x.Gate)
			}
			if strings.EqualFold(x.Email, "hostmaster@nic.ad.jp") && !strings.EqualFold(a.Name, "JPNICNET") && !strings.EqualFold(a.Handle, "JPNICNET") {
				t.Errorf("placeholder chosen")
			}
		}
		for _, r := range c.Rejected {
			if len(r.Why) == 0 || strings.ContainsAny(r.Email+r.Why.String(), "\r\n\x00") {
				t.Errorf("rejected %+v", r)
			}
		}
		if c.Network.First.IsValid() {
			inside := 0
			for i, p := range c.Network.Prefixes {
				if p.Contains(addr) {
					inside++
				}
				if i > 0 && c.Network.Prefixes[i-1].Overlaps(p) {
					t.Errorf("prefixes overlap: %v", c.Network.Prefixes)
				}
			}
			if inside != 1 {
				t.Errorf("%d prefixes of %s hold the address", inside, c.Network.Range)
			}
		}
		if _, err := json.Marshal(c.Result(addr, nil, reason.List.String)); err != nil || c.OwnerKey == "" || strings.ContainsAny(c.OwnerKey+c.OwnerName, "\r\n\x00") {
			t.Errorf("owner %q %q: %v", c.OwnerKey, c.OwnerName, err)
		}
	})
}
