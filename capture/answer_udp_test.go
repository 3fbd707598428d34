package capture

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"teiten/internal/observation"
)

// unhex reads bytes written in hexadecimal, with text between quotes as it is and
// *n behind a byte for n of them.
func unhex(s string) []byte {
	var b []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			b = append(b, part...)
			continue
		}
		for _, word := range strings.Fields(part) {
			word, times, repeated := strings.Cut(word, "*")
			raw, err := hex.DecodeString(word)
			if err != nil {
				panic(err)
			}
			n := 1
			if repeated {
				n = 0
				for _, c := range times {
					n = 10*n + int(c-'0')
				}
			}
			for range n {
				b = append(b, raw...)
			}
		}
	}
	return b
}

// udpExamples has of each service responses and requests.
var udpExamples = map[string]struct{ answers, asks []string }{
	"dns": {[]string{`1234 8180 0001 0001 0000 0000 03 "www" 07 "example" 00 0001 0001`, `0000 8400 0000 0003 0000 0001 00*40`, `1234 8385 0001 0000 0000 0000 00 00ff 0001`,
		`1234 8182 0001 0000 0000 0000`},
		[]string{`1234 0100 0001 0000 0000 0000 03 "www" 07 "example" 00 00ff 0001`, `1234 2800 0000 0000 0000 0000`, `ff*40`, `1234 81`}},
	"ntp":     {[]string{`24 02 06 e9 00*44`, `1c 10 00*46`, `25 01 00*46`, `d7 00 03 2a 0001 0048 00*72`, `97 00 03 2a 00*4`, `16 81 0001 00*8`}, []string{`23 00*47`, `17 00 03 2a 00*4`, `16 01 00*10`, `e3 00*47`, `41*24`}},
	"snmp":    {[]string{`30 1b 020101 0406 "public" a2 0e 020101 020100 020100 3003 3001 00`, `30 2b 020103 300d 020101 02020fff 040100 020103 0405 3003 040100 00*10`}, []string{`30 1b 020101 0406 "public" a5 0e 020101 020100 020100 3003 3001 00`, `30 2b 020103 300d 020101 02020fff 040104 020103 0405 00*12`}},
	"netbios": {[]string{`1234 8400 0000 0001 0000 0000 20 "CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" 00 0021 0001`}, []string{`1234 0000 0001 0000 0000 0000 20 "CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" 00 0021 0001`}},
	"sip":     {[]string{`"SIP/2.0 200 OK" 0d0a`, `"SIP/2.0 404 Not found" 0d0a`}, []string{`"OPTIONS sip:100@192.0.2.1 SIP/2.0" 0d0a`, `"SIP/2.0 OK"`}},
	"http":    {[]string{`"HTTP/1.1 200 OK" 0d0a "ST: upnp:rootdevice" 0d0a`, `"HTTP/1.0 200 OK" 0d0a`}, []string{`"M-SEARCH * HTTP/1.1" 0d0a`, `"NOTIFY * HTTP/1.1" 0d0a`}},
	"cldap":   {[]string{`30 10 020101 64 0b 0400 3007 00*7`, `30 84 00000010 020107 65 07 0a0100 0400 0400`}, []string{`30 25 020101 63 20 0400 0a0100 0a0100 00*10`}},
	"memcached": {[]string{`0000 0000 0001 0000 "STAT pid 1" 0d0a`, `0000 0003 0010 0000 "anything"`, `0001 0000 0001 0000 81 00*23`},
		[]string{`0000 0000 0001 0000 "stats" 0d0a`, `0000 0000 0001 0000 "get a" 0d0a`, `0000 0000 0001 0000 80 00*23`}},
	"quic": {[]string{`c0 00000001 43 a2*199`, `80 00000000 08 01*8 08 02*8 00000001`, `f0 00000001 00 08 02*8 00*40`, `e0 00000001 04 02*4 00*1300`, `cf 6b3343cf 08 01*8 08 02*8 00*40`,
		`c0 00000001 04 01*4 08 02*8 00*1300`, `0a 01*8 "PRST" 00*8`}, []string{`d0 00000001 08 01*8 08 02*8 00*1300`, `c0 1a1a1a1a 08 01*8 08 02*8 00*1300`, `41 01*40`, `00*189`}},
	"dtls":      {[]string{`16 feff 0000 00*6 0023 03 00*34`, `16 fefd 0000 00*6 0023 02 00*34`, `15 fefd 0000 00*6 0002 02 28`}, []string{`16 feff 0000 00*6 0023 01 00*34`, `17 fefd 0000 00*6 0002 02 28`}},
	"dnscrypt":  {[]string{`"r6fnvWj8" 01*60`}, []string{`"q6fnvWj8" 01*60`}},
	"stun":      {[]string{`0101 000c 2112a442 01*12 00*12`, `0111 0000 01*16`}, []string{`0001 0000 2112a442 01*12`, `0101 0008 2112a442 01*12`}},
	"rpc":       {[]string{`12345678 00000001 00000000 00*12`}, []string{`12345678 00000000 00000002 000186a0 00*12`}},
	"mssql":     {[]string{`05 0b00 "ServerName;"`}, []string{`02`, `03`, `04 01*50`, `05 0004 "ServerName;"`}},
	"ike":       {[]string{`01*8 02*8 21 20 22 20 00000000 0000001c`, `01*8 02*8 01 10 02 00 00000000 0000001c`, `00000000 01*8 02*8 21 20 22 20 00000000 0000001c`}, []string{`01*8 00*8 21 20 22 08 00000000 0000001c`, `01*8 00*8 01 10 02 00 00000000 0000001c`}},
	"kerberos":  {[]string{`7e 20 30 1e 00*30`, `6b 20 30 1e 00*30`, `0080 0001 0000 7e 20 30 1e 00*30`}, []string{`6a 20 30 1e 00*30`, `6c 20 30 1e 00*30`}},
	"openvpn":   {[]string{`40 01*8 01 00*16`}, []string{`38 01*8 00 00*4`}},
	"wireguard": {[]string{`02 000000 01*88`, `03 000000 01*60`}, []string{`01 000000 01*144`, `04 000000 01*28`}},
	"l2tp":      {[]string{`c802 0040 0001 0000 0000 0001 8008 0000 0000 0002 00*40`}, []string{`c802 0040 0000 0000 0000 0000 8008 0000 0000 0001 00*40`}},
	"radius":    {[]string{`03 01 0014 01*16`, `02 01 0016 01*18`}, []string{`01 01 0014 01*16`, `03 01 0014 01*17`}},
	"coap":      {[]string{`60 45 0001 ff "x"`, `60 84 0001`}, []string{`40 01 0001 bb 2e 77`, `50 45`}},
	"dhcp":      {[]string{`02 01 06 00 00*236`}, []string{`01 01 06 00 00*236`}},
	"rip":       {[]string{`02 02 0000 0002 0000 00*16`}, []string{`01 02 0000 0000 0000 00*16`}},
	"slp":       {[]string{`02 02 000020 00*28`, `02 0b 000020 00*28`}, []string{`02 01 000020 00*28`, `02 06 000020 00*28`}},
	"xdmcp":     {[]string{`0001 0005 0004 00*4`}, []string{`0001 0002 0001 00`}},
	"gtp":       {[]string{`32 02 0004 00*8`, `40 02 0004 00*8`}, []string{`32 01 0004 00*8`, `30 ff 0028 00*48`}},
	"ipmi":      {[]string{`06 00 ff 06 000011be 40 00*19`, `06 00 ff 07 00 00*8 10 81 1c 63 20 00 38 00 01`, `06 00 ff 07 06 11 00*30`}, []string{`06 00 ff 06 000011be 80 00 00 00`, `06 00 ff 07 00 00*8 09 20 18 c8 81 00 38 8e 04 b5`, `06 00 ff 07 06 10 00*30`}},
	"bacnet":    {[]string{`81 0a 0017 01 00 30 01 0c 00*10`, `81 0b 0017 01 00 10 00 00*10`}, []string{`81 0a 0011 01 04 00 05 01 0c 00*6`, `81 0b 0008 01 00 10 08`}},
	"enip":      {[]string{`6300 2f00 00*20 01*47`}, []string{`6300 0000 00*20`}},
	"rdp":       {[]string{`00000001 0400 0005 00*1224`}, []string{`ffffffff 0400 0001 00*1224`}},
	"chargen":   {[]string{`" !#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefg\" 0d0a"}, []string{`01`, `00*64`}},
	"discovery": {[]string{`"<soap:Body><d:ProbeMatches>"`, `"<s:Envelope><s:Body><s:Fault>"`}, []string{`"<soap:Body><d:Probe/>"`}},
	"dahua":     {[]string{`20000000 "DHIP" 00*24 7b "method:client.notifyDevInfo" 7d`}, []string{`20000000 "DHIP" 00*24 7b "method:DHDiscover.search" 7d`}},
	"ubiquiti":  {[]string{`01 00 0009 02 0006 01*6`}, []string{`01 00 0000`}},
	"citrix":    {[]string{`30 00 02 31 02fda8e3 00*40`}, []string{`1e 00 01 30 02fda8e3 00*22`}},
	"source":    {[]string{`ffffffff "I" 11 "name" 00`, `ffffffff "statusResponse" 0a`, `feffffff 00*20`, `ffffffff "A" 01020304`}, []string{`ffffffff "TSource Engine Query" 00`, `ffffffff "getstatus" 0a`, `ffffffff "getinfo xxx"`}},
	"raknet":    {[]string{`1c 01*16 00ffff00fefefefefdfdfdfd12345678 0004 "MCPE"`, `06 00ffff00fefefefefdfdfdfd12345678 01*11`}, []string{`01 01*8 00ffff00fefefefefdfdfdfd12345678 02*8`, `05 00ffff00fefefefefdfdfdfd12345678 0b 00*40`}},
	"teamspeak": {[]string{`"TS3INIT1" 0065 88 01 01*20`}, []string{`"TS3INIT1" 0065 0000 88 01*21`}},
}

// TestUDPAnswers sends responses and requests of every service from its ports and
// from others: only a response from the service's port is an answer, and its port
// is the source port.
func TestUDPAnswers(t *testing.T) {
	t.Parallel()
	for _, s := range udpServices {
		examples := udpExamples[s.name]
		if len(examples.answers) == 0 || len(examples.asks) == 0 {
			t.Errorf("%s has no examples", s.name)
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			f := frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoUDP, sport: rapid.SampledFrom(s.ports).Draw(t, "from"),
				dport: rapid.Uint16Range(1024, 65535).Filter(func(p uint16) bool { return !slices.Contains(s.ports, p) }).Draw(t, "to")}
			if rapid.Bool().Draw(t, "v6") {
				f.src, f.dst = "2001:db8::7", "2001:db8::1"
			}
			answers := rapid.Bool().Draw(t, "answers")
			list := examples.asks
			if answers {
				list = examples.answers
			}
			f.payload = unhex(rapid.SampledFrom(list).Draw(t, "payload"))
			if rapid.IntRange(0, 9).Draw(t, "elsewhere") == 0 {
				f.sport, answers = 40000, false
			}
			p := decoded(t, f.bytes())
			want, port, peer := observation.ClassUDP, f.dport, f.sport
			if answers {
				want, port, peer = observation.ClassUDPAnswer, f.sport, f.dport
			}
			if p.class != want || p.port != port || p.peer != peer {
				t.Fatalf("%s from %d: %s, port %d; want %s, port %d", s.name, f.sport, p.class, p.port, want, port)
			}
		})
	}
}

// decoded is the packet of a frame.
func decoded(t *rapid.T, frame []byte) (p packet) {
	p.when = fieldStart.UnixNano()
	var d decoder
	if why := d.decode(linkEthernet, frame, 0, &p); why != skipNone {
		t.Fatalf("skipped: %s", skipNames[why])
	}
	return p
}

// TestUDPAnswersOfAnything: no payload makes the tests of the formats fail, and
// none is an answer for its port alone.
func TestUDPAnswersOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "payload")
		if rapid.Bool().Draw(t, "example") {
			s := rapid.SampledFrom(udpServices).Draw(t, "service")
			b = unhex(rapid.SampledFrom(udpExamples[s.name].answers).Draw(t, "like"))
			b = b[:rapid.IntRange(0, len(b)).Draw(t, "cut")]
		}
		for _, s := range udpServices {
			if len(b) > 0 {
				s.answer(b, len(b), 40000)
			}
			if udpAnswer(s.ports[0], 40000, nil, 0) || udpAnswer(s.ports[0], 40000, make([]byte, 64), 64) {
				t.Fatalf("%s: zeros or nothing are an answer", s.name)
			}
		}
	})
}

// TestPortsOfICMP: echo of any code and replies have port 0, an error the port and
// protocol of the packet it quotes.
func TestPortsOfICMP(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		code := rapid.Uint8().Draw(t, "code")
		f := frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoICMP}
		if v6 {
			f.src, f.dst, f.proto = "2001:db8::7", "2001:db8::1", protoICMPv6
		}
		class, proto, port := observation.ClassNone, f.proto, uint16(0)
		kind := uint8(0)
		var quoted []byte
		switch rapid.SampledFrom([]string{"echo", "reply", "error"}).Draw(t, "what") {
		case "echo":
			class, kind = observation.ClassICMPEcho, 8
			if v6 {
				kind = 128
			}
		case "reply":
			class, kind = observation.ClassICMPReply, rapid.SampledFrom([]uint8{0, 14, 16, 18}).Draw(t, "type")
			if v6 {
				kind = rapid.SampledFrom([]uint8{129, 140}).Draw(t, "type6")
			}
		default:
			kinds := map[uint8]observation.Class{3: observation.ClassICMPUnreach, 4: observation.ClassICMPQuench, 5: observation.ClassICMPRedirect,
				11: observation.ClassICMPExceeded, 12: observation.ClassICMPParam}
			if v6 {
				kinds = map[uint8]observation.Class{1: observation.ClassICMPUnreach, 2: observation.ClassICMPTooBig, 3: observation.ClassICMPExceeded,
					4: observation.ClassICMPParam, 137: observation.ClassICMPRedirect}
			}
			kind = rapid.SampledFrom([]uint8{1, 2, 3, 4, 5, 11, 12, 137}).Filter(func(k uint8) bool { _, ok := kinds[k]; return ok }).Draw(t, "error")
			class = kinds[kind]
			q := frame{src: f.dst, dst: f.src, sport: 40000, dport: rapid.Uint16().Draw(t, "attacked"),
				proto: rapid.SampledFrom([]uint8{protoTCP, protoUDP, 132, 47}).Draw(t, "quoted")}
			if q.proto == 132 || q.proto == 47 {
				q.payload = binary.BigEndian.AppendUint16([]byte{0x9c, 0x40}, q.dport)
			}
			quoted = q.bytes()[14:]
			proto, port = q.proto, q.dport
			if q.proto == 47 {
				port = 0
			}
			if kind == 137 {
				quoted, proto, port = nil, f.proto, 0
			}
			switch rapid.IntRange(0, 4).Draw(t, "cut") {
			case 0:
				quoted, proto, port = nil, f.proto, 0
			case 1:
				if len(quoted) > 0 && q.proto != 47 { // no port in what is quoted
					head := 20
					if v6 {
						head = 40
					}
					quoted, proto, port = quoted[:head+2], f.proto, 0
				}
			}
		}
		f.payload = append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quoted...)
		if p := decoded(t, f.bytes()); p.class != class || p.proto != proto || p.port != port {
			t.Fatalf("type %d: %s %d/%d, want %s %d/%d", kind, p.class, p.port, p.proto, class, port, proto)
		}
	})
}

// TestMarksWithoutOptionBytes: a header that claims options where the packet has
// no byte for them is bare, one whose options were not captured is not.
func TestMarksWithoutOptionBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := frame{src: "198.51.100.7", dst: "192.0.2.1", proto: protoTCP, sport: 4000, dport: 23, seq: 0xc0000201, flags: flagSYN, win: 512,
			id: rapid.Uint16().Draw(t, "id")}
		b := f.bytes()
		const dataOffset = 14 + 20 + 12
		b[dataOffset] = rapid.Uint8Range(0, 15).Draw(t, "header") << 4
		b = append(b, make([]byte, rapid.IntRange(0, 10).Draw(t, "padding"))...)
		const both = 1<<observation.MarkMirai | 1<<observation.MarkHping
		if p := decoded(t, b); p.marks&both != both {
			t.Fatalf("header %d: marks %x", b[dataOffset]>>4, p.marks)
		}
		f.options = []byte{2, 4, 5, 0xb4}
		b = f.bytes()
		b = b[:14+20+20+rapid.IntRange(0, 4).Draw(t, "captured")]
		if p := decoded(t, b); p.marks&both != 0 {
			t.Fatalf("options on the wire: marks %x", p.marks)
		}
	})
}
