package capture

import (
	"encoding/binary"

	"teiten/internal/observation"
)

// Options of Windows 7 and later and of ZMap since 4.1.0.
const (
	optionsWindowsLo = 0x08030301_b4050402 // 02 04 05 b4 01 03 03 08, little endian
	optionsWindowsHi = 0x02040101          // 01 01 04 02
)

// markSYN sets the marks of a SYN. bare says that it has no options, ts is the
// offset of the timestamp value in the options or -1.
func markSYN(p *packet, bare bool, options []byte, ts, dataLen int) {
	le, be := binary.LittleEndian, binary.BigEndian
	if dataLen > 0 {
		p.marks |= observation.MarkSYNPayload.Bit()
	}
	v4 := p.bits&bitV6 == 0
	df := p.bits&bitDF != 0
	if v4 {
		p.bits |= bitSYNv4
		if p.id == uint16(p.dst)^p.port^uint16(p.seq) {
			p.marks |= observation.MarkMasscan.Bit()
		}
		if bare && p.seq == p.dst {
			p.marks |= observation.MarkMirai.Bit()
		}
	}
	switch p.win {
	case 65535:
		if v4 && !df && p.ttl <= 64 && zmapOptions(options) {
			p.marks |= observation.MarkZMapOptions.Bit()
		}
	case 512:
		if bare {
			p.marks |= observation.MarkHping.Bit()
		}
	case 32:
		p.marks |= observation.MarkAngryIP.Bit()
	case 8192:
		p.marks |= observation.MarkWindow8192.Bit()
		if p.port == 445 && p.ttl >= 65 && p.ttl <= 128 && wormOptions(options) {
			p.marks |= observation.MarkWorm445.Bit()
		}
	case 1024, 1025:
		if v4 && p.marks&observation.MarkMasscan.Bit() == 0 {
			p.bits |= bitMasscanK
		}
	}
	// nmap: window 1024, 2048, 3072 or 4096, only a maximum segment size, no DF
	if p.win&1023 == 0 && p.win-1 < 4096 && len(options) == 4 && le.Uint16(options) == 0x0402 && !df {
		p.bits |= bitNmap
	}
	if v4 && bare && p.marks&(1<<observation.MarkMasscan|1<<observation.MarkMirai|1<<observation.MarkZMap) == 0 && p.seq != 0 {
		p.bits |= bitMiraiK
	}
	if ts >= 0 && be.Uint32(options[ts+4:]) == 0 {
		sec := uint32(p.when / 1e9)
		if d := be.Uint32(options[ts:]) - sec + 2; d <= 4 {
			p.marks |= observation.MarkZMapTime.Bit()
		}
	}
}

const (
	zmapID       = 54321
	zmapTTL      = 190   // less than what is left of 255 behind any number of hops
	zmapPorts    = 32768 // the source ports of a scan, unless its user chose others
	zmapPortsEnd = 61000
)

// markZMap sets the mark of ZMap up to 4.0 (packet.c, make_ip_header): the
// identification, no DF, TTL 255 less the hops, and a source port of its default
// range. The identification alone proves nothing: tutorials about raw sockets have
// the same, with the TTL, window and ports of their own.
func markZMap(p *packet, sport uint16) {
	if p.id == zmapID && p.bits&(bitV6|bitDF) == 0 && p.ttl > zmapTTL && sport >= zmapPorts && sport <= zmapPortsEnd {
		p.marks |= observation.MarkZMap.Bit()
	}
}

// zmapOptions says whether options are exactly those of ZMap 4.1.0 and later:
// its default, or its "linux" set.
func zmapOptions(o []byte) bool {
	le := binary.LittleEndian
	switch len(o) {
	case 12:
		return le.Uint64(o) == optionsWindowsLo && le.Uint32(o[8:]) == optionsWindowsHi
	case 20:
		return le.Uint64(o) == 0x0a080204_b4050402 && le.Uint32(o[16:]) == 0x07030301
	}
	return false
}

// wormOptions says whether options are MSS, NOP, window scale 2 or 8, NOP,
// NOP, SACK permitted.
func wormOptions(o []byte) bool {
	le := binary.LittleEndian
	return len(o) == 12 && le.Uint16(o) == 0x0402 && le.Uint32(o[4:])&0xffffff == 0x030301 &&
		(o[7] == 2 || o[7] == 8) && le.Uint32(o[8:]) == optionsWindowsHi
}

// Ports of the UDP queries that marks know.
const (
	portDNS       = 53
	portNTP       = 123
	portNetBIOS   = 137
	portSNMP      = 161
	portCLDAP     = 389
	portSlammer   = 1434
	portSSDP      = 1900
	portMemcached = 11211
)

