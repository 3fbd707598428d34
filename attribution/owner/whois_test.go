package owner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/registrytest"
)

// jpnicRecordJA is the same record as it is without "/e".
const jpnicRecordJA = "Network Information: [ネットワーク情報]\na. [IPネットワークアドレス]     192.0.2.0/26\nb. [ネットワーク名]             EX-NET\n" +
	"f. [組織名]                     例示大学\ng. [Organization]               Example University\nm. [管理者連絡窓口]             EX0001JP\n" +
	"q. [Abuse]                      abuse@university.example\n[割当年月日]                    2020/04/01\n[最終更新]                      2023/06/19 16:29:02(JST)\n"

// krnicRecord is a made-up answer in the form that KRNIC's WHOIS gives.
func krnicRecord(user, isp string) string {
	return "query : 192.0.2.5\n\n\n# KOREAN(UTF8)\n\n[ 네트워크 할당 정보 ]\nIPv4주소           : 192.0.2.0 - 192.0.2.255 (/24)\n기관명             : 예시통신\n\n" +
		"# ENGLISH\n\nKRNIC is not an ISP but a National Internet Registry similar to APNIC.\n\n[ Network Information ]\n" +
		"IPv4 Address       : 192.0.2.0 - 192.0.2.255 (/24)\nOrganization Name  : Example Telecom\nService Name       : EXNET\n" +
		"Name               : IP Manager\nPhone              : +82-2-0000-0000\nE-Mail             : " + isp + "\n" +
		"--------------------------------------------------------------------------------\n\nMore specific assignment information is as follows.\n\n" +
		"[ Network Information ]\nIPv4 Address       : 192.0.2.0 - 192.0.2.63 (/26)\nOrganization Name  : Example Customer\nNetwork Type       : CUSTOMER\n" +
		user + "\n\n- KISA/KRNIC WHOIS Service -\n"
}

var rdapKorea = registrytest.Network(`,"country":"KR","port43":"whois.apnic.net"` + registrytest.Entities(registrytest.Entity("IRT-KRNIC-KR", `"abuse"`, "irt@nic.or.kr")))

// registryTest is what RDAP and a national registry answer, and what comes of it.
type registryTest struct {
	name, rdap, reply string
	query             string
	want              string // range | owner | email provenance gate
	kind              owner.LookupErrorKind
}

