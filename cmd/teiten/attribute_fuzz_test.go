package main_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"teiten/attribution"
	"teiten/capture"
	"teiten/internal/observation"
)

// FuzzAttribute takes hostile captures all the way: decoder, tally, rules. No
// source may get two verdicts, and none an impossible one.
func FuzzAttribute(f *testing.F) {
	packet := func(proto byte, payload ...byte) []byte {
		b := []byte{0x45, 0, 0, 0, 0xd4, 0x31, 0, 0, 250, proto, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7}
		b = append(b, payload...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	file := func(packets ...[]byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
		b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 101, 0, 0, 0)
		for i, p := range packets {
			b = binary.LittleEndian.AppendUint32(b, uint32(1_700_000_000+i))
			b = binary.LittleEndian.AppendUint32(b, 0)
			b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
			b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
			b = append(b, p...)
		}
		return b
	}
	syn := packet(6, 0x80, 0, 1, 0xbd, 198, 51, 100, 7, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0)
	dns := packet(17, 0xa0, 0, 0, 53, 0, 33, 0, 0, 0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'i', 's', 'c', 3, 'o', 'r', 'g', 0, 0, 255, 0, 1)
	f.Add(file(syn, syn, dns, dns))
	f.Add(file(packet(1, 3, 3, 0, 0, 0, 0, 0, 0), packet(99, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		profiles := attribution.NewProfiles(attribution.Options{CampaignSources: 2, FloodSources: 3, ReflectorSources: 3})
		r, err := capture.NewReader(capture.Options{Sensor: "fuzz"}, func(b *observation.Batch) error {
			profiles.AddBatch(b)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = r.Read(t.Context(), bytes.NewReader(data), "fuzz.pcap") // most are refused
		_ = r.Close()
		seen := map[string]bool{}
		for v := range profiles.Verdicts {
			if seen[v.Source.String()] {
				t.Errorf("two verdicts for %s", v.Source)
			}
			seen[v.Source.String()] = true
			if e := &v.Evidence.V; v.Confidence < 0 || v.Confidence > 1 || e.Hits > e.Of || e.Chance < 0 || e.Chance > 1 {
				t.Errorf("impossible: %+v", v)
			}
		}
		_ = profiles.Aggregates()
	})
}
