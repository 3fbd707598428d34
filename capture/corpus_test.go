package capture_test

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"teiten/capture"
	"teiten/internal/corpus"
	"teiten/internal/observation"
)

type corpusFile struct {
	name    string
	packets uint64
}

// corpusFiles reads the list of the captures in a folder.
func corpusFiles(t testing.TB, dir string) (files []corpusFile) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "SOURCES.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	for line := 0; ; line++ {
		row, err := r.Read()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if line == 0 {
			continue
		}
		n, err := strconv.ParseUint(row[5], 10, 64)
		if err != nil {
			t.Fatalf("line %d: %v", line+1, err)
		}
		files = append(files, corpusFile{row[0], n})
	}
}

// tallied is what the observations of a capture add up to.
type tallied struct {
	result  capture.FileResult
	obs     []observation.Observation
	marks   map[observation.Mark]uint64
	classes map[observation.Class]uint64
	packets uint64
	copies  uint64
}

func tallyFile(t testing.TB, path string, opt capture.Options) tallied {
	t.Helper()
	in, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	return tallyReader(t, in, filepath.Base(path), opt)
}

func tallyReader(t testing.TB, in io.Reader, name string, opt capture.Options) tallied {
	t.Helper()
	got := tallied{marks: make(map[observation.Mark]uint64), classes: make(map[observation.Class]uint64)}
	var err error
	got.result, err = capture.Read(context.Background(), in, name, opt, func(b *observation.Batch) error {
		sum, keys := uint64(0), 0
		for o := range b.Observations {
			if o.Packets == 0 || len(o.Samples) == 0 || o.First.After(o.Last) || o.Destinations == 0 {
				t.Errorf("%s: incomplete observation %+v", name, *o)
			}
			got.obs = append(got.obs, cloneObservation(o))
			got.classes[o.Class] += o.Packets
			for _, m := range o.Marks {
				got.marks[m.Mark] += m.Packets
			}
			sum += o.Packets
			keys++
		}
		if sum != b.Packets || keys != b.Keys {
			t.Errorf("%s: batch of %d packets and %d keys yields %d and %d", name, b.Packets, b.Keys, sum, keys)
		}
		got.packets += sum
		got.copies += b.Copies
		return nil
	})
	if err != nil && !errors.Is(err, capture.ErrNothingRead) {
		t.Fatal(err)
	}
	skipped := uint64(0)
	for _, n := range got.result.Skipped {
		skipped += n
	}
	if got.packets+skipped+got.result.Copies != got.result.Packets || got.copies != got.result.Copies {
		t.Errorf("%s: %d packets in observations, %d skipped and %d copies (%d in batches), %d read", name, got.packets, skipped, got.result.Copies, got.copies, got.result.Packets)
	}
	return got
}

func cloneObservation(o *observation.Observation) observation.Observation {
	c := *o
	c.Marks = append([]observation.MarkCount(nil), o.Marks...)
	c.Fingerprints = append([]observation.Fingerprint(nil), o.Fingerprints...)
	c.Samples = append([]observation.Sample(nil), o.Samples...)
	for i := range c.Samples {
		c.Samples[i].Options = append([]byte(nil), c.Samples[i].Options...)
		c.Samples[i].Payload = append([]byte(nil), c.Samples[i].Payload...)
		if q := c.Samples[i].Quoted; q != nil {
			p := *q
			c.Samples[i].Quoted = &p
		}
	}
	return c
}

func TestCorpusPacketCounts(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "pcaps", func(t *testing.T, c corpus.Corpus) {
		least := 70
		if c.MadeUp {
			least = 15
		}
		files := corpusFiles(t, c.Dir)
		if len(files) < least {
			t.Errorf("only %d files", len(files))
		}
		for _, f := range files {
			got := tallyFile(t, filepath.Join(c.Dir, f.name), capture.Options{})
			if got.result.Packets != f.packets {
				t.Errorf("%s: %d packets, want %d", f.name, got.result.Packets, f.packets)
			}
			if want := f.name == "mal_truncated_midrecord.pcap" || f.name == "made_truncated.pcap"; got.result.Truncated != want {
				t.Errorf("%s: truncated %v, want %v (%s)", f.name, got.result.Truncated, want, got.result.Warning)
			}
		}
	})
}

// madeUp says whether a capture is one of the made-up corpus.
func madeUp(file string) bool { return strings.HasPrefix(file, "made_") }

func TestCorpusMarks(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "pcaps", compareMarks)
}

