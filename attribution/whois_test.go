package attribution_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"

	"teiten/attribution"
	"teiten/internal/casedb"
)

// whoisServer answers each query with what f writes, and closes.
func whoisServer(t *testing.T, f func(query string, w io.Writer)) (address string, asked *atomic.Int32) {
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

// jpnicRecord is a made-up record in the form that JPNIC's WHOIS gives.
func jpnicRecord(network, organisation string, more ...string) string {
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

// rdapJapan is what RDAP says of a Japanese network: the registry stands where
// the owner should.
var rdapJapan = network(`,"country":"JP","port43":"whois.apnic.net"` + entities(entity("IRT-JPNIC-JP", `"abuse"`, "hostmaster@nic.ad.jp")))

var rdapKorea = network(`,"country":"KR","port43":"whois.apnic.net"` + entities(entity("IRT-KRNIC-KR", `"abuse"`, "irt@nic.or.kr")))

// answerOf is an OwnerLookup that always has one answer, and counts.
type answerOf struct {
	raw   string
	asked *atomic.Int32
}

func (a answerOf) Lookup(context.Context, netip.Addr) (attribution.Answer, error) {
	a.asked.Add(1)
	return attribution.ParseAnswer([]byte(a.raw))
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
	abuse := jpnicRecord("192.0.2.0/24", "Example University", "o. [Abuse]                      abuse@university.example")
	tests := []struct {
		name, rdap, reply string
		query             string
		want              string // range | owner | email provenance gate
		kind              attribution.LookupErrorKind
	}{
		{"JPNIC", rdapJapan, abuse, "192.0.2.5/e\r\n", "192.0.2.0/24 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, the field in another place", rdapJapan, strings.Replace(abuse, "o. [Abuse]", "zz. [ABUSE]", 1), "", "192.0.2.0/24 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, an assignment inside the range", rdapJapan, jpnicRecord("192.0.2.0/28", "Example Shop", "o. [Abuse] desk@shop.example"), "", "192.0.2.0/28 | Example Shop | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC, an assignment to nobody with a name", rdapJapan, jpnicRecord("192.0.2.0/28", "", "o. [Abuse] desk@shop.example"), "", "192.0.2.0/28 | EX-NET | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC, wider than the range", rdapJapan, jpnicRecord("192.0.0.0/16", "Example Shop", "o. [Abuse] desk@shop.example"), "", "192.0.2.0/24 | Example Shop | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC, of several records the narrowest", rdapJapan, jpnicRecord("192.0.2.0/24", "Far", "[Abuse] far@far.example") + jpnicRecord("192.0.2.4/30", "Near", "[Abuse] near@near.example"), "", "192.0.2.4/30 | Near | near@near.example jpnic-whois approve", ""},
		{"JPNIC, several addresses", rdapJapan, jpnicRecord("192.0.2.0/24", "Example", "o. [Abuse]     http://abuse.example/, first@example.jp;second@example.jp", "                  third@example.jp"), "", "192.0.2.0/24 | Example | first@example.jp jpnic-whois approve", ""},
		{"JPNIC without the field", rdapJapan, jpnicRecord("192.0.2.0/24", "Example University"), "", "192.0.2.0/24 | Example University |  none human", ""},
		{"JPNIC names itself", rdapJapan, jpnicRecord("192.0.2.0/24", "Example", "o. [Abuse] hostmaster@nic.ad.jp"), "", "192.0.2.0/24 | Example |  none human", ""},
		{"JPNIC, UTF-8", rdapJapan, jpnicRecordJA, "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, ISO-2022-JP", rdapJapan, in(japanese.ISO2022JP, jpnicRecordJA), "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, Shift_JIS", rdapJapan, in(japanese.ShiftJIS, jpnicRecordJA), "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, EUC-JP", rdapJapan, in(japanese.EUCJP, jpnicRecordJA), "", "192.0.2.0/26 | Example University | abuse@university.example jpnic-whois approve", ""},
		{"JPNIC, a charset nobody knows", rdapJapan, jpnicRecord("192.0.2.0/24", "\xff\xfe\x81", "[Abuse] desk@shop.example"), "", "192.0.2.0/24 | ��� | desk@shop.example jpnic-whois approve", ""},
		{"JPNIC knows nothing", rdapJapan, "[ greeting ]\r\nNo match!!\r\n", "", "192.0.2.0/24 | EX |  none human", ""},
		{"JPNIC, control characters", rdapJapan, jpnicRecord("192.0.2.0/24", "Example\x00\x1b[31m\x07", "o. [Abuse] de\x00sk@shop.example", "o. [Abuse] abuse@shop.example\rBcc: all@shop.example"), "", "192.0.2.0/24 | Example�[31m |  none human", ""},
		{"JPNIC, about other addresses", rdapJapan, jpnicRecord("198.51.100.0/24", "Example", "[Abuse] desk@shop.example"), "", "", attribution.LookupMalformed},
		{"JPNIC, half an answer", rdapJapan, abuse[:strings.Index(abuse, "[Last Update]")], "", "", attribution.LookupMalformed},
		{"JPNIC, half an address", rdapJapan, abuse[:strings.Index(abuse, "iversity.example")], "", "", attribution.LookupMalformed},
		{"JPNIC, HTML", rdapJapan, "<HTML><BODY><PRE>" + abuse + "</PRE>", "", "", attribution.LookupMalformed},
		{"JPNIC, empty", rdapJapan, "", "", "", attribution.LookupMalformed},
		{"JPNIC, refuses", rdapJapan, "[ access denied ]\r\n", "", "", attribution.LookupMalformed},
		{"JPNIC, endless", rdapJapan, strings.Repeat("a. [Network Number] 192.0.2.0/24\r\n", 20_000), "", "", attribution.LookupTooLarge},
		{"JPNIC, one endless line", rdapJapan, strings.Repeat("[", 1<<20), "", "", attribution.LookupTooLarge},
		{"JPNIC, too many lines", rdapJapan, strings.Repeat("[Abuse]\n", 3_000), "", "", attribution.LookupMalformed},
		{"KRNIC, the provider's", rdapKorea, krnicRecord("", "abuse@telecom.example"), "192.0.2.5\r\n", "192.0.2.0/26 | Example Customer |  none human", ""},
		{"KRNIC, the customer's", rdapKorea, krnicRecord("E-Mail             : abuse@customer.example", "ip@telecom.example"), "", "192.0.2.0/26 | Example Customer | abuse@customer.example local-part approve", ""},
		{"KRNIC, an IP manager", rdapKorea, krnicRecord("E-Mail             : ip@customer.example", "ip@telecom.example"), "", "192.0.2.0/26 | Example Customer | ip@customer.example none human", ""},
		{"KRNIC, a section for abuse", rdapKorea, krnicRecord("[ Network Abuse Contact Information ]\nE-Mail             : desk@customer.example", "ip@telecom.example"), "", "192.0.2.0/26 | Example Customer | desk@customer.example remark approve", ""},
		{"KRNIC, EUC-KR", rdapKorea, in(korean.EUCKR, krnicRecord("E-Mail             : abuse@customer.example", "x@y.example")), "", "192.0.2.0/26 | Example Customer | abuse@customer.example local-part approve", ""},
		{"KRNIC, half an answer", rdapKorea, strings.TrimSuffix(krnicRecord("E-Mail : abuse@customer.example", ""), "Service -\n"), "", "", attribution.LookupMalformed},
		{"KRNIC knows nothing", rdapKorea, "# ENGLISH\n\nNo information.\n\n- KISA/KRNIC WHOIS Service -\n", "", "192.0.2.0/24 | EX |  none human", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var query atomic.Value
			server, _ := whoisServer(t, func(q string, w io.Writer) {
				query.Store(q)
				_, _ = io.WriteString(w, tt.reply)
			})
			r := attribution.NewRegistries(answerOf{tt.rdap, new(atomic.Int32)}, attribution.WhoisConfig{JPNIC: server, KRNIC: server, Every: time.Nanosecond},
				attribution.DefaultContactConfig())
			addr := netip.MustParseAddr("192.0.2.5")
			a, err := r.Lookup(t.Context(), addr)
			var failed *attribution.LookupError
			if errors.As(err, &failed) != (tt.kind != "") || failed != nil && (failed.Kind != tt.kind || !failed.Asked || !strings.HasPrefix(err.Error(), "WHOIS ")) {
				t.Fatalf("got error %v, want %q", err, tt.kind)
			}
			if tt.query != "" && query.Load() != tt.query {
				t.Errorf("asked %q, want %q", query.Load(), tt.query)
			}
			if len(a.Raw) == 0 {
				t.Error("the RDAP answer is lost")
			}
			c := attribution.ChooseContact(a, addr, attribution.DefaultContactConfig())
			got := fmt.Sprintf("%s | %s | %s %s %s", c.Network.Range, c.OwnerName, c.Contact.Email, c.Contact.Provenance, c.Contact.Gate)
			if tt.want != "" && got != tt.want {
				t.Errorf("\ngot  %s\nwant %s", got, tt.want)
			}
			if narrower := c.Network.Range != "192.0.2.0/24"; narrower != strings.HasSuffix(c.OwnerKey, ":net:"+c.Network.Range) && tt.kind == "" {
				t.Errorf("owner %s of %s", c.OwnerKey, c.Network.Range)
			}
			if !strings.Contains(c.Contact.Why, "WHOIS") && c.Contact.Provenance != casedb.FromLocalPart {
				t.Errorf("the reason does not name WHOIS: %s", c.Contact.Why)
			}
		})
	}
}

func TestNationalRegistriesAreAskedOnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	abroad := strings.Replace(rdapJapan, `"JP"`, `"SG"`, 1)
	remark := strings.Replace(rdapJapan, `"name":"EX"`, `"name":"EX","remarks":[{"description":["abuse: abuse@shop.example"]}]`, 1)
	for _, tt := range []struct {
		name, rdap string
		on         bool
		want       int32
	}{
		{"off", rdapJapan, false, 0},
		{"on", rdapJapan, true, 1},
		{"a remark is there", remark, true, 0},
		{"an abuse role is there", network(`,"country":"JP"` + entities(entity("A", `"abuse"`, "desk@shop.example"))), true, 0},
		{"another country", abroad, true, 0},
		{"the registry's own network", strings.Replace(rdapJapan, `"EX"`, `"JPNICNET"`, 1), true, 0},
		{"another range", strings.Replace(rdapJapan, "192.0.2.255", "192.0.2.1", 1), true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, asked := whoisServer(t, func(_ string, w io.Writer) { _, _ = io.WriteString(w, "No match!!\r\n") })
			cfg := attribution.WhoisConfig{Every: time.Nanosecond}
			if tt.on {
				cfg.JPNIC = server
			}
			r := attribution.NewRegistries(answerOf{tt.rdap, new(atomic.Int32)}, cfg, attribution.DefaultContactConfig())
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
	server, asked := whoisServer(t, func(_ string, w io.Writer) {
		_, _ = io.WriteString(w, jpnicRecord("192.0.2.0/28", "Example", "[Abuse] desk@shop.example"))
	})
	rdap := answerOf{rdapJapan, new(atomic.Int32)}
	r := attribution.NewRegistries(rdap, attribution.WhoisConfig{JPNIC: server, Every: time.Hour}, attribution.DefaultContactConfig())
	if _, err := r.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.77", "192.0.2.78"} {
		var e *attribution.LookupError
		if _, err := r.Lookup(t.Context(), netip.MustParseAddr(a)); !errors.As(err, &e) || e.Kind != attribution.LookupThrottled || e.Asked || e.RetryAfter < 50*time.Minute {
			t.Errorf("got %v, want our own pause", err)
		}
	}
	if asked.Load() != 1 || rdap.asked.Load() != 1 {
		t.Errorf("WHOIS was asked %d times and RDAP %d times, want once each", asked.Load(), rdap.asked.Load())
	}
}

func TestNationalRegistryThatIsDownIsLeftAlone(t *testing.T) {
	t.Parallel()
	server, asked := whoisServer(t, func(string, io.Writer) {}) // closes at once
	r := attribution.NewRegistries(answerOf{rdapJapan, new(atomic.Int32)}, attribution.WhoisConfig{JPNIC: server, Every: time.Nanosecond}, attribution.DefaultContactConfig())
	var e *attribution.LookupError
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
	server, _ := whoisServer(t, func(_ string, w io.Writer) {
		_, _ = io.WriteString(w, "[ greeting")
		<-stop
	})
	t.Cleanup(func() { close(stop) })
	r := attribution.NewRegistries(answerOf{rdapJapan, new(atomic.Int32)}, attribution.WhoisConfig{JPNIC: server, Timeout: 50 * time.Millisecond}, attribution.DefaultContactConfig())
	var e *attribution.LookupError
	if _, err := r.Lookup(t.Context(), netip.MustParseAddr("192.0.2.5")); !errors.As(err, &e) || e.Kind != attribution.LookupTemporary {
		t.Errorf("got %v, want temporary", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Lookup(ctx, netip.MustParseAddr("192.0.2.5")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func FuzzWhois(f *testing.F) {
	f.Add([]byte(jpnicRecord("192.0.2.0/24", "Example", "o. [Abuse] abuse@example.jp, b@example.jp")))
	f.Add([]byte(jpnicRecordJA))
	f.Add([]byte(krnicRecord("[ Network Abuse Contact Information ]\nE-Mail : abuse@customer.example", "hostmaster@nic.or.kr")))
	if b, err := japanese.ISO2022JP.NewEncoder().Bytes([]byte(jpnicRecordJA)); err == nil {
		f.Add(b)
	}
	f.Add([]byte("a. [Network Number] 0.0.0.0 - 255.255.255.255\n[Abuse] x@y.example\x1b$B\n[Last Update]\n"))
	addr := netip.MustParseAddr("192.0.2.5")
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, rdap := range []string{rdapJapan, rdapKorea} {
			a, err := attribution.StoredAnswer(casedb.Network{Raw: []byte(rdap), Whois: raw}, addr)
			if err != nil {
				t.Fatal(err)
			}
			if w := a.Whois; w != nil && (!w.Contains(addr) || strings.ContainsAny(w.Name+w.Organisation, "\r\n\x00")) {
				t.Errorf("bad answer %+v", w)
			}
			c := attribution.ChooseContact(a, addr, attribution.DefaultContactConfig())
			inJapanese(t, &c)
			for i, x := range append([]attribution.ChosenContact{c.Contact}, c.Alternatives...) {
				if x.Email == "" && i > 0 || strings.ContainsAny(x.Email+x.Name+x.Role+x.Why, "\r\n\x00") {
					t.Errorf("bad contact %+v", x)
				}
				if again, reason := attribution.MailAddress(x.Email); x.Email != "" && again != x.Email {
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
