package explain

import (
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// TableOptions say what Table writes.
type TableOptions struct {
	// Language is "ja"; anything else is English.
	Language string
	// HideSensor leaves out destination, sequence number and identification
	// together: tools and worms derive the latter two from the first, so any of
	// them gives the sensor away.
	HideSensor bool
	// MaxObservations and MaxPackets bound the rows. Zero means 50 of each.
	MaxObservations, MaxPackets int
}

// checks are the rules that one packet obeys or not, as a display filter for
// tshark and as a function. Rules about several packets have a filter only.
var checks = map[string]struct {
	filter string
	obeys  func(o *observation.Observation, s *observation.Sample) bool
}{
	"zmap": {"ip.id == 54321 && ip.flags.df == 0 && ip.ttl > 190 && (!tcp || tcp.flags == 2 && tcp.window_size_value == 65535)",
		func(o *observation.Observation, s *observation.Sample) bool {
			return s.ID == 54321 && !s.DF && s.TTL > 190 && (o.Proto != protoTCP || s.Flags == 2 && s.Window == 65535)
		}},
	"masscan": {"ip.id == (ip.dst ^ tcp.dstport ^ tcp.seq_raw) & 0xffff; over UDP udp.dstport and, for tcp.seq_raw, dns.id, nbns.id or snmp.request_id",
		func(o *observation.Observation, s *observation.Sample) bool {
			number, ok := masscanNumber(o, s)
			return ok && s.Destination.Is4() && s.ID == uint16(low32(s))^s.DestPort^number
		}},
	"mirai": {"tcp.seq_raw == ip.dst", func(o *observation.Observation, s *observation.Sample) bool {
		return o.Proto == protoTCP && s.Destination.Is4() && s.Seq == low32(s)
	}},
	"worm445": {"tcp.flags == 2 && tcp.dstport == 445 && tcp.window_size_value == 8192 && ip.ttl > 64 && ip.ttl <= 128",
		func(o *observation.Observation, s *observation.Sample) bool {
			return o.Class == observation.ClassSYN && o.Port == 445 && s.Window == 8192 && s.TTL > 64 && s.TTL <= 128
		}},
	"slammer": {"udp.dstport == 1434 && udp.length == 384 && udp.payload[0:4] == 04:01:01:01", func(o *observation.Observation, s *observation.Sample) bool {
		return o.Proto == protoUDP && s.DestPort == 1434 && strings.HasPrefix(string(s.Payload), "\x04\x01\x01\x01")
	}},
	"hping3": {"tcp.window_size_value == 512 && !tcp.options", func(o *observation.Observation, s *observation.Sample) bool {
		return o.Class == observation.ClassSYN && s.Window == 512 && len(s.Options) == 0
	}},
	"zmap-options":   {filter: "tcp.window_size_value == 65535 && ip.flags.df == 0 && tcp.options == 02:04:05:b4:01:03:03:08:01:01:04:02"},
	"zmap-time":      {filter: "tcp.options.timestamp.tsval == int(frame.time_epoch)"},
	"masscan-hidden": {filter: "ip.id ^ tcp.dstport ^ (tcp.seq_raw & 0xffff), the same for several sources"},
	"mirai-hidden":   {filter: "tcp.seq_raw, the same for several sources at a destination, and another one at each"},
	"nmap":           {filter: "(a ^ b) >> 16 == (a ^ b) & 0xffff for sequence numbers a, b; tcp.window_size_value <= 4096; MSS only"},
	"unicornscan":    {filter: "tcp.seq_raw ^ swap(ip.dst) ^ (tcp.dstport << 16 | tcp.srcport), the same in every packet"},
	"angryip":        {filter: "icmp.type == 8 && data == 32 zero bytes, or tcp.window_size_value == 32"},
	"backscatter":    {filter: "tcp.flags.ack == 1 && tcp.flags.syn == 1 || tcp.flags.reset == 1 || icmp.type in {0,3,4,5,11,12,14,16,18}"},
	"reflection":     {filter: "udp.payload, the same in every packet"},
}

const (
	protoTCP = 6
	protoUDP = 17
)

// masscanNumber is what Masscan chooses in a packet: the sequence number, and in
// UDP requests the transaction (templ-payloads.c of its source).
func masscanNumber(o *observation.Observation, s *observation.Sample) (number uint16, ok bool) {
	switch {
	case o.Proto == protoTCP:
		return uint16(s.Seq), true
	case o.Proto == protoUDP && (s.DestPort == 53 || s.DestPort == 137) && len(s.Payload) >= 2: // DNS, NetBIOS
		return binary.BigEndian.Uint16(s.Payload), true
	case o.Proto == protoUDP && s.DestPort == 161: // SNMP (RFC 3416, 3)
		var message struct {
			Version   int
			Community []byte
			PDU       asn1.RawValue
		}
		if _, err := asn1.Unmarshal(s.Payload, &message); err != nil {
			return 0, false
		}
		var request int64
		if _, err := asn1.Unmarshal(message.PDU.Bytes, &request); err != nil {
			return 0, false
		}
		return uint16(request), true
	}
	return 0, false
}

// low32 is an IPv4 destination as a number.
func low32(s *observation.Sample) uint32 {
	b := s.Destination.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Table writes what an expert needs to check a verdict again: the rule and its
// figures, a filter for tshark, the observations with the packets that show
// each mark, and the packets that were kept.
func Table(out io.Writer, v *casedb.Verdict, list []*observation.Observation, opt TableOptions) error {
	say := func(en, ja string) string { return text{en, ja}.in(opt.Language) }
	maxRows := func(n int) int {
		if n <= 0 {
			return 50
		}
		return n
	}
	e := &v.Evidence.V
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	check := checks[v.Rule]
	fmt.Fprintf(w, "%s\t%s (%s)\n", say("rule", "ルール"), v.Rule, RuleTitle(v.Rule, opt.Language))
	fmt.Fprintf(w, "%s\t%s\n", say("rule set", "ルールセット"), v.Ruleset)
	fmt.Fprintf(w, "k / n\t%d / %d\n", e.Hits, e.Of)
	fmt.Fprintf(w, "%s\t%.4g (%s)\n", say("chance", "偶然の確率"), e.Chance, chance(e.Chance, opt.Language))
	fmt.Fprintf(w, "%s\t%.2f (%s)\n", say("confidence", "確信度"), v.Confidence, Confidence(v.Confidence, opt.Language))
	if e.Definition != "" {
		fmt.Fprintf(w, "%s\t%s\n", say("definition", "定義"), e.Definition)
	}
	fmt.Fprintf(w, "%s\tip%s.src == %s\n", say("packets (tshark)", "パケット (tshark)"), family(v), v.Source)
	if check.filter != "" {
		fmt.Fprintf(w, "%s\t%s\n", say("obey the rule", "ルールに一致"), check.filter)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, say("FIRST (UTC)\tLAST (UTC)\tPORT\tCLASS\tPACKETS\tADDRESSES\tMARKS", "最初 (UTC)\t最後 (UTC)\tポート\tクラス\tパケット数\t宛先数\t指紋"))
	rows := list[:min(len(list), maxRows(opt.MaxObservations))]
	for _, o := range rows {
		var marks []string
		for _, m := range o.Marks {
			marks = append(marks, m.Mark.String()+" "+strconv.FormatUint(m.Packets, 10))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", stamp(o.First), stamp(o.Last), port(o), o.Class, o.Packets, o.Destinations,
			strings.Join(marks, ", "))
	}
	if len(rows) < len(list) {
		fmt.Fprintf(w, say("and %d more\n", "ほか %d 件\n"), len(list)-len(rows))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return samples(out, check.obeys, list, opt, maxRows(opt.MaxPackets))
}

func family(v *casedb.Verdict) string {
	if v.Source.Is6() {
		return "v6"
	}
	return ""
}

// samples writes the packets that were kept of the observations.
func samples(out io.Writer, obeys func(*observation.Observation, *observation.Sample) bool, list []*observation.Observation, opt TableOptions, limit int) error {
	say := func(en, ja string) string { return text{en, ja}.in(opt.Language) }
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprint(w, "\n", say("TIME (UTC)\tFROM PORT\tTO PORT\tFLAGS\tTTL\tWINDOW\tOPTIONS", "時刻 (UTC)\t送信元ポート\t宛先ポート\tフラグ\tTTL\tウィンドウサイズ\tオプション"))
	if !opt.HideSensor {
		fmt.Fprint(w, "\t", say("TO\tID\tSEQUENCE", "宛先\tID\tシーケンス"))
	}
	if obeys != nil {
		fmt.Fprint(w, "\t", say("OBEYS", "一致"))
	}
	fmt.Fprintln(w)
	for _, o := range list {
		for i := range o.Samples {
			if limit--; limit < 0 {
				return w.Flush()
			}
			s := &o.Samples[i]
			fmt.Fprintf(w, "%s\t%d\t%d\t0x%02x\t%d\t%d\t%x", stamp(s.When), s.SourcePort, s.DestPort, s.Flags, s.TTL, s.Window, s.Options)
			if !opt.HideSensor {
				fmt.Fprintf(w, "\t%s\t0x%04x\t0x%08x", s.Destination, s.ID, s.Seq)
			}
			if obeys != nil {
				fmt.Fprintf(w, "\t%s", map[bool]string{true: say("yes", "はい"), false: say("no", "いいえ")}[obeys(o, s)])
			}
			fmt.Fprintln(w)
		}
	}
	return w.Flush()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }

// port writes the port of an observation as reports do.
func port(o *observation.Observation) string {
	switch o.Proto {
	case protoTCP:
		return strconv.Itoa(int(o.Port)) + "/TCP"
	case protoUDP:
		return strconv.Itoa(int(o.Port)) + "/UDP"
	case 1:
		return "ICMP"
	case 58:
		return "ICMPv6"
	}
	return "IP/" + strconv.Itoa(int(o.Proto))
}