func TestNationalRegistries(t *testing.T) {
	t.Parallel()
	in := func(e encoding.Encoding, s string) string {
		b, err := e.NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	abuse := registrytest.JPNICRecord("192.0.2.0/24", "Example University", "o. [Abuse]                      abuse@university.example")
	tests := []registryTest{
		{"JPNIC", registrytest.RDAPJapan, abuse, "192.0.2.5/e\r\n", "192.0.2.0/24 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, the field in another place", registrytest.RDAPJapan, strings.Replace(abuse, "o. [Abuse]", "zz. [ABUSE]", 1), "", "192.0.2.0/24 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, an assignment inside the range", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/28", "Example Shop", "o. [Abuse] desk@shop.example"), "", "192.0.2.0/28 | Example Shop | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC, an assignment to nobody with a name", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/28", "", "o. [Abuse] desk@shop.example"), "", "192.0.2.0/28 | EX-NET | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC, wider than the range", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.0.0/16", "Example Shop", "o. [Abuse] desk@shop.example"), "", "192.0.2.0/24 | Example Shop | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC, of several records the narrowest", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/24", "Far", "[Abuse] far@far.example") + registrytest.JPNICRecord("192.0.2.4/30", "Near", "[Abuse] near@near.example"), "", "192.0.2.4/30 | Near | near@near.example jpnic-whois approve", ""},
		{"JPNIC, several addresses", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/24", "Example", "o. [Abuse]     http://abuse.example/, first@example.jp;second@example.jp", "                  third@example.jp"), "", "192.0.2.0/24 | Example | first@example.jp jpnic-whois approve", ""},
		{"JPNIC without the field", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/24", "Example University"), "", "192.0.2.0/24 | Example University |  none human", ""},
		{"JPNIC names itself", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/24", "Example", "o. [Abuse] hostmaster@nic.ad.jp"), "", "192.0.2.0/24 | Example |  none human", ""},
		{"JPNIC, UTF-8", registrytest.RDAPJapan, jpnicRecordJA, "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, ISO-2022-JP", registrytest.RDAPJapan, in(japanese.ISO2022JP, jpnicRecordJA), "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, Shift_JIS", registrytest.RDAPJapan, in(japanese.ShiftJIS, jpnicRecordJA), "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, EUC-JP", registrytest.RDAPJapan, in(japanese.EUCJP, jpnicRecordJA), "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, a charset nobody knows", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/24", "\xff\xfe\x81", "[Abuse] desk@shop.example"), "", "192.0.2.0/24 | ��� | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC knows nothing", registrytest.RDAPJapan, "[ greeting ]\r\nNo match!!\r\n", "", "192.0.2.0/24 | EX |  none human", ""},
		{"JPNIC, control characters", registrytest.RDAPJapan, registrytest.JPNICRecord("192.0.2.0/24", "Example\x00\x1b[31m\x07", "o. [Abuse] de\x00sk@shop.example", "o. [Abuse] abuse@shop.example\rBcc: all@shop.example"), "", "192.0.2.0/24 | Example�[31m |  none human", ""},
		{"JPNIC, about other addresses", registrytest.RDAPJapan, registrytest.JPNICRecord("198.51.100.0/24", "Example", "[Abuse] desk@shop.example"), "", "", owner.LookupMalformed},
		{"JPNIC, half an answer", registrytest.RDAPJapan, abuse[:strings.Index(abuse, "[Last Update]")], "", "", owner.LookupMalformed},
		{"JPNIC, half an address", registrytest.RDAPJapan, abuse[:strings.Index(abuse, "iversity.example")], "", "", owner.LookupMalformed},
		{"JPNIC, HTML", registrytest.RDAPJapan, "<HTML><BODY><PRE>" + abuse + "</PRE>", "", "", owner.LookupMalformed},
		{"JPNIC, empty", registrytest.RDAPJapan, "", "", "", owner.LookupMalformed},
		{"JPNIC, refuses", registrytest.RDAPJapan, "[ access denied ]\r\n", "", "", owner.LookupMalformed},
		{"JPNIC, endless", registrytest.RDAPJapan, strings.Repeat("a. [Network Number] 192.0.2.0/24\r\n", 20_000), "", "", owner.LookupTooLarge},
		{"JPNIC, one endless line", registrytest.RDAPJapan, strings.Repeat("[", 1<<20), "", "", owner.LookupTooLarge},
		{"JPNIC, too many lines", registrytest.RDAPJapan, strings.Repeat("[Abuse]\n", 3_000), "", "", owner.LookupMalformed},
		{"KRNIC, the provider's", rdapKorea, krnicRecord("", "abuse@telecom.example"), "192.0.2.5\r\n", "192.0.2.0/26 | Example Customer |  none human", ""},
		{"KRNIC, the customer's", rdapKorea, krnicRecord("E-Mail             : abuse@customer.example", "ip@telecom.example"), "", "192.0.2.0/26 | Example Customer | abuse@customer.example local-part approve", ""},
		{"KRNIC, an IP manager", rdapKorea, krnicRecord("E-Mail             : ip@customer.example", "ip@telecom.example"), "", "192.0.2.0/26 | Example Customer | ip@customer.example none human", ""},
		{"KRNIC, a section for abuse", rdapKorea, krnicRecord("[ Network Abuse Contact Information ]\nE-Mail             : desk@customer.example", "ip@telecom.example"), "", "192.0.2.0/26 | Example Customer | desk@customer.example remark approve", ""},
		{"KRNIC, EUC-KR", rdapKorea, in(korean.EUCKR, krnicRecord("E-Mail             : abuse@customer.example", "x@y.example")), "", "192.0.2.0/26 | Example Customer | abuse@customer.example local-part approve", ""},
		{"KRNIC, half an answer", rdapKorea, strings.TrimSuffix(krnicRecord("E-Mail : abuse@customer.example", ""), "Service -\n"), "", "", owner.LookupMalformed},
		{"KRNIC knows nothing", rdapKorea, "# ENGLISH\n\nNo information.\n\n- KISA/KRNIC WHOIS Service -\n", "", "192.0.2.0/24 | EX |  none human", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkRegistry(t, tt) })
	}
}

// checkRegistry asks about an address and looks at the contact that comes of both answers.
func checkRegistry(t *testing.T, tt registryTest) {
	t.Parallel()
	var query atomic.Value
	server, _ := registrytest.WHOISServer(t, func(q string, w io.Writer) {
		query.Store(q)
		_, _ = io.WriteString(w, tt.reply)
	})
	r := owner.NewRegistries(registrytest.AnswerOf{Raw: tt.rdap, Asked: new(atomic.Int32)}, owner.WhoisConfig{JPNIC: server, KRNIC: server, Every: time.Nanosecond},
		owner.DefaultContactConfig())
	addr := netip.MustParseAddr("192.0.2.5")
	a, err := r.Lookup(t.Context(), addr)
	var failed *owner.LookupError
	if errors.As(err, &failed) != (tt.kind != "") || failed != nil && (failed.Kind != tt.kind || !failed.Asked || !strings.HasPrefix(err.Error(), "WHOIS ")) {
		t.Fatalf("got error %v, want %q", err, tt.kind)
	}
	if tt.query != "" && query.Load() != tt.query {
		t.Errorf("asked %q, want %q", query.Load(), tt.query)
	}
	if len(a.Raw) == 0 {
		t.Error("the RDAP answer is lost")
	}
	c := owner.ChooseContact(a, addr, owner.DefaultContactConfig())
	got := fmt.Sprintf("%s | %s | %s %s %s", c.Network.Range, c.OwnerName, c.Contact.Email, c.Contact.Provenance, c.Contact.Gate)
	if tt.want != "" && got != tt.want {
		t.Errorf("\ngot  %s\nwant %s", got, tt.want)
	}
	if narrower := c.Network.Range != "192.0.2.0/24"; narrower != strings.HasSuffix(c.OwnerKey, ":net:"+c.Network.Range) && tt.kind == "" {
		t.Errorf("owner %s of %s", c.OwnerKey, c.Network.Range)
	}
	if !strings.Contains(sayer(t, "en")(c.Contact.Why), "WHOIS") && c.Contact.Provenance != casedb.FromLocalPart {
		t.Errorf("the reason does not name WHOIS: %s", c.Contact.Why)
	}
}

func TestNationalRegistriesAreAskedOnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	abroad := strings.Replace(registrytest.RDAPJapan, `"JP"`, `"SG"`, 1)
	remark := strings.Replace(registrytest.RDAPJapan, `"name":"EX"`, `"name":"EX","remarks":[{"description":["abuse: abuse@shop.example"]}]`, 1)
	for _, tt := range []struct {
		name, rdap string
		on         bool
		want       int32
	}{
		{"off", registrytest.RDAPJapan, false, 0},
		{"on", registrytest.RDAPJapan, true, 1},
		{"a remark is there", remark, true, 0},
		{"an abuse role is there", registrytest.Network(`,"country":"JP"` + registrytest.Entities(registrytest.Entity("A", `"abuse"`, "desk@shop.example"))), true, 0},
		{"another country", abroad, true, 0},
		{"the registry's own network", strings.Replace(registrytest.RDAPJapan, `"EX"`, `"JPNICNET"`, 1), true, 0},
		{"another range", strings.Replace(registrytest.RDAPJapan, "192.0.2.255", "192.0.2.1", 1), true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, asked := registrytest.WHOISServer(t, func(_ string, w io.Writer) { _, _ = io.WriteString(w, "No match!!\r\n") })
			cfg := owner.WhoisConfig{Every: time.Nanosecond}
			if tt.on {
				cfg.JPNIC = server
			}
			r := owner.NewRegistries(registrytest.AnswerOf{Raw: tt.rdap, Asked: new(atomic.Int32)}, cfg, owner.DefaultContactConfig())
			if _, err := r.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); err != nil {
				t.Fatal(err)
			}
			if asked.Load() != tt.want {
				t.Errorf("asked %d times, want %d", asked.Load(), tt.want)
			}
		})
	}
}

