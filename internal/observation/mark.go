package observation

import (
	"fmt"
	"strconv"
)

// Mark is a header trait that points to a tool or to malware. The rules are in
// docs/attribution.md. Marks are listed in the order of the numbers; outside
// the program a mark is its text.
type Mark uint8

// The marks. A mark's value in Observation.Marks is the number of packets that
// show it; the number of packets that could have is Observation.Packets.
const (
	MarkNone         Mark = iota
	MarkZMap              // IP id 54321 (ZMap up to 4.0)
	MarkZMapOptions       // window 65535, DF=0, ZMap >= 4.1's option bytes
	MarkZMapTime          // TSval is the packet's epoch second
	MarkMasscan           // IP id == low16(dst ^ dport ^ seq), or its UDP forms
	MarkMasscanK          // the same with a hidden destination: constant id ^ dport ^ low16(seq)
	MarkMirai             // TCP sequence number == destination address
	MarkMiraiK            // the same with a hidden destination: one seq from several sources
	MarkNmap              // (seqA ^ seqB) >> 16 == low16(seqA ^ seqB), window 1024-4096, MSS only
	MarkUnicornscan       // seq ^ dst ^ ((dport << 16) + sport) constant (either byte order)
	MarkHping             // window 512, no options (weak)
	MarkAngryIP           // ICMP echo with 32 zero bytes; TCP window 32
	MarkWorm445           // SYN 445/TCP, window 8192, TTL 65-128, the Windows 7/2008 options
	MarkSlammer           // UDP 1434, length 384, payload begins 04 01 01 01
	MarkSYNPayload        // SYN that carries data
	MarkReflectQuery      // high-gain UDP query (DNS ANY, NTP monlist, SSDP, SNMP bulk, CLDAP, memcached)
	MarkSamePayload       // UDP payload equal to the key's first, transaction id included; the first packet does not count
	MarkWindow8192        // SYN with window 8192, whatever else it has
	// Of SYN/ACKs, RSTs and ICMP errors, those at another address or port than
	// the key's first packet, so that no stack's repetition counts:
	MarkSameAck    // answers the same sequence number as the first one
	MarkSameWindow // the same window as the first one, not 0
	MarkPeakMinute // SYN/ACKs, RSTs and ICMP errors of the busiest minute, for two packets and more, the first one's repetitions left out
	MarkRepeat     // packets that show a tool's or malware's mark and repeat an attempt: no evidence

	MarkEnd = iota // one more than the last mark, for arrays that a mark indexes
)

var markTexts = [MarkEnd]string{
	MarkZMap: "zmap", MarkZMapOptions: "zmap_options", MarkZMapTime: "zmap_time", MarkMasscan: "masscan", MarkMasscanK: "masscan_k",
	MarkMirai: "mirai", MarkMiraiK: "mirai_k", MarkNmap: "nmap", MarkUnicornscan: "unicornscan", MarkHping: "hping3",
	MarkAngryIP: "angryip", MarkWorm445: "worm445", MarkSlammer: "slammer", MarkSYNPayload: "syn_payload",
	MarkReflectQuery: "reflect_query", MarkSamePayload: "same_payload", MarkWindow8192: "window_8192", MarkSameAck: "same_ack",
	MarkSameWindow: "same_window", MarkPeakMinute: "peak_minute",
	MarkRepeat: "repeat",
}

// Marks yields every mark in the order of the columns of `teiten stats`.
func Marks(yield func(Mark) bool) {
	for m := MarkNone + 1; m < MarkEnd && yield(m); m++ {
	}
}

// Bit returns the mark's bit in a set of marks.
func (m Mark) Bit() uint32 { return 1 << m }

// String returns the mark's text; MarkNone has none.
func (m Mark) String() string {
	if m >= MarkEnd {
		return "mark " + strconv.Itoa(int(m))
	}
	return markTexts[m]
}

// ParseMark returns the mark with the text; ok is false if there is none.
func ParseMark(text string) (m Mark, ok bool) {
	for m, t := range markTexts {
		if t == text {
			return Mark(m), true
		}
	}
	return MarkNone, false
}

// AppendText appends the mark's text.
func (m Mark) AppendText(b []byte) ([]byte, error) { return append(b, m.String()...), nil }

// MarshalText returns the mark's text.
func (m Mark) MarshalText() ([]byte, error) { return m.AppendText(nil) }

// UnmarshalText reads the mark's text.
func (m *Mark) UnmarshalText(text []byte) error {
	known, ok := ParseMark(string(text))
	if !ok {
		return fmt.Errorf("unknown mark %q", text)
	}
	*m = known
	return nil
}
