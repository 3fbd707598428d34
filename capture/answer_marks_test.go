package capture

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"teiten/internal/observation"
)

// TestAnswersTellOfWhatTheyAnswer: an attack with a fixed sequence number shows
// in the answers to it, whatever kind they are; a stack's repetitions do not
// make one.
func TestAnswersTellOfWhatTheyAnswer(t *testing.T) {
	t.Parallel()
	const victim = "198.51.100.7"
	start := time.Date(2026, 1, 15, 9, 0, 30, 0, time.UTC)
	tcp := func(flags uint8, seq, ack uint32, win uint16) func(i int, dst string) []byte {
		return func(i int, dst string) []byte {
			return frame{src: victim, dst: dst, proto: protoTCP, sport: 80, dport: uint16(2000 + i), seq: seq, ack: ack, flags: flags, win: win}.bytes()
		}
	}
	unreachable := func(seq uint32, quoted int) func(i int, dst string) []byte {
		return func(i int, dst string) []byte {
			q := frame{src: dst, dst: victim, proto: protoTCP, sport: uint16(2000 + i), dport: 80, seq: seq, flags: flagSYN}.bytes()[14:]
			return frame{src: victim, dst: dst, proto: protoICMP, payload: append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, q[:20+quoted]...)}.bytes()
		}
	}
	counter := uint32(0)
	for _, tt := range []struct {
		name     string
		answer   func(i int, dst string) []byte
		ack, win uint64
		peak     uint64 // 0: 30
	}{
		{"SYN/ACK", tcp(flagSYN|flagACK, 5, 1001, 29200), 49, 49, 0},
		{"SYN/ACK without a number", tcp(flagSYN|flagACK, 5, 0, 0), 0, 0, 0},
		{"RST/ACK", tcp(flagRST|flagACK, 0, 1001, 0), 49, 0, 0},
		{"RST", tcp(flagRST, 7007, 0, 0), 49, 0, 0},
		{"ICMP error", unreachable(1000, 8), 49, 0, 0},
		{"ICMP error that quotes ports only", unreachable(1000, 4), 0, 0, 0},
		{"numbers that differ", func(i int, dst string) []byte {
			counter += 77777
			return tcp(flagSYN|flagACK, 5, counter, 29200)(i, dst)
		}, 0, 49, 0},
		{"SYN/ACK repeated", func(_ int, _ string) []byte { return tcp(flagSYN|flagACK, 5, 1001, 29200)(0, "192.0.2.1") }, 0, 0, 1},
		{"SYN/ACKs to one port", func(i int, _ string) []byte { return tcp(flagSYN|flagACK, 5, 1001+uint32(i), 29200)(0, "192.0.2.1") }, 0, 0, 0},
		{"one number in five differs", func(i int, dst string) []byte {
			return tcp(flagSYN|flagACK, 5, 1001+uint32(i%5/4)*uint32(i), 29200)(i, dst)
		}, 39, 49, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var records []record
			for i := range 50 { // 30 in the first minute of the clock, 20 in the second
				dst := netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%200)}).String()
				records = append(records, record{start.Add(time.Duration(i) * time.Second), tt.answer(i, dst)})
			}
			if tt.name == "SYN/ACK" { // a late packet is in no minute's count
				records[49].at = start.Add(-10 * time.Second)
			}
			got, keys := map[observation.Mark]uint64{}, 0
			_, err := Read(t.Context(), bytes.NewReader(pcapFile(linkEthernet, records...)), "answers", Options{}, func(b *observation.Batch) error {
				b.Observations(func(o *observation.Observation) bool {
					keys++
					for _, m := range o.Marks {
						got[m.Mark] = m.Packets
					}
					for _, s := range o.Samples {
						if o.Proto == protoICMP && (s.Ack != 0 || s.Seq != 0 || s.Window != 0) {
							t.Errorf("a sample of ICMP has TCP fields: %+v", s)
						}
					}
					return true
				})
				return nil
			})
			if err != nil || keys != 1 {
				t.Fatal(keys, err)
			}
			if got[observation.MarkSameAck] != tt.ack || got[observation.MarkSameWindow] != tt.win || got[observation.MarkPeakMinute] != cmp.Or(tt.peak, 30) {
				t.Errorf("%v, want same_ack %d, same_window %d, peak_minute %d", got, tt.ack, tt.win, cmp.Or(tt.peak, 30))
			}
		})
	}
}

// TestWindow8192 counts SYNs by their window alone, in addition to the other marks.
func TestWindow8192(t *testing.T) {
	t.Parallel()
	worm := []byte{2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2}
	at := time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	var records []record
	add := func(n int, f frame) {
		f.src, f.dst, f.proto, f.sport, f.dport, f.flags = "198.51.100.7", "192.0.2.1", protoTCP, 4000, 445, flagSYN
		for range n {
			at = at.Add(time.Second) // equal packets right behind each other would be copies
			records = append(records, record{at, f.bytes()})
		}
	}
	add(3, frame{win: 8192, ttl: 110, options: worm})
	add(2, frame{win: 8192, ttl: 200, options: worm})
	// More combinations than fingerprints are kept of, each more frequent.
	for i := range 6 {
		add(9, frame{win: uint16(1000 + i), ttl: 50, seq: binary.BigEndian.Uint32([]byte{9, 9, 9, byte(i)})})
	}
	seen := false
	_, err := Read(t.Context(), bytes.NewReader(pcapFile(linkEthernet, records...)), "window", Options{}, func(b *observation.Batch) error {
		b.Observations(func(o *observation.Observation) bool {
			seen = true
			if o.Mark(observation.MarkWindow8192) != 5 || o.Mark(observation.MarkWorm445) != 3 {
				t.Errorf("marks %v", o.Marks)
			}
			return true
		})
		return nil
	})
	if err != nil || !seen {
		t.Error(seen, err)
	}
}
