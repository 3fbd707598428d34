package capture

import (
	"bytes"
	"encoding/binary"
)

// The responses of services whose messages are encrypted, and of those of
// devices and games. What is outside of the encryption tells the direction of
// the messages that open a connection, and of no others: those stay class udp.

// quicMinimum is the least size of a datagram with a client's Initial packet (RFC
// 9000, 14.1).
const quicMinimum = 1200

// answersQUIC: a version negotiation, a Retry, a Handshake or an Initial packet
// of a server, or the public reset of Google's version.
func answersQUIC(b []byte, n int, to uint16) bool {
	if len(b) < 7 {
		return false
	}
	if b[0]&0x80 == 0 {
		return b[0]&0x42 == 0x02 && len(b) >= 13 && string(b[9:13]) == "PRST"
	}
	version := binary.BigEndian.Uint32(b[1:])
	kind := b[0] >> 4 & 3 // Initial, 0-RTT, Handshake, Retry
	switch {
	case version == 0:
		return true // RFC 9000, 17.2.1: only servers send it
	case version == 1, version>>8 == 0xff0000, version>>4 == 0xfaceb00:
	case version == 0x6b3343cf: // version 2 has Retry first (RFC 9369, 3.2)
		kind = (kind + 3) & 3
	case version>>16 == 0x5130, version>>16 == 0x5430: // Q0nn, T0nn
	default:
		return false
	}
	switch kind {
	case 1:
		return false // 0-RTT: only clients
	case 0:
		// A client's is never shorter than 1,200 bytes, nor is the connection
		// number that it chooses for the server shorter than 8 (7.2).
		return n < quicMinimum || b[5] < 8 || !quicPort(to)
	}
	return !quicPort(to)
}

// quicPort says whether QUIC servers listen at a port, so that a client may be asking.
func quicPort(port uint16) bool {
	switch port {
	case 80, 443, 784, 853, 4433, 8443, 8853:
		return true
	}
	return false
}

// answersDTLS: ServerHello or HelloVerifyRequest in a first flight, or an alert.
func answersDTLS(b []byte, _ int, _ uint16) bool {
	if len(b) < 13 || b[1] != 0xfe || b[2] != 0xff && b[2] != 0xfd && b[2] != 0xfc {
		return false
	}
	switch b[0] {
	case 21:
		return true
	case 22:
		return len(b) > 13 && (b[13] == 2 || b[13] == 3)
	}
	return false
}

// answersDNSCrypt: the magic of a resolver.
func answersDNSCrypt(b []byte, _ int, _ uint16) bool { return bytes.HasPrefix(b, []byte("r6fnvWj8")) }

// answersSTUN: a success or error response whose length is right.
func answersSTUN(b []byte, n int, _ uint16) bool {
	if n < 20 || len(b) < 4 {
		return false
	}
	kind := binary.BigEndian.Uint16(b)
	return kind&0xc100 == 0x0100 && int(binary.BigEndian.Uint16(b[2:]))+20 == n
}

// answersIKE: the response flag of version 2; in version 1 the responder's
// cookie in the messages that open an association.
func answersIKE(b []byte, _ int, _ uint16) bool {
	if len(b) >= 32 && binary.BigEndian.Uint32(b) == 0 {
		b = b[4:] // behind the marker of RFC 3948, 2.2
	}
	if len(b) < 28 {
		return false
	}
	responder := binary.BigEndian.Uint64(b[8:]) != 0
	switch b[17] >> 4 {
	case 2:
		return b[19]&0x20 != 0
	case 1:
		return responder && (b[18] == 2 || b[18] == 4 || b[18] == 5)
	}
	return false
}

// answersOpenVPN: P_CONTROL_HARD_RESET_SERVER_V1 or V2.
func answersOpenVPN(b []byte, n int, _ uint16) bool {
	return n >= 14 && (b[0] == 2<<3 || b[0] == 8<<3)
}

// answersWireGuard: a handshake response or a cookie, whose sizes are fixed.
func answersWireGuard(b []byte, n int, _ uint16) bool {
	if len(b) < 4 || b[1] != 0 || b[2] != 0 || b[3] != 0 {
		return false
	}
	return b[0] == 2 && n == 92 || b[0] == 3 && n == 64
}

