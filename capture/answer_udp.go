package capture

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// udpService is a UDP service whose format tells a response from a request. A
// packet from one of its ports with such a response answers: the port alone
// never says so, since scanners send from any port.
type udpService struct {
	name  string
	ports []uint16
	// answer looks at the payload b, of which there were n bytes on the wire,
	// sent to port to.
	answer func(b []byte, n int, to uint16) bool
}

// udpServices lists what can be told. A port may have several services.
var udpServices = []udpService{
	{"dns", []uint16{53, 5353, 5355}, answersDNS},                                    // RFC 1035, 4.1.1; 6762; 4795
	{"ntp", []uint16{123}, answersNTP},                                               // RFC 5905, 7.3; 9327
	{"snmp", []uint16{161}, answersSNMP},                                             // RFC 3416, 3; 3412, 6.4
	{"netbios", []uint16{137}, answersNetBIOS},                                       // RFC 1002, 4.2.1.1
	{"sip", []uint16{5060, 5061}, answersSIP},                                        // RFC 3261, 7.2
	{"http", []uint16{1900, 32410, 32412, 32414}, answersHTTP},                       // UPnP device architecture 2.0, 1.3.3
	{"cldap", []uint16{389}, answersLDAP},                                            // RFC 4511, 4.2 to 4.5
	{"memcached", []uint16{11211}, answersMemcached},                                 // protocol.txt, UDP protocol
	{"quic", []uint16{80, 443, 784, 853, 4433, 8443, 8853}, answersQUIC},             // RFC 9000, 17.2; 9369
	{"dtls", []uint16{443, 853, 3391, 4433, 4443, 5349, 5684, 8443}, answersDTLS},    // RFC 6347, 4.2; 9147
	{"dnscrypt", []uint16{53, 443, 5353, 5443, 8443}, answersDNSCrypt},               // DNSCrypt version 2, 6
	{"stun", []uint16{3478, 3479, 5349, 19302}, answersSTUN},                         // RFC 8489, 5; 3489
	{"rpc", []uint16{111, 2049, 17185}, answersRPC},                                  // RFC 5531, 9
	{"mssql", []uint16{1434}, answersMSSQL},                                          // MC-SQLR, 2.2.5
	{"ike", []uint16{500, 4500}, answersIKE},                                         // RFC 7296, 3.1; 2408, 3.1; 3948
	{"kerberos", []uint16{88, 464}, answersKerberos},                                 // RFC 4120, 5.10
	{"openvpn", []uint16{1194, 1195}, answersOpenVPN},                                // OpenVPN protocol, P_CONTROL_HARD_RESET_SERVER
	{"wireguard", []uint16{51820, 51821}, answersWireGuard},                          // WireGuard protocol, 5.4.3 and 5.4.7
	{"l2tp", []uint16{1701}, answersL2TP},                                            // RFC 2661, 3.1 and 4.4.1
	{"radius", []uint16{1645, 1646, 1812, 1813}, answersRADIUS},                      // RFC 2865, 3 and 4
	{"coap", []uint16{5683}, answersCoAP},                                            // RFC 7252, 3 and 12.1.2
	{"dhcp", []uint16{67}, answersDHCP},                                              // RFC 2131, 2
	{"rip", []uint16{520}, answersRIP},                                               // RFC 2453, 3.6
	{"slp", []uint16{427}, answersSLP},                                               // RFC 2608, 8
	{"xdmcp", []uint16{177}, answersXDMCP},                                           // X Display Manager Control Protocol
	{"gtp", []uint16{2123, 2152, 3386}, answersGTP},                                  // 3GPP TS 29.060, 7.1
	{"ipmi", []uint16{623}, answersIPMI},                                             // IPMI 2.0, 13; DSP0136
	{"bacnet", []uint16{47808}, answersBACnet},                                       // ASHRAE 135, 20.1
	{"enip", []uint16{44818}, answersENIP},                                           // EtherNet/IP, 2-4.2
	{"rdp", []uint16{3389}, answersRDP},                                              // MS-RDPEUDP, 2.2.2.1
	{"chargen", []uint16{19}, answersChargen},                                        // RFC 864
	{"discovery", []uint16{3702}, answersDiscovery},                                  // WS-Discovery 1.1, 5 and 6
	{"dahua", []uint16{37810}, answersDahua},                                         // DHIP discovery
	{"ubiquiti", []uint16{10001}, answersUbiquiti},                                   // Ubiquiti discovery, version 1
	{"citrix", []uint16{1604}, answersCitrix},                                        // ICA browser
	{"source", ports(27000, 27100, 26000, 27910, 27960, 28960, 30120), answersQuake}, // Valve server queries, Quake 3
	{"raknet", []uint16{19132, 19133}, answersRakNet},                                // RakNet, unconnected messages
	{"teamspeak", []uint16{9987}, answersTeamSpeak},                                  // TeamSpeak 3, low level packets
}

// ports lists the ports from first up to last, and more.
func ports(first, last uint16, more ...uint16) []uint16 {
	for p := first; p < last; p++ {
		more = append(more, p)
	}
	return more
}

