package attribution

import (
	"encoding/binary"
	"regexp"
	"slices"
	"strings"

	"teiten/internal/observation"
)

const (
	maxPayloads    = 3  // summaries kept of a source
	maxPayloadText = 60 // characters of one
)

// addressText finds addresses in what a source sent: they may be the sensor's.
var addressText = regexp.MustCompile(`[0-9]{1,3}(?:[.-][0-9]{1,3}){3}|[0-9A-Fa-f]{8,}|(?:[0-9A-Fa-f]{1,4}:){3,}[0-9A-Fa-f:]*`)

// Payload describes in a few words the request in the first bytes of a packet.
// Text that the sender chose is cut to printable ASCII, and text that could be
// one of our addresses is removed. It returns "" for an unknown request.
func Payload(proto uint8, port uint16, b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case proto == protoTCP:
		return tcpPayload(port, b)
	case proto == protoUDP:
		return udpPayload(port, b)
	}
	return ""
}

func tcpPayload(port uint16, b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimRight(line, "\r")
	method, target, _ := strings.Cut(line, " ")
	switch method {
	case "GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "DELETE", "PROPFIND", "TRACE":
		target, _, _ = strings.Cut(target, " ")
		return "HTTP " + method + " " + plain(target)
	case "INFO", "PING", "AUTH", "CONFIG", "KEYS":
		if port == 6379 {
			return "Redis " + method
		}
	}
	switch {
	case len(b) >= 6 && b[0] == 0x16 && b[1] == 3 && b[5] == 1:
		return "TLS ClientHello"
	case strings.HasPrefix(line, "SSH-"):
		return "SSH " + plain(line[len("SSH-"):])
	case len(b) >= 2 && b[0] == '*' && b[1] >= '1' && b[1] <= '9':
		return "Redis"
	case len(b) >= 8 && (string(b[4:8]) == "\xffSMB" || string(b[4:8]) == "\xfeSMB"):
		return "SMB"
	case len(b) >= 4 && b[0] == 3 && b[1] == 0 && port == 3389:
		return "RDP"
	case len(b) >= 8 && port == 502 && b[2] == 0 && b[3] == 0:
		return "Modbus"
	case len(b) >= 7 && port == 102 && b[0] == 3 && b[1] == 0:
		return "ISO-TSAP (S7)"
	}
	return ""
}

func udpPayload(port uint16, b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	switch {
	case port == 53 || port == 5353:
		return dnsPayload(b)
	case port == 123 && b[0]&7 == 7 && len(b) >= 4 && b[3] == 42:
		return "NTP monlist"
	case port == 123:
		return "NTP"
	case port == 161 && b[0] == 0x30:
		return "SNMP"
	case strings.HasPrefix(line, "M-SEARCH"):
		return "SSDP M-SEARCH"
	case port == 11211:
		return "memcached"
	case port == 389 && b[0] == 0x30:
		return "CLDAP"
	case port == 1434 && b[0] == 4 && len(b) > 1:
		return "SQL Server resolution with a long name"
	case port == 5060 && strings.Contains(line, " sip:"):
		method, _, _ := strings.Cut(line, " ")
		return "SIP " + plain(method)
	case port == 500 && len(b) >= 28:
		return "IKE"
	case port == 47808 && b[0] == 0x81:
		return "BACnet"
	}
	return ""
}

// dnsPayload names the type of a DNS question and the last two labels of its
// name: what stands before them may hold our address.
func dnsPayload(b []byte) string {
	if len(b) < 13 || b[2]&0x80 != 0 || binary.BigEndian.Uint16(b[4:]) == 0 {
		return ""
	}
	var labels []string
	rest := b[12:]
	for len(rest) > 0 && rest[0] != 0 {
		n := int(rest[0])
		if n > 63 || n >= len(rest) || len(labels) > 20 {
			return "DNS" // cut, or compressed where nothing is to point to
		}
		labels = append(labels, plain(string(rest[1:1+n])))
		rest = rest[1+n:]
	}
	name := "."
	switch n := len(labels); {
	case n > 2:
		name = "*." + strings.Join(labels[n-2:], ".")
	case n > 0:
		name = strings.Join(labels, ".")
	}
	if len(rest) < 3 {
		return "DNS " + plain(name)
	}
	kind := map[uint16]string{1: "A", 2: "NS", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 46: "RRSIG", 48: "DNSKEY", 255: "ANY"}
	t := binary.BigEndian.Uint16(rest[1:])
	if kind[t] == "" {
		return "DNS " + plain(name)
	}
	return "DNS " + kind[t] + " " + plain(name)
}

// plain keeps printable ASCII, takes addresses out and bounds the length.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	s = addressText.ReplaceAllString(s, "(address)")
	if len(s) > maxPayloadText {
		s = s[:maxPayloadText] + "..."
	}
	return s
}

// addPayloads keeps the first few summaries of what a source sent.
func (p *Profile) addPayloads(o *observation.Observation) {
	for i := range o.Samples {
		if p.more != nil && len(p.more.payloads) >= maxPayloads {
			return
		}
		s := &o.Samples[i]
		text := Payload(o.Proto, s.DestPort, s.Payload)
		if text == "" {
			continue
		}
		if r := p.rest(); !slices.Contains(r.payloads, text) {
			r.payloads = append(r.payloads, text)
			p.book.held += int64(32 + len(text))
		}
	}
}