// compareMarks counts the marks of the captures that the corpus has.
func compareMarks(t *testing.T, c corpus.Corpus) {
	for _, tt := range []struct {
		file string
		want map[observation.Mark]uint64 // exact; marks not named are 0, those of answers not compared
	}{
		{"zmap_tcp80_10k.pcap", map[observation.Mark]uint64{observation.MarkZMap: 10000}},
		{"mal_truncated_midrecord.pcap", map[observation.Mark]uint64{observation.MarkZMap: 3935}},
		{"masscan104_tcp_0-1000_vlan.pcap", map[observation.Mark]uint64{observation.MarkMasscan: 1001}},
		{"nmap780_80_vanilla_connect.pcap", nil},
		{"nmap_synscan_classic.pcap", map[observation.Mark]uint64{observation.MarkNmap: 1994}},
		{"nmap_TCP_CONNECT_SCAN_2008.pcap", map[observation.Mark]uint64{observation.MarkMasscan: 1}},
		{"mirai_botnet_seq_eq_dst.pcap", map[observation.Mark]uint64{observation.MarkMirai: 11}},
		{"slammer_1packet_2004.pcap", map[observation.Mark]uint64{observation.MarkSlammer: 1}},
		{"eternalblue_win7_445.pcap", map[observation.Mark]uint64{observation.MarkWorm445: 47, observation.MarkWindow8192: 47}},
		{"real_mixed_ibr_plus_synack.pcapng", map[observation.Mark]uint64{observation.MarkZMap: 2, observation.MarkMasscanK: 35, observation.MarkWorm445: 15,
			observation.MarkWindow8192: 40}},
		{"real_synflood_spoofed_37k.pcap", nil},
		{"lab_zmap211_tcp23.pcap", map[observation.Mark]uint64{observation.MarkZMap: 256}},
		{"lab_zmap211_icmp.pcap", map[observation.Mark]uint64{observation.MarkZMap: 256}},
		{"lab_zmap211_udp53_dnsA.pcap", map[observation.Mark]uint64{observation.MarkZMap: 256, observation.MarkSamePayload: 255}},
		{"lab_zmapHEAD_tcp443_default.pcap", map[observation.Mark]uint64{observation.MarkZMapOptions: 256}},
		{"lab_zmapHEAD_synackscan.pcap", nil},
		{"lab_masscan132_tcp.pcap", map[observation.Mark]uint64{observation.MarkMasscan: 2048}},
		{"lab_masscanHEAD_ping_tcp.pcap", map[observation.Mark]uint64{observation.MarkMasscan: 256}},
		{"lab_nmap793_sS.pcap", map[observation.Mark]uint64{observation.MarkNmap: 4096}},
		{"lab_nmap793_ping_sn.pcap", map[observation.Mark]uint64{observation.MarkNmap: 12}},
		{"lab_nmap793_ipv6_sS.pcap", map[observation.Mark]uint64{observation.MarkNmap: 768}},
		{"lab_unicornscan_tcp_1port.pcap", map[observation.Mark]uint64{observation.MarkUnicornscan: 256}},
		{"lab_hping3_syn_sweep.pcap", map[observation.Mark]uint64{observation.MarkHping: 100}},
		{"lab_mixed_tools.pcap", map[observation.Mark]uint64{observation.MarkZMap: 256, observation.MarkMasscan: 512, observation.MarkNmap: 256}},
		{"lab_reflection_dnsANY_spoofed_victim.pcap", map[observation.Mark]uint64{observation.MarkReflectQuery: 240, observation.MarkSamePayload: 239}},
		{"lab_backscatter_synflood80.pcap", map[observation.Mark]uint64{observation.MarkSameAck: 0, observation.MarkSameWindow: 1122, observation.MarkPeakMinute: 1123}},
		{"mal_syn_with_payload.pcap", map[observation.Mark]uint64{observation.MarkSYNPayload: 1, observation.MarkWindow8192: 1}},
		{"made_zmap.pcap", map[observation.Mark]uint64{observation.MarkZMap: 254}},
		{"made_truncated.pcap", map[observation.Mark]uint64{observation.MarkZMap: 253}},
		{"made_raw_ip.pcap", map[observation.Mark]uint64{observation.MarkZMap: 254}},
		{"made_zmap.pcapng", map[observation.Mark]uint64{observation.MarkZMap: 254}},
		{"made_masscan.pcap", map[observation.Mark]uint64{observation.MarkMasscan: 508}},
		{"made_mirai.pcap", map[observation.Mark]uint64{observation.MarkMirai: 120}},
		{"made_worm445.pcap", map[observation.Mark]uint64{observation.MarkWorm445: 120, observation.MarkWindow8192: 120}},
		{"made_fin_scan.pcap", nil},
		{"made_reflection_dns.pcap", map[observation.Mark]uint64{observation.MarkReflectQuery: 192, observation.MarkSamePayload: 191}},
		{"made_neg_few_packets.pcap", nil},
	} {
		if madeUp(tt.file) != c.MadeUp {
			continue
		}
		got := tallyFile(t, filepath.Join(c.Dir, tt.file), capture.Options{Window: 24 * 3600e9})
		for m := range observation.Marks {
			want, named := tt.want[m]
			if !named && (m == observation.MarkSameAck || m == observation.MarkSameWindow || m == observation.MarkPeakMinute || m == observation.MarkRepeat) {
				continue
			}
			if got.marks[m] != want {
				t.Errorf("%s: %s %d, want %d", tt.file, m, got.marks[m], want)
			}
		}
	}
}