// udpTable has the services of each port: sets[of[port]].
type udpTable struct {
	of   [1 << 16]uint8
	sets [][]udpService
}

var udpPorts = newUDPTable(udpServices)

func newUDPTable(services []udpService) *udpTable {
	t := &udpTable{sets: make([][]udpService, 1)}
	for _, s := range services {
		for _, p := range s.ports {
			if t.of[p] == 0 {
				t.of[p] = uint8(len(t.sets))
				t.sets = append(t.sets, nil)
			}
			t.sets[t.of[p]] = append(t.sets[t.of[p]], s)
		}
	}
	return t
}

// udpAnswer says whether a datagram from port from is a response of the service
// that has this port.
func udpAnswer(from, to uint16, b []byte, n int) bool {
	if len(b) == 0 {
		return false
	}
	for _, s := range udpPorts.sets[udpPorts.of[from]] {
		if s.answer(b, n, to) {
			return true
		}
	}
	return false
}

// answersDNS: QR set, an operation that exists, the bit that must be zero is,
// and counts that a message can have.
func answersDNS(b []byte, _ int, _ uint16) bool {
	if len(b) < 12 || b[2]&0x80 == 0 || b[3]&0x40 != 0 {
		return false
	}
	be := binary.BigEndian
	operation := b[2] >> 3 & 15
	return operation != 3 && operation <= 6 && be.Uint16(b[4:]) <= 16 &&
		be.Uint16(b[6:]) < 4096 && be.Uint16(b[8:]) < 4096 && be.Uint16(b[10:]) < 4096
}

// answersNTP: modes 2 (symmetric passive), 4 (server) and 5 (broadcast); in modes
// 6 (control) and 7 (private) the response bit.
func answersNTP(b []byte, n int, _ uint16) bool {
	if n < 8 || len(b) < 2 {
		return false
	}
	version := b[0] >> 3 & 7
	if version < 1 || version > 4 {
		return false
	}
	switch b[0] & 7 {
	case 2, 4, 5:
		return n >= 48 && b[1] <= 16 // the stratum
	case 6:
		return b[1]&0x80 != 0
	case 7:
		return b[0]&0x80 != 0
	}
	return false
}

// answersSNMP: a response or a report; in version 3, whose message may be
// encrypted, the reportable flag, which only requests have.
func answersSNMP(b []byte, _ int, _ uint16) bool {
	if pdu, _, ok := parseSNMP(b); ok {
		return pdu == 0xa2 || pdu == 0xa8
	}
	tag, body, _, ok := berElement(b)
	if !ok || tag != 0x30 {
		return false
	}
	tag, version, body, ok := berElement(body)
	if !ok || tag != 2 || len(version) != 1 || version[0] != 3 {
		return false
	}
	tag, body, _, ok = berElement(body) // msgGlobalData: ID, largest size, flags
	for range 2 {
		if !ok || tag != 0x30 && tag != 2 {
			return false
		}
		tag, _, body, ok = berElement(body)
	}
	tag, flags, _, ok := berElement(body)
	return ok && tag == 4 && len(flags) == 1 && flags[0]&4 == 0
}

// answersNetBIOS: the R bit of a name service header.
func answersNetBIOS(b []byte, _ int, _ uint16) bool {
	return len(b) >= 12 && b[2]&0x80 != 0 && binary.BigEndian.Uint16(b[4:]) == 0 && binary.BigEndian.Uint16(b[6:]) <= 1
}

// status says whether a line begins with a protocol and a code of three digits.
func status(b []byte, protocol string) bool {
	k := len(protocol)
	if len(b) < k+4 || string(b[:k]) != protocol || b[k] != ' ' {
		return false
	}
	for _, c := range b[k+1 : k+4] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func answersSIP(b []byte, _ int, _ uint16) bool { return status(b, "SIP/2.0") }

func answersHTTP(b []byte, _ int, _ uint16) bool {
	return status(b, "HTTP/1.1") || status(b, "HTTP/1.0")
}

// answersLDAP: SEQUENCE, message ID, one of the responses.
func answersLDAP(b []byte, _ int, _ uint16) bool {
	tag, body, _, ok := berElement(b)
	if !ok || tag != 0x30 {
		return false
	}
	tag, _, rest, ok := berElement(body)
	if !ok || tag != 2 || len(rest) == 0 {
		return false
	}
	switch rest[0] {
	case 0x61, 0x64, 0x65, 0x73, 0x78, 0x79: // bind, entry, done, reference, extended, intermediate
		return true
	}
	return false
}

// memcachedReplies are the words a response of memcached begins with.
var memcachedReplies = []string{"STAT ", "VALUE ", "END\r\n", "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "VERSION ", "STORED", "NOT_",
	"DELETED", "OK\r\n", "RESET", "TOUCHED", "EXISTS", "HD", "VA ", "EN\r\n"}

// answersMemcached: a frame header, then a reply's word, a binary response, or
// one of several datagrams, which requests never have.
func answersMemcached(b []byte, _ int, _ uint16) bool {
	if len(b) < 8 || binary.BigEndian.Uint16(b[6:]) != 0 {
		return false
	}
	number, of := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[4:])
	if of > 1 && number < of {
		return true
	}
	body := b[8:]
	return len(body) > 0 && body[0] == 0x81 ||
		slices.ContainsFunc(memcachedReplies, func(word string) bool { return bytes.HasPrefix(body, []byte(word)) })
}