func TestNationalRegistryIsSparedAndRDAPNotAskedAgain(t *testing.T) {
	t.Parallel()
	server, asked := registrytest.WHOISServer(t, func(_ string, w io.Writer) {
		_, _ = io.WriteString(w, registrytest.JPNICRecord("192.0.2.0/28", "Example", "[Abuse] desk@shop.example"))
	})
	rdap := registrytest.AnswerOf{Raw: registrytest.RDAPJapan, Asked: new(atomic.Int32)}
	r := owner.NewRegistries(rdap, owner.WhoisConfig{JPNIC: server, Every: time.Hour}, owner.DefaultContactConfig())
	if _, err := r.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.77", "192.0.2.78"} {
		var e *owner.LookupError
		if _, err := r.Lookup(t.Context(), netip.MustParseAddr(a)); !errors.As(err, &e) || e.Kind != owner.LookupThrottled || e.Asked || e.RetryAfter < 50*time.Minute {
			t.Errorf("got %v, want our own pause", err)
		}
	}
	if asked.Load() != 1 || rdap.Asked.Load() != 1 {
		t.Errorf("WHOIS was asked %d times and RDAP %d times, want once each", asked.Load(), rdap.Asked.Load())
	}
}

func TestNationalRegistryThatIsDownIsLeftAlone(t *testing.T) {
	t.Parallel()
	server, asked := registrytest.WHOISServer(t, func(string, io.Writer) {}) // closes at once
	r := owner.NewRegistries(registrytest.AnswerOf{Raw: registrytest.RDAPJapan, Asked: new(atomic.Int32)}, owner.WhoisConfig{JPNIC: server, Every: time.Nanosecond}, owner.DefaultContactConfig())
	var e *owner.LookupError
	for range 8 {
		if _, err := r.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); !errors.As(err, &e) {
			t.Fatal(err)
		}
	}
	if asked.Load() != 5 || e.Asked || e.RetryAfter == 0 {
		t.Errorf("asked %d times, last error %v; want five and a pause", asked.Load(), e)
	}
}