// markUDP sets the marks of a UDP packet; length is the UDP length.
func markUDP(p *packet, length int, b []byte) {
	be := binary.BigEndian
	v4 := p.bits&bitV6 == 0
	k := p.id ^ uint16(p.dst) ^ p.port
	switch p.port {
	case portDNS, portNetBIOS:
		if v4 && len(b) >= 12 && be.Uint16(b) == k {
			p.marks |= observation.MarkMasscan.Bit()
		}
		if p.port == portDNS && highGainDNS(b) {
			p.marks |= observation.MarkReflectQuery.Bit()
		}
	case portSNMP:
		pdu, request, ok := parseSNMP(b)
		if !ok {
			return
		}
		if v4 && request == k {
			p.marks |= observation.MarkMasscan.Bit()
		}
		if pdu == 0xa5 { // GetBulkRequest (RFC 3416, 3)
			p.marks |= observation.MarkReflectQuery.Bit()
		}
	case portNTP:
		// Mode 7 (private), implementation XNTPD or XNTPD_OLD, a request for the
		// list of monitored clients.
		if len(b) >= 8 && b[0]&0x87 == 0x07 && (b[2] == 2 || b[2] == 3) && (b[3] == 42 || b[3] == 20) {
			p.marks |= observation.MarkReflectQuery.Bit()
		}
	case portCLDAP:
		if searchesLDAP(b) {
			p.marks |= observation.MarkReflectQuery.Bit()
		}
	case portSlammer:
		if length == 384 && len(b) >= 4 && be.Uint32(b) == 0x04010101 {
			p.marks |= observation.MarkSlammer.Bit()
		}
	case portSSDP:
		if len(b) >= 8 && string(b[:8]) == "M-SEARCH" {
			p.marks |= observation.MarkReflectQuery.Bit()
		}
	case portMemcached:
		// An eight-byte frame header, then a command that answers at length.
		if len(b) >= 12 && (string(b[8:12]) == "stat" || string(b[8:12]) == "get " || string(b[8:12]) == "gets") {
			p.marks |= observation.MarkReflectQuery.Bit()
		}
	}
}

// highGainDNS recognises a DNS query (RFC 1035, 4.1) for ANY, RRSIG or DNSKEY,
// or for TXT with room for a large answer (EDNS, RFC 6891).
func highGainDNS(b []byte) bool {
	be := binary.BigEndian
	if len(b) < 17 || b[2]&0xf8 != 0 || be.Uint16(b[4:]) == 0 {
		return false // not a standard query with a question
	}
	i := 12
	for range 128 {
		if i >= len(b) {
			return false
		}
		n := int(b[i])
		if n == 0 {
			break
		}
		if n > 63 {
			return false
		}
		i += 1 + n
	}
	if i+5 > len(b) {
		return false
	}
	switch be.Uint16(b[i+1:]) {
	case 255, 46, 48:
		return true
	case 16:
		return be.Uint16(b[10:]) > 0 // an additional record: EDNS
	}
	return false
}

// searchesLDAP recognises a connectionless LDAP search (RFC 1798; RFC 4511,
// 4.5.1): SEQUENCE, message ID, [APPLICATION 3].
func searchesLDAP(b []byte) bool {
	tag, body, _, ok := berElement(b)
	if !ok || tag != 0x30 {
		return false
	}
	tag, _, rest, ok := berElement(body)
	return ok && tag == 0x02 && len(rest) > 0 && rest[0] == 0x63
}

// parseSNMP reads the PDU type and the low 16 bits of the request id of an
// SNMPv1 or v2c message (RFC 1157, 4; RFC 3416, 3).
func parseSNMP(b []byte) (pdu uint8, request uint16, ok bool) {
	tag, body, _, ok := berElement(b)
	if !ok || tag != 0x30 {
		return 0, 0, false
	}
	tag, _, body, ok = berElement(body) // version
	if !ok || tag != 0x02 {
		return 0, 0, false
	}
	tag, _, body, ok = berElement(body) // community
	if !ok || tag != 0x04 {
		return 0, 0, false
	}
	pdu, body, _, ok = berElement(body)
	if !ok || pdu < 0xa0 || pdu > 0xa8 {
		return 0, 0, false
	}
	tag, id, _, ok := berElement(body)
	if !ok || tag != 0x02 || len(id) == 0 {
		return 0, 0, false
	}
	request = uint16(id[len(id)-1])
	if len(id) > 1 {
		request |= uint16(id[len(id)-2]) << 8
	}
	return pdu, request, true
}

// berElement splits the first BER element (tag of one byte, definite length)
// off b. An element that is cut keeps what is there.
func berElement(b []byte) (tag uint8, body, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	tag, n, i := b[0], int(b[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 4 || len(b) < 2+k {
			return 0, nil, nil, false
		}
		n = 0
		for _, c := range b[2 : 2+k] {
			n = n<<8 | int(c)
		}
		i = 2 + k
	}
	end := min(len(b), i+n)
	if n < 0 || end < i {
		return 0, nil, nil, false
	}
	return tag, b[i:end], b[end:], true
}