// answersL2TP: a control message whose first attribute says SCCRP or StopCCN.
func answersL2TP(b []byte, _ int, _ uint16) bool {
	if len(b) < 20 || b[0]&0xc8 != 0xc8 || b[1]&15 != 2 || binary.BigEndian.Uint32(b[14:]) != 0 {
		return false
	}
	kind := binary.BigEndian.Uint16(b[18:])
	return kind == 2 || kind == 4
}

// answersBACnet: an original unicast or broadcast without network addresses, and
// an acknowledgement, error, reject or abort, or I-Am.
func answersBACnet(b []byte, _ int, _ uint16) bool {
	if len(b) < 8 || b[0] != 0x81 || b[1] != 0x0a && b[1] != 0x0b || b[4] != 1 || b[5]&0xa8 != 0 {
		return false
	}
	switch kind := b[6] >> 4; kind {
	case 2, 3, 5, 6, 7:
		return true
	default:
		return kind == 1 && b[7] == 0
	}
}

// answersENIP: a list command with something in it.
func answersENIP(b []byte, _ int, _ uint16) bool {
	if len(b) < 24 {
		return false
	}
	command, size := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
	return (command == 4 || command == 0x63 || command == 0x64) && size > 0
}

// answersRDP: SYN with ACK, which the host that opens a connection does not set.
func answersRDP(b []byte, n int, _ uint16) bool {
	return n >= 8 && len(b) >= 8 && binary.BigEndian.Uint16(b[6:])&5 == 5
}

// discoveryReplies are elements of WS-Discovery that only services send.
var discoveryReplies = [][]byte{[]byte("ProbeMatch"), []byte("ResolveMatch"), []byte(":Fault")}

func answersDiscovery(b []byte, _ int, _ uint16) bool {
	for _, r := range discoveryReplies {
		if bytes.Contains(b, r) {
			return true
		}
	}
	return false
}

func answersDahua(b []byte, _ int, _ uint16) bool {
	return len(b) > 32 && string(b[4:8]) == "DHIP" && bytes.Contains(b, []byte("notifyDevInfo"))
}

// answersUbiquiti: a request has no attributes.
func answersUbiquiti(b []byte, n int, _ uint16) bool {
	return len(b) >= 4 && (b[0] == 1 || b[0] == 2) && int(binary.BigEndian.Uint16(b[2:]))+4 == n && n > 4
}

// answersCitrix: kind 2 and the browser's magic number; a request is of kind 1.
func answersCitrix(b []byte, _ int, _ uint16) bool {
	return len(b) >= 8 && b[2] == 2 && binary.BigEndian.Uint32(b[4:]) == 0x02fda8e3
}

// quakeReplies are the first bytes of what game servers answer behind four bytes
// of ones: A2S_INFO, PLAYER, RULES and the challenge; Quake 3's words.
var quakeReplies = [][]byte{{'I'}, {'D'}, {'E'}, {'A'}, {'m'}, []byte("statusResponse"), []byte("infoResponse"), []byte("print"),
	[]byte("challengeResponse"), []byte("disconnect")}

func answersQuake(b []byte, _ int, _ uint16) bool {
	if len(b) < 9 {
		return false
	}
	switch binary.LittleEndian.Uint32(b) {
	case 0xfffffffe: // one part of a long answer
		return true
	case 0xffffffff:
		for _, r := range quakeReplies {
			if bytes.HasPrefix(b[4:], r) {
				return true
			}
		}
	}
	return false
}

// rakNetMagic stands in all messages outside of a connection.
var rakNetMagic = []byte{0, 0xff, 0xff, 0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfd, 0xfd, 0xfd, 0xfd, 0x12, 0x34, 0x56, 0x78}

// answersRakNet: unconnected pong, the replies to requests for a connection, and
// refusals.
func answersRakNet(b []byte, _ int, _ uint16) bool {
	at := 1
	switch b[0] {
	case 0x1c:
		at = 17
	case 0x06, 0x08, 0x11, 0x12, 0x14, 0x17, 0x1a:
	case 0x19: // incompatible version: the server's first
		at = 2
	default:
		return false
	}
	return len(b) >= at+16 && bytes.Equal(b[at:at+16], rakNetMagic)
}

// answersTeamSpeak: the first messages, whose header is two bytes shorter from
// the server.
func answersTeamSpeak(b []byte, _ int, _ uint16) bool {
	return len(b) >= 12 && string(b[:8]) == "TS3INIT1" && b[10]&15 == 8
}