func TestCorpusClasses(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "pcaps", compareClasses)
}

// compareClasses counts the classes of the captures that the corpus has.
func compareClasses(t *testing.T, c corpus.Corpus) {
	for _, tt := range []struct {
		file string
		want map[observation.Class]uint64
		keys int
	}{
		// 63 combinations of six flags.
		{"fmt_all_tcp_flags_oneway.pcap", map[observation.Class]uint64{observation.ClassSYN: 1, observation.ClassSYNACK: 1, observation.ClassRST: 2,
			observation.ClassACK: 2, observation.ClassFIN: 3, observation.ClassNull: 1, observation.ClassXmas: 1, observation.ClassTCPOther: 52}, 9},
		{"lab_backscatter_synflood80.pcap", map[observation.Class]uint64{observation.ClassSYNACK: 1125}, 1},
		{"lab_backscatter_icmp_unreach_udp53.pcap", map[observation.Class]uint64{observation.ClassICMPUnreach: 373}, 1},
		{"mal_frag_tcp_syn.pcap", map[observation.Class]uint64{observation.ClassFragment: 3}, 1},
		{"mal_fragmented_garbage.pcap", map[observation.Class]uint64{observation.ClassFragment: 1252}, 1},
		{"nmap_FIN_SCAN_2008.pcap", map[observation.Class]uint64{observation.ClassFIN: 1000, observation.ClassRST: 1000}, 2000},
		{"nmap_XMAS_SCAN_2008.pcap", map[observation.Class]uint64{observation.ClassXmas: 1000, observation.ClassRST: 1000}, 2000},
		{"v6_rsmurf_icmp6.pcap", map[observation.Class]uint64{observation.ClassICMPEcho: 1}, 1}, // a thousand equal packets within a second
		{"fmt_vntag.pcap", map[observation.Class]uint64{observation.ClassOther: 3}, 1},
		{"fmt_raw_ip_syn.pcap", map[observation.Class]uint64{observation.ClassSYN: 20}, 20},
		// The same 63 combinations, each to another port; answers (two of them RST) count by the port they come from.
		{"made_all_tcp_flags.pcap", map[observation.Class]uint64{observation.ClassSYN: 1, observation.ClassSYNACK: 1, observation.ClassRST: 2,
			observation.ClassACK: 2, observation.ClassFIN: 3, observation.ClassXmas: 1, observation.ClassTCPOther: 53}, 62},
		{"made_fin_scan.pcap", map[observation.Class]uint64{observation.ClassFIN: 200}, 200},
		{"made_backscatter_synack.pcap", map[observation.Class]uint64{observation.ClassSYNACK: 400}, 1},
		{"made_backscatter_unreachable.pcap", map[observation.Class]uint64{observation.ClassICMPUnreach: 150}, 1},
		{"made_ipv6_scan.pcap", map[observation.Class]uint64{observation.ClassSYN: 128}, 1},
		{"made_empty.pcap", nil, 0},
	} {
		if madeUp(tt.file) != c.MadeUp {
			continue
		}
		got := tallyFile(t, filepath.Join(c.Dir, tt.file), capture.Options{})
		for c, n := range got.classes {
			if tt.want[c] != n {
				t.Errorf("%s: %s %d, want %d", tt.file, c, n, tt.want[c])
			}
		}
		for c, n := range tt.want {
			if got.classes[c] != n {
				t.Errorf("%s: %s %d, want %d", tt.file, c, got.classes[c], n)
			}
		}
		if len(got.obs) != tt.keys {
			t.Errorf("%s: %d observations, want %d", tt.file, len(got.obs), tt.keys)
		}
		if tt.want[observation.ClassICMPUnreach] > 0 {
			n := tt.want[observation.ClassICMPUnreach] // each to an address of its own
			o := got.obs[0]
			if o.Port != 53 || o.Samples[0].Quoted == nil || o.Samples[0].Quoted.DestPort != 53 || o.Samples[0].Quoted.Proto != 17 {
				t.Errorf("%s: port %d, quoted %+v; want the attacked port 53/UDP", tt.file, o.Port, o.Samples[0].Quoted)
			}
			if uint64(o.Destinations) != n || !o.DestinationsExact {
				t.Errorf("%s: %d destinations (exact %v), want %d", tt.file, o.Destinations, o.DestinationsExact, n)
			}
		}
	}
}