// answersRPC: message type REPLY, accepted or denied.
func answersRPC(b []byte, _ int, _ uint16) bool {
	return len(b) >= 12 && binary.BigEndian.Uint32(b[4:]) == 1 && binary.BigEndian.Uint32(b[8:]) <= 1
}

// answersMSSQL: SVR_RESP with its length.
func answersMSSQL(b []byte, n int, _ uint16) bool {
	return len(b) >= 3 && b[0] == 5 && int(binary.LittleEndian.Uint16(b[1:]))+3 == n
}

// answersKerberos: AS-REP, TGS-REP, AP-REP, KRB-ERROR; for changes of a password
// (RFC 3244) a version of 1 and a reply.
func answersKerberos(b []byte, _ int, _ uint16) bool {
	if len(b) >= 6 && binary.BigEndian.Uint16(b[2:]) == 1 && b[0] == 0 {
		b = b[6:] // length, version, length of the AP-REP, which is 0 before an error
	}
	tag, _, _, ok := berElement(b)
	return ok && (tag == 0x6b || tag == 0x6d || tag == 0x6f || tag == 0x7e)
}

// answersRADIUS: Access-Accept, Accounting-Response, Access-Reject,
// Access-Challenge with their length.
func answersRADIUS(b []byte, n int, _ uint16) bool {
	return len(b) >= 4 && n >= 20 && (b[0] == 2 || b[0] == 3 || b[0] == 5 || b[0] == 11) && int(binary.BigEndian.Uint16(b[2:])) == n
}

// answersCoAP: version 1 and a code of class 2, 4 or 5.
func answersCoAP(b []byte, _ int, _ uint16) bool {
	if len(b) < 4 || b[0]>>6 != 1 || b[0]&15 > 8 {
		return false
	}
	class := b[1] >> 5
	return (class == 2 || class == 4 || class == 5) && b[1]&31 < 16
}

// answersDHCP: BOOTREPLY.
func answersDHCP(b []byte, n int, _ uint16) bool {
	return n >= 236 && len(b) >= 2 && b[0] == 2 && b[1] >= 1
}

// answersRIP: command 2, version 1 or 2, whole entries.
func answersRIP(b []byte, n int, _ uint16) bool {
	return len(b) >= 4 && b[0] == 2 && (b[1] == 1 || b[1] == 2) && b[2] == 0 && b[3] == 0 && (n-4)%20 == 0
}

// answersSLP: replies and advertisements of versions 1 and 2.
func answersSLP(b []byte, _ int, _ uint16) bool {
	if len(b) < 5 || b[0] != 1 && b[0] != 2 {
		return false
	}
	switch b[1] {
	case 2, 5, 7, 8, 10, 11:
		return true
	}
	return false
}

// answersXDMCP: Willing, Unwilling, Accept, Decline, Refuse, Failed, Alive.
func answersXDMCP(b []byte, n int, _ uint16) bool {
	if len(b) < 6 || binary.BigEndian.Uint16(b) != 1 || int(binary.BigEndian.Uint16(b[4:]))+6 != n {
		return false
	}
	switch binary.BigEndian.Uint16(b[2:]) {
	case 5, 6, 8, 9, 11, 12, 14:
		return true
	}
	return false
}

// answersGTP: an echo response, or version not supported.
func answersGTP(b []byte, n int, _ uint16) bool {
	version := uint8(0)
	if len(b) > 0 {
		version = b[0] >> 5
	}
	return n >= 8 && len(b) >= 2 && version <= 2 && (b[1] == 2 || b[1] == 3)
}

// answersIPMI: an ASF presence pong, or a session message whose network
// function is odd.
func answersIPMI(b []byte, _ int, _ uint16) bool {
	if len(b) < 5 || b[0] != 6 || b[1] != 0 {
		return false
	}
	switch b[3] & 0x1f {
	case 6:
		return len(b) >= 9 && b[8] == 0x40
	case 7:
		if b[4] == 6 { // RMCP+: open session, RAKP 2 and 4
			kind := uint8(0)
			if len(b) > 5 {
				kind = b[5] & 0x3f
			}
			return kind == 0x11 || kind == 0x13 || kind == 0x15
		}
		at := 15
		if b[4] != 0 {
			at += 16 // an authentication code
		}
		return len(b) > at && b[at]>>2&1 == 1
	}
	return false
}

// answersChargen: lines of printable characters.
func answersChargen(b []byte, _ int, _ uint16) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' {
			return false
		}
	}
	return len(b) >= 16
}
