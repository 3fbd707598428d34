package web

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParsePrefixes(t *testing.T) {
	t.Parallel()
	sample := RegistrationLimits{AllowDocumentation: true}.withDefaults()
	strict := RegistrationLimits{}.withDefaults()
	for _, test := range []struct {
		text   string
		limits RegistrationLimits
		want   string
		bad    string
	}{
		{"203.0.113.0/26", sample, "203.0.113.0/26", ""},
		{"203.0.113.10", sample, "203.0.113.10/32", ""},
		{"2001:DB8:1::/48\r\n2001:db8::5", sample, "2001:db8::5/128 2001:db8:1::/48", ""},
		{"203.0.113.0/26, 203.0.113.0/26、203.0.113.64/26 # ours", sample, "203.0.113.0/26 203.0.113.64/26", ""},
		{"::ffff:203.0.113.1", sample, "203.0.113.1/32", ""},
		{"::ffff:203.0.113.0/120", sample, "", "prefix.syntax"},
		{"# nothing", sample, "", "prefix.none"},
		{"", sample, "", "prefix.none"},
		{"example.org", sample, "", "prefix.syntax"},
		{"203.0.113.010", sample, "", "prefix.syntax"},
		{"fe80::1%eth0", sample, "", "prefix.syntax"},
		{"203.0.113.5/26", sample, "", "prefix.hostbits"},
		{"0.0.0.0/0", sample, "", "prefix.tooshort"},
		{"203.1.0.0/15", sample, "", "prefix.hostbits"},
		{"202.0.0.0/15", sample, "", "prefix.tooshort"},
		{"2400::/12", sample, "", "prefix.tooshort"},
		{"203.0.113.0/26", strict, "", "prefix.bogon"},
		{"203.0.0.0/16", strict, "", "prefix.bogon"}, // around a documentation range
		{"10.1.0.0/16", sample, "", "prefix.bogon"},
		{"192.168.1.1", sample, "", "prefix.bogon"},
		{"127.0.0.1", sample, "", "prefix.bogon"},
		{"224.0.0.1", sample, "", "prefix.bogon"},
		{"fd00::/48", sample, "", "prefix.bogon"},
		{"ff02::1", sample, "", "prefix.bogon"},
		{"2002:c000:204::/48", sample, "", "prefix.bogon"},
		{strings.Repeat("203.0.113.1\n", 300), sample, "203.0.113.1/32", ""}, // one, many times
		{strings.Repeat("x", maxPrefixText+1), sample, "", "prefix.toolong"},
	} {
		got, problems := parsePrefixes(test.text, test.limits)
		var texts []string
		for _, p := range got {
			texts = append(texts, p.String())
		}
		bad := ""
		if len(problems) > 0 {
			bad = problems[0].Key
		}
		if strings.Join(texts, " ") != test.want || bad != test.bad {
			t.Errorf("%.40q: got %q and %q, want %q and %q", test.text, texts, bad, test.want, test.bad)
		}
	}
}

func FuzzParsePrefixes(f *testing.F) {
	for _, seed := range []string{"203.0.113.0/26", "2001:db8::/32, 203.0.113.1 # x", "::ffff:1.2.3.4/120", "1.2.3.4/33", "、，;,", "\xff\x00/8", "0/0"} {
		f.Add(seed)
	}
	limits := RegistrationLimits{AllowDocumentation: true, MaxPrefixes: 8}.withDefaults()
	f.Fuzz(func(t *testing.T, text string) {
		got, problems := parsePrefixes(text, limits)
		if len(got) == 0 && len(problems) == 0 {
			t.Fatal("neither prefixes nor problems")
		}
		if len(problems) > 22 {
			t.Fatalf("%d problems", len(problems))
		}
		var last netip.Prefix
		for _, p := range got {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Bits() < limits.minBits(p) {
				t.Fatalf("%s must not pass", p)
			}
			if overlapsAny(p, bogons()) || (p.Addr().Is6() && !globalUnicast6().Overlaps(p)) {
				t.Fatalf("%s is nobody's", p)
			}
			if p == last {
				t.Fatalf("%s twice", p)
			}
			last = p
		}
		for _, p := range problems {
			if strings.ContainsAny(p.Entry, "\x00\n") || len(p.Entry) > 60 {
				t.Fatalf("entry shown as %q", p.Entry)
			}
		}
	})
}