func TestNationalRegistryTimesOut(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	server, _ := registrytest.WHOISServer(t, func(_ string, w io.Writer) {
		_, _ = io.WriteString(w, "[ greeting")
		<-stop
	})
	t.Cleanup(func() { close(stop) })
	r := owner.NewRegistries(registrytest.AnswerOf{Raw: registrytest.RDAPJapan, Asked: new(atomic.Int32)}, owner.WhoisConfig{JPNIC: server, Timeout: 50 * time.Millisecond}, owner.DefaultContactConfig())
	var e *owner.LookupError
	if _, err := r.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); !errors.As(err, &e) || e.Kind != owner.LookupTemporary {
		t.Errorf("got %v, want temporary", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Lookup(ctx, netip.MustParseAddr("192.0.2.5")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func FuzzWhois(f *testing.F) {
	f.Add([]byte(registrytest.JPNICRecord("192.0.2.0/24", "Example", "o. [Abuse] abuse@example.jp, b@example.jp")))
	f.Add([]byte(jpnicRecordJA))
	f.Add([]byte(krnicRecord("[ Network Abuse Contact Information ]\nE-Mail : abuse@customer.example", "hostmaster@nic.or.kr")))
	if b, err := japanese.ISO2022JP.NewEncoder().Bytes([]byte(jpnicRecordJA)); err == nil {
		f.Add(b)
	}
	f.Add([]byte("a. [Network Number] 0.0.0.0 - 255.255.255.255\n[Abuse] x@y.example\x1b$B\n[Last Update]\n"))
	addr := netip.MustParseAddr("192.0.2.5")
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, rdap := range []string{registrytest.RDAPJapan, rdapKorea} {
			a, err := owner.StoredAnswer(casedb.Network{Raw: []byte(rdap), Whois: raw}, addr)
			if err != nil {
				t.Fatal(err)
			}
			if w := a.Whois; w != nil && (!w.Contains(addr) || strings.ContainsAny(w.Name+w.Organisation, "\r\n\x00")) {
				t.Errorf("bad answer %+v", w)
			}
			c := owner.ChooseContact(a, addr, owner.DefaultContactConfig())
			inJapanese(t, &c)
			for i, x := range append([]owner.ChosenContact{c.Contact}, c.Alternatives...) {
				if x.Email == "" && i > 0 || strings.ContainsAny(x.Email+x.Name+x.Role+x.Why.String(), "\r\n\x00") {
					t.Errorf("bad contact %+v", x)
				}
				if again, reason := owner.MailAddress(x.Email); x.Email != "" && again != x.Email {
					t.Errorf("contact %q: %s", x.Email, reason)
				}
				if x.Gate == casedb.GateAuto || strings.HasSuffix(strings.ToLower(x.Email), "@nic.or.kr") || strings.HasSuffix(strings.ToLower(x.Email), "@nic.ad.jp") {
					t.Errorf("contact %+v", x)
				}
			}
			if !a.Contains(c.Network.First) || !a.Contains(c.Network.Last) || c.Network.First.Compare(addr) > 0 || c.Network.Last.Compare(addr) < 0 {
				t.Errorf("range %s", c.Network.Range)
			}
		}
	})
}
