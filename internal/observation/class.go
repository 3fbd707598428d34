package observation

import (
	"fmt"
	"strconv"
)

// Class is the form of a packet on the wire. Observations are sorted in the order
// of the numbers; outside the program a class is its text.
type Class uint8

// The packet classes. TCP classes look at all eight flag bits: a SYN with ECE
// and CWR is an ECN-setup SYN (RFC 3168, 6.1.1) and still a syn; a combination
// that no stack sends is tcp-other.
const (
	ClassNone Class = iota
	ClassSYN
	ClassSYNACK
	ClassRST // RST and RST/ACK
	ClassACK // ACK with or without PSH
	ClassFIN // FIN with or without ACK
	ClassNull
	ClassXmas // FIN, PSH, URG
	ClassTCPOther
	ClassTCPShort // header cut before the flags
	ClassUDP
	ClassUDPShort
	ClassICMPEcho
	ClassICMPReply   // a reply of any kind: echo, time stamp, information, address mask, node information
	ClassICMPUnreach // destination unreachable
	ClassICMPQuench
	ClassICMPRedirect
	ClassICMPExceeded // time exceeded
	ClassICMPParam
	ClassICMPTooBig // ICMPv6 packet too big
	ClassICMPOther  // any other ICMP type
	ClassICMPShort
	ClassFragment // fragment with offset > 0, or too short to name ports
	ClassOther    // any other IP protocol
	// ClassUDPAnswer came later: numbers of classes are never given again, as
	// the order of stored observations follows them.
	ClassUDPAnswer // UDP from a service's own port with that service's response

	classes = iota
)

var classTexts = [classes]string{
	ClassSYN: "syn", ClassSYNACK: "synack", ClassRST: "rst", ClassACK: "ack", ClassFIN: "fin", ClassNull: "null", ClassXmas: "xmas",
	ClassTCPOther: "tcp-other", ClassTCPShort: "tcp-short", ClassUDP: "udp", ClassUDPShort: "udp-short", ClassICMPEcho: "icmp-echo",
	ClassICMPReply: "icmp-reply", ClassICMPUnreach: "icmp-unreachable", ClassICMPQuench: "icmp-quench", ClassICMPRedirect: "icmp-redirect",
	ClassICMPExceeded: "icmp-exceeded", ClassICMPParam: "icmp-parameter", ClassICMPTooBig: "icmp-too-big", ClassICMPOther: "icmp-other",
	ClassICMPShort: "icmp-short", ClassFragment: "fragment", ClassOther: "other", ClassUDPAnswer: "udp-answer",
}

// ICMPError reports whether the class quotes the packet that it answers.
func (c Class) ICMPError() bool { return c >= ClassICMPUnreach && c <= ClassICMPTooBig }

// FromService reports whether the class's service port is the source port: the
// packet answers from the port of a service.
func (c Class) FromService() bool {
	return c == ClassSYNACK || c == ClassRST || c == ClassUDPAnswer
}

// String returns the class's text; ClassNone has none.
func (c Class) String() string {
	if c >= classes {
		return "class " + strconv.Itoa(int(c))
	}
	return classTexts[c]
}

// ParseClass returns the class with the text; ok is false if there is none.
func ParseClass(text string) (c Class, ok bool) {
	for c, t := range classTexts {
		if t == text {
			return Class(c), true
		}
	}
	return ClassNone, false
}

// AppendText appends the class's text.
func (c Class) AppendText(b []byte) ([]byte, error) { return append(b, c.String()...), nil }

// MarshalText returns the class's text.
func (c Class) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalText reads the class's text.
func (c *Class) UnmarshalText(text []byte) error {
	known, ok := ParseClass(string(text))
	if !ok {
		return fmt.Errorf("unknown packet class %q", text)
	}
	*c = known
	return nil
}