func TestParseEmail(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"a@research.example": true, " a+b@research.example ": true, "": false, "a": false, "a@b": false,
		"a@b@research.example": false, "A <a@research.example>": false, "a@research.example, b@research.example": false,
		"a@research.example\r\nBcc: b@research.example": false, "a@[192.0.2.1]": false, "abuse@例え.example": false, "abİ@x.example": false, "a@xn--r8jz45g.example": true, "\"a\"@x.example": false, "a..b@x.example": false, "@x.example": false, strings.Repeat("a", 65) + "@research.example": false} {
		if got, is := parseEmail(text); is != ok || (ok && got != strings.TrimSpace(text)) {
			t.Errorf("%q: got %q %v, want %v", text, got, is, ok)
		}
	}
}

func FuzzParseEmail(f *testing.F) {
	for _, seed := range []string{"a@research.example", "\"a b\"@research.example", "a@研究.example", "a@b..c", "<a@research.example>", "=?utf-8?q?a?=@research.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := parseEmail(text); ok && (strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>,;", r) }) || strings.Count(got, "@") != 1 || len(got) > 254) {
			t.Fatalf("%q passes as %q", text, got)
		}
	})
}

func TestParseWebsite(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"": true, "https://research.example/scan": true, "http://research.example": true, "javascript:alert(1)": false,
		"//research.example": false, "https://user:secret@research.example": false, "research.example": false, "data:text/html,x": false,
		"https://": false, "https://research.example/\u202e": false} {
		if _, is := parseWebsite(text); is != ok {
			t.Errorf("%q: got %v, want %v", text, is, ok)
		}
	}
}

func TestSafeNextStaysHere(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{"/cases?view=all": "/cases?view=all", "": "/cases", "https://other.example/": "/cases",
		"//other.example/": "/cases", "/\\other.example": "/cases", "javascript:alert(1)": "/cases", "cases": "/cases", "/login": "/cases",
		"/logout": "/cases", "/sources/192.0.2.1": "/sources/192.0.2.1", "/\t/other.example": "/cases", "/%zz": "/cases"} {
		if got := safeNext(next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
}

func TestParsePort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"445": "445/TCP", "53/udp": "53/UDP", " 0445/TCP ": "445/TCP", "x": "", "445/": "", "1/2/3": "", "0": "0/TCP"} {
		if got, ok := parsePort(text); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzCursors(f *testing.F) {
	for _, seed := range []string{"1.1", "1773111600000000.7", "a.b", "-1.1", "9223372036854775807.9223372036854775807", "1.2.6.445.syn", "....", "1.2.256.1.x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at, id := parseCursor(text); id != 0 {
			if again, n := parseCursor(cursorText(at, id)); n != id || !again.Equal(at) {
				t.Fatalf("%q: got %v %d, then %v %d", text, at, id, again, n)
			}
		}
		if k := parseObservationKey(text); k != nil {
			if again := parseObservationKey(observationKeyText(*k)); again == nil || *again != *k {
				t.Fatalf("%q: got %+v, then %+v", text, k, again)
			}
		}
	})
}

func TestParseOrganisation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Example Research Institute": "", " 例示大学 ": "", "Example Co., Ltd. (U.S.)": "", strings.Repeat("学", 100): "", "Example #1 / Scan": "",
		"": "invalid.empty", " \t ": "invalid.empty", strings.Repeat("学", 101): "invalid.organisationlong",
		"Pay at https://phish.example": "invalid.organisation", "see www.phish": "invalid.organisation", "WWW.phish": "invalid.organisation",
		"go to phish.example/x now": "invalid.organisation", "ｗｗｗ．ｐｈｉｓｈ．ｃｏｍ": "invalid.organisation", "write to a@phish": "invalid.organisation",
		"Institute\nDear customer": "invalid.organisation", "Institute\u2028Dear customer": "invalid.organisation", "a\r\nb": "invalid.organisation",
		"ftp：／／x": "invalid.organisation",
	} {
		name, got := parseOrganisation(text)
		if got != want || (got == "") != (name != "") {
			t.Errorf("%.40q: got %q %q, want %q", text, name, got, want)
		}
	}
}
