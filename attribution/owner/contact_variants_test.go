package owner_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"teiten/attribution/owner"
	"teiten/internal/registrytest"
)

// remarks are remarks on the network.
func remarks(lines ...string) string {
	quoted := make([]string, len(lines))
	for i, l := range lines {
		quoted[i] = fmt.Sprintf("%q", l)
	}
	return `,"remarks":[{"title":"remarks","description":[` + strings.Join(quoted, ",") + `]}]`
}

// choose parses and chooses for 192.0.2.5.
func choose(t *testing.T, answer string) owner.Choice {
	t.Helper()
	a, err := owner.ParseAnswer([]byte(answer))
	if err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	c := owner.ChooseContact(a, netip.MustParseAddr("192.0.2.5"), owner.DefaultContactConfig())
	inJapanese(t, &c)
	return c
}

func contactText(c owner.ChosenContact) string {
	valid := ""
	if c.Valid != nil {
		valid = fmt.Sprint(" ", *c.Valid)
	}
	return c.Email + " " + string(c.Provenance) + " " + string(c.Gate) + valid
}

func TestRemarksInManySpellings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		want  string // addresses in order; !: rejected
	}{
		{"APNIC for Japan", []string{"Email address for spam or abuse complaints : desk@example.net"}, "desk@example.net"},
		{"without blanks", []string{"Abuse:desk@example.net"}, "desk@example.net"},
		{"stars", []string{"*** Please send abuse reports to <desk@example.net>. ***"}, "desk@example.net"},
		{"mailto", []string{"spam/abuse: mailto:desk@example.net"}, "desk@example.net"},
		{"the line above", []string{"For abuse and spam issues, please contact:", "desk@example.net"}, "desk@example.net"},
		{"two lines above", []string{"Spam, network abuse, port scans:", "please write to our team", "desk@example.net"}, "desk@example.net"},
		{"far above", []string{"Abuse is bad.", "a", "b", "c", "d", "desk@example.net"}, ""},
		{"words behind", []string{"desk@example.net handles all abuse complaints"}, "desk@example.net"},
		{"the address says it", []string{"abuse@example.net"}, "abuse@example.net"},
		{"CERT", []string{"Security incidents: cert@example.net"}, "cert@example.net"},
		{"several purposes on one line", []string{"peering: peering@example.net, abuse: desk@example.net, noc: noc@example.net"}, "desk@example.net"},
		{"several purposes on lines", []string{"Abuse: desk@example.net", "NOC: noc@example.net", "Peering: peering@example.net"}, "desk@example.net"},
		{"purpose after purpose", []string{"Abuse contact", "NOC: noc@example.net", "Sales sales@example.net"}, ""},
		{"two of a kind", []string{"Abuse: a@example.net, b@example.net"}, "a@example.net b@example.net"},
		{"abuse@ first", []string{"Abuse: a@example.net or abuse@example.net"}, "abuse@example.net a@example.net"},
		{"not there", []string{"Please do not send abuse complaints to noc@example.net, use abuse@example.net"}, "abuse@example.net !noc@example.net"},
		{"Japanese", []string{"不正アクセス・迷惑メールに関する連絡先: desk@example.net"}, "desk@example.net"},
		{"Japanese, above", []string{"苦情等の窓口", "desk@example.net"}, "desk@example.net"},
		{"Korean", []string{"스팸/해킹 신고: desk@example.net"}, "desk@example.net"},
		{"Chinese", []string{"垃圾邮件投诉 desk@example.net"}, "desk@example.net"},
		{"German", []string{"Missbrauch bitte an desk@example.net melden"}, "desk@example.net"},
		{"Spanish", []string{"Reportes de abuso: desk@example.net"}, "desk@example.net"},
		{"Portuguese", []string{"Denúncias: desk@example.net"}, "desk@example.net"},
		{"French", []string{"Signalement d'abus : desk@example.net"}, "desk@example.net"},
		{"Russian", []string{"Жалобы на спам: desk@example.net"}, "desk@example.net"},
		{"(at)", []string{"abuse: desk (at) example.net"}, "desk@example.net"},
		{"[at] [dot]", []string{"spam: desk[at]example[dot]net"}, "desk@example.net"},
		{"at", []string{"Write to abuse at example.net"}, "abuse@example.net"},
		{"no word at all", []string{"desk@example.net"}, ""},
		{"other purposes only", []string{"Routing issues: desk@example.net"}, ""},
		{"a registry", []string{"Abuse: hostmaster@nic.ad.jp"}, "!hostmaster@nic.ad.jp"},
		{"another address of a registry", []string{"spam: somebody@nic.or.kr"}, "!somebody@nic.or.kr"},
		{"the national CSIRT that NIC.br names", []string{"Security and mail abuse issues should also be addressed to cert@cert.br and mail-abuse@cert.br"}, "!cert@cert.br !mail-abuse@cert.br"},
		{"invalid", []string{"abuse: desk@example.net", "desk@example.net is invalid"}, "desk@example.net=invalid"},
		{"validity only", []string{"abuse@example.net was validated on 2024-11-27"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := choose(t, registrytest.Network(remarks(tt.lines...)))
			var got []string
			for _, x := range append([]owner.ChosenContact{c.Contact}, c.Alternatives...) {
				switch {
				case x.Email == "":
				case x.Valid != nil && !*x.Valid:
					got = append(got, x.Email+"=invalid")
				case x.Provenance != "remark" || x.Gate != "approve":
					t.Errorf("got %s", contactText(x))
				default:
					got = append(got, x.Email)
				}
			}
			for _, r := range c.Rejected {
				got = append(got, "!"+r.Email)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

func TestWhatRegistriesSayOfAddresses(t *testing.T) {
	t.Parallel()
	irt := func(remark string) string {
		return registrytest.Network(registrytest.Entities(fmt.Sprintf(`{"handle":"IRT-EX","roles":["abuse"],"remarks":[{"title":"remarks","description":[%q]}],`+
			`"vcardArray":["vcard",[["fn",{},"text","IRT-EX"],["email",{},"text","desk@example.net"]]]}`, remark)))
	}
	for remark, want := range map[string]string{
		"desk@example.net is invalid":                                     "human false",
		"Desk@Example.net is invalid.":                                    "human false",
		"'desk@example.net' is invalid":                                   "human false",
		"Note: the address desk@example.net was marked as invalid":        "human false",
		"desk@example.net is not valid":                                   "human false",
		"<desk@example.net> is unreachable":                               "human false",
		"desk@example.net was validated on 2024-11-27":                    "auto true",
		"desk@example.net has been validated on 2024/11/27":               "auto true",
		"desk@example.net was successfully validated":                     "auto true",
		"desk@example.net was validated 2024-11-27; was invalid once":     "auto true",
		"desk@example.net was not validated on 2024-11-27":                "auto",
		"other@example.net is invalid":                                    "auto",
		"everybody is invalid":                                            "auto",
		"desk@example.net was validated, now desk@example.net is invalid": "human false",
	} {
		got := strings.TrimPrefix(contactText(choose(t, irt(remark)).Contact), "desk@example.net abuse-role ")
		if got != want {
			t.Errorf("%s: got %s, want %s", remark, got, want)
		}
	}
}

func TestContactVariants(t *testing.T) {
	t.Parallel()
	org := func(handle, name string, inside ...string) string {
		return fmt.Sprintf(`{"handle":%q,"roles":["registrant"],"vcardArray":["vcard",[["kind",{},"text","org"],["fn",{},"text",%q]]],"entities":[%s]}`,
			handle, name, strings.Join(inside, ","))
	}
	for _, tt := range []struct{ name, answer, want string }{
		// ARIN
		{"nested in the registrant", registrytest.Network(registrytest.Entities(org("EX", "Example", registrytest.Entity("A-ARIN", `"abuse"`, "abuse@example.net"), registrytest.Entity("T-ARIN", `"technical"`, "noc@example.net")))), "abuse@example.net abuse-role auto"},
		{"the network's own before the organisation's", registrytest.Network(registrytest.Entities(org("EX", "Example", registrytest.Entity("A-ARIN", `"abuse"`, "far@example.net")), registrytest.Entity("B-ARIN", `"abuse"`, "near@example.net"))), "near@example.net abuse-role auto"},
		{"the organisation's for abuse only before the network's for all", registrytest.Network(registrytest.Entities(org("EX", "Example", registrytest.Entity("A-ARIN", `"abuse"`, "abuse@example.net")), registrytest.Entity("B-ARIN", `"noc","abuse","technical"`, "noc@example.net"))), "abuse@example.net abuse-role auto"},
		{"nested four deep", registrytest.Network(registrytest.Entities(org("A", "a", org("B", "b", org("C", "c", registrytest.Entity("D", `"abuse"`, "deep@example.net")))))), "deep@example.net abuse-role auto"},
		{"status validated", registrytest.Network(registrytest.Entities(`{"handle":"A","status":["Validated"],"roles":["abuse"],"vcardArray":["vcard",[["email",{},"text","abuse@example.net"]]]}`)), "abuse@example.net abuse-role auto true"},
		{"space that ARIN gave to APNIC", strings.Replace(registrytest.Network(registrytest.Entities(org("APNIC", "Asia Pacific Network Information Centre", registrytest.Entity("AWC12-ARIN", `"abuse"`, "search-apnic-not-arin@apnic.net")))), `"name":"EX"`, `"name":"APNIC-EX","port43":"whois.arin.net"`, 1), " none human"},
		// RIPE
		{"type abuse after others", registrytest.Network(registrytest.Entities(registrytest.Entity("AR1-RIPE", `"abuse"`, "noc@example.net", `desk@example.net {"type":"abuse"}`))), "desk@example.net abuse-role auto"},
		{"type ABUSE in capitals", registrytest.Network(registrytest.Entities(registrytest.Entity("AR1-RIPE", `"abuse"`, "noc@example.net", `desk@example.net {"type":["ABUSE"]}`))), "desk@example.net abuse-role auto"},
		{"roles in capitals", registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"Abuse"`, "desk@example.net"))), "desk@example.net abuse-role auto"},
		{"type abuse at another entity", registrytest.Network(registrytest.Entities(registrytest.Entity("ORG", `"registrant"`, "office@example.net", `desk@example.net {"type":"abuse"}`))), "desk@example.net local-part approve"},
		// APNIC
		{"pref is a text", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-EX", `"abuse"`, "one@example.net", `two@example.net {"pref":"1"}`))), "two@example.net abuse-role auto"},
		{"pref out of range counts as none", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-EX", `"abuse"`, "one@example.net", `two@example.net {"pref":"0"}`))), "one@example.net abuse-role auto"},
		{"abuse@ before the first", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-EX", `"abuse"`, "one@example.net", "abuse@example.net"))), "abuse@example.net abuse-role auto"},
		{"the placeholder's and the owner's", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp"), registrytest.Entity("IRT-EX-JP", `"abuse"`, "desk@example.net"))), "desk@example.net abuse-role auto"},
		{"placeholder, abuse@ at the technical contact", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-KRNIC-KR", `"abuse"`, "irt@nic.or.kr"), registrytest.Entity("T1-AP", `"technical"`, "ip@example.net", "abuse@example.net"))), "abuse@example.net local-part approve"},
		{"CNNIC", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-CNNIC-CN", `"abuse"`, "ipas@cnnic.cn"), registrytest.Entity("T1-AP", `"technical"`, "noc@example.net"))), "noc@example.net none human"},
		{"TWNIC", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-TWNIC-AP", `"abuse"`, "hostmaster@twnic.tw"))), " none human"},
		{"VNNIC", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-VNNIC-AP", `"abuse"`, "hm-changed@vnnic.vn"))), " none human"},
		{"IDNIC", registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-IDNIC-ID", `"abuse"`, "abuse@idnic.net"))), " none human"},
		{"a registry's domain under any handle", registrytest.Network(registrytest.Entities(registrytest.Entity("X1-AP", `"abuse"`, "someone@nic.ad.jp"))), " none human"},
		{"a domain that only ends like it", registrytest.Network(registrytest.Entities(registrytest.Entity("X1-AP", `"abuse"`, "someone@panic.ad.jp"))), "someone@panic.ad.jp abuse-role auto"},
		// LACNIC and NIC.br
		{"an abuse entity without e-mail", registrytest.Network(registrytest.Entities(registrytest.Entity("EXABC", `"abuse"`), registrytest.Entity("EXABD", `"technical"`, "tech@example.net"), registrytest.Entity("EXABE", `"administrative"`, "adm@example.net"))), "tech@example.net none human"},
		{"all roles at one", registrytest.Network(registrytest.Entities(registrytest.Entity("EX1", `"administrative","technical","abuse"`, "red@example.net"))), "red@example.net abuse-role auto"},
		// AFRINIC
		{"no roles at all", registrytest.Network(registrytest.Entities(`{"handle":"EX1-AFRINIC","vcardArray":["vcard",[["email",{},"text","one@example.net"]]]}`, `{"handle":"EX2-AFRINIC","roles":null,"vcardArray":["vcard",[["email",{},"text","abuse@example.net"]]]}`)), "abuse@example.net local-part approve"},
		{"no roles, no abuse@", registrytest.Network(registrytest.Entities(`{"handle":"EX1-AFRINIC","vcardArray":["vcard",[["email",{},"text","one@example.net"]]]}`)), "one@example.net none human"},
		// RFC 9537
		{"redacted with an empty value", registrytest.Network(`,"redacted":[{"name":{"description":"Abuse email"},"method":"emptyValue"}]` + registrytest.Entities(registrytest.Entity("A", `"abuse"`, ""), registrytest.Entity("T", `"technical"`, "tech@example.net"))), "tech@example.net none human"},
		{"redacted in part", registrytest.Network(`,"redacted":[{"method":"partialValue"}]` + registrytest.Entities(registrytest.Entity("A", `"abuse"`, "a****@example.net"))), " none human"},
		{"replaced by a form", registrytest.Network(`,"redacted":[{"method":"replacementValue"}],"entities":[{"handle":"A","roles":["abuse"],"vcardArray":["vcard",[["contact-uri",{},"uri","https://example.net/form"]]]}]`), " none human"},
		{"a text for an address", registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, "REDACTED-FOR-PRIVACY"))), " none human"},
		// Oddities
		{"a remark that is one text", registrytest.Network(`,"remarks":{"description":"abuse: desk@example.net"}`), "desk@example.net remark approve"},
		{"addresses in a list", registrytest.Network(`,"entities":[{"handle":"A","roles":["abuse"],"vcardArray":["vcard",[["email",{},"text",["one@example.net","abuse@example.net"]]]]}]`), "abuse@example.net abuse-role auto"},
		{"no entities", registrytest.Network(""), " none human"},
		{"entities is null", registrytest.Network(`,"entities":null`), " none human"},
		{"e-mail in capitals and blanks", registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, ""), `{"handle":"B","roles":["abuse"],"vcardArray":["vcard",[["EMAIL",{},"text"," Abuse@Example.NET "]]]}`)), "Abuse@Example.NET abuse-role auto"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := choose(t, tt.answer)
			if got := contactText(c.Contact); got != tt.want {
				t.Errorf("got %q, want %q (%s)", got, tt.want, c.Contact.Why)
			}
			// What stands in the answer stands in the result, as a choice or with a reason.
			for _, r := range c.Rejected {
				if len(r.Why) == 0 || slices.ContainsFunc(c.Alternatives, func(a owner.ChosenContact) bool { return strings.EqualFold(a.Email, r.Email) }) {
					t.Errorf("rejected %+v", r)
				}
			}
		})
	}
}

func TestRegistriesOwnNetworks(t *testing.T) {
	t.Parallel()
	answer := func(name, port43, first, last, more string) string {
		return fmt.Sprintf(`{"objectClassName":"ip network","handle":"H","name":%q,"port43":%q,"startAddress":%q,"endAddress":%q%s}`, name, port43, first, last, more)
	}
	holder := `{"handle":"ORG-EX1","roles":["registrant"],"vcardArray":["vcard",[["kind",{},"text","org"],["fn",{},"text",%q]]]},` + registrytest.Entity("A", `"abuse"`, "%s")
	with := func(name, email string) string { return `,"entities":[` + fmt.Sprintf(holder, name, email) + `]` }
	for _, tt := range []struct{ name, answer, want string }{
		{"RIPE NCC", answer("EX", "whois.ripe.net", "192.0.2.0", "192.0.2.255", with("RIPE NCC", "abuse@ripe.net")), "abuse@ripe.net abuse-role auto"},
		{"RIPE NCC's stock", answer("EX", "whois.ripe.net", "192.0.0.0", "192.63.255.255", with("RIPE NCC", "abuse@ripe.net")), " none human"},
		{"unspecified", answer("EX", "whois.ripe.net", "192.0.2.0", "192.0.2.255", `,"type":"ALLOCATED UNSPECIFIED"`+with("RIPE NCC", "abuse@ripe.net")), " none human"},
		{"of another registry", answer("EX", "whois.arin.net", "192.0.2.0", "192.0.2.255", with("RIPE NCC", "abuse@ripe.net")), " none human"},
		{"somebody called Ripe", answer("EX", "whois.ripe.net", "192.0.2.0", "192.0.2.255", with("Ripe Fruit", "abuse@ripe.net")), " none human"},
		{"AFRINIC without roles", answer("EX", "whois.afrinic.net", "192.0.2.0", "192.0.2.255",
			`,"entities":[{"handle":"ORG-EX-AFRINIC","vcardArray":["vcard",[["kind",{},"text","org"],["fn",{},"text","African Network Information Center"],["email",{},"text","abuse@afrinic.net"]]]}]`),
			"abuse@afrinic.net local-part approve"},
		{"JPNIC by name", answer("JPNICNET", "whois.apnic.net", "192.0.2.0", "192.0.2.255", registrytest.Entities(registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp"))), "hostmaster@nic.ad.jp abuse-role auto"},
	} {
		if got := contactText(choose(t, tt.answer).Contact); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlaceholdersAreConfigurable(t *testing.T) {
	t.Parallel()
	a, err := owner.ParseAnswer([]byte(registrytest.Network(registrytest.Entities(registrytest.Entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp"), registrytest.Entity("X", `"abuse"`, "desk@nic.example")))))
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.5")
	for _, tt := range []struct {
		base              owner.ContactConfig
		placeholders, own []string
		want              string
	}{
		{owner.DefaultContactConfig(), nil, nil, "desk@nic.example"},
		{owner.DefaultContactConfig(), []string{"@NIC.example"}, nil, ""},
		{owner.DefaultContactConfig(), []string{"x"}, nil, ""},
		{owner.DefaultContactConfig(), []string{"desk@nic.example"}, []string{"192.0.2.0/28"}, "hostmaster@nic.ad.jp"},
		{owner.ContactConfig{}, nil, nil, "hostmaster@nic.ad.jp"},
		{owner.ContactConfig{}, []string{"IRT-JPNIC-JP"}, nil, "desk@nic.example"},
	} {
		cfg := owner.ExtendContactConfig(tt.base, tt.placeholders, tt.own)
		if got := owner.ChooseContact(a, addr, cfg).Contact.Email; got != tt.want {
			t.Errorf("%v %v: got %q, want %q", tt.placeholders, tt.own, got, tt.want)
		}
	}
}
