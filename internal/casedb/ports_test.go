package casedb_test

import (
	"errors"
	"strings"
	"testing"

	"teiten/internal/casedb"
)

func TestParsePorts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "",
		"  \n":                   "",
		"All":                    "",
		"443/tcp, 80/TCP;53/UDP": "80/TCP, 443/TCP, 53/UDP",
		"ICMP、80/TCP icmpv6":     "ICMP, 80/TCP, ICMPv6",
		"8000-8100/TCP 8101/TCP": "8000-8101/TCP",
		"1-3/TCP 2-9/TCP 5/TCP":  "1-9/TCP",
		"0-65535/UDP, 7/UDP":     "0-65535/UDP",
		"IP/47, ip/1, 0080/TCP":  "ICMP, 80/TCP, IP/47",
	} {
		s, err := casedb.ParsePorts(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: got %q, %v, want %q", text, s, err, want)
		}
		if s.Declared() != (want != "") {
			t.Errorf("%q: declared is %v", text, s.Declared())
		}
	}
	for _, text := range []string{"80", "80/", "/TCP", "80/SCTP", "-1/TCP", "+1/TCP", "65536/TCP", "100-99/TCP", "1-2-3/TCP", "80-/TCP", "all, 80/TCP",
		"IP/6", "IP/17", "IP/256", "IP/", "8 0/TCP", "80/TCP/", "999999999999/UDP", strings.Repeat("1/TCP ", 2000)} {
		if s, err := casedb.ParsePorts(text); !errors.Is(err, casedb.ErrPorts) {
			t.Errorf("%.40q: got %q, %v, want ErrPorts", text, s, err)
		}
	}
}

func TestPortSetContains(t *testing.T) {
	t.Parallel()
	s, err := casedb.ParsePorts("80/TCP 8000-8100/TCP 53/UDP ICMP")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		proto uint8
		port  uint16
		want  bool
	}{{6, 80, true}, {6, 79, false}, {6, 81, false}, {6, 8000, true}, {6, 8050, true}, {6, 8100, true}, {6, 8101, false}, {6, 53, false},
		{17, 53, true}, {17, 80, false}, {1, 2048, true}, {1, 0, true}, {58, 0, false}, {47, 0, false}, {6, 0, false}, {6, 65535, false}} {
		if got := s.Contains(c.proto, c.port); got != c.want {
			t.Errorf("%d/%d: got %v", c.port, c.proto, got)
		}
	}
	if !casedb.PortSet(nil).Contains(6, 23) {
		t.Error("a port is outside of what was not declared")
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{"80/TCP, 53/UDP, ICMP", "8000-8100/tcp", "IP/47", "all", "1-65535/UDP;0/TCP"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := casedb.ParsePorts(text)
		if err != nil {
			return
		}
		for _, r := range s {
			if r.First > r.Last || !s.Contains(r.Proto, r.First) || !s.Contains(r.Proto, r.Last) {
				t.Errorf("%q: bad range %+v", text, r)
			}
		}
		again, err := casedb.ParsePorts(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q reads as %q and then %q, %v", text, s, again, err)
		}
	})
}
