package capture

import (
	"bytes"
	"errors"
	"testing"

	"teiten/internal/observation"
)

func discard(b *observation.Batch) error {
	for range b.Observations {
	}
	return nil
}

// FuzzDecode compares our decoder with gopacket's on arbitrary frames of all
// link types.
func FuzzDecode(f *testing.F) {
	links := []uint32{linkEthernet, linkRaw, linkNull, linkLoop, linkSLL, linkIPv4, linkIPv6, linkRaw12, linkSLL2}
	for _, frame := range seedFrames() {
		f.Add(uint8(0), frame)
		f.Add(uint8(1), frame[14:])
		f.Add(uint8(5), frame[14:])
		f.Add(uint8(2), append([]byte{2, 0, 0, 0}, frame[14:]...))
		f.Add(uint8(4), append(make([]byte, 14), append([]byte{8, 0}, frame[14:]...)...))
	}
	f.Fuzz(func(t *testing.T, which uint8, frame []byte) {
		link := links[int(which)%len(links)]
		if len(frame) > maxRecord {
			return
		}
		var d decoder
		if link == linkSLL2 || link == linkRaw12 {
			// gopacket does not know these: it must only not fail.
			var p packet
			d.decode(link, frame, 0, &p)
			return
		}
		if err := compareWithGopacket(&d, link, frame); err != nil {
			t.Error(err)
		}
	})
}

// FuzzRead feeds arbitrary files to the whole reader: every record is counted
// either in an observation, as a copy or as skipped.
func FuzzRead(f *testing.F) {
	for _, file := range seedFiles() {
		f.Add(file)
		f.Add(file[:len(file)-3])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		tallied := uint64(0)
		res, err := Read(t.Context(), bytes.NewReader(file), "fuzz", Options{KeyLimit: 16}, func(b *observation.Batch) error {
			n := uint64(0)
			for o := range b.Observations {
				n += o.Packets
			}
			if n != b.Packets {
				t.Errorf("a batch of %d packets yields %d", b.Packets, n)
			}
			tallied += n
			return nil
		})
		if err != nil && !errors.Is(err, ErrNothingRead) {
			if res.Packets != 0 {
				t.Errorf("error after %d packets: %v", res.Packets, err)
			}
			return
		}
		for _, n := range res.Skipped {
			tallied += n
		}
		tallied += res.Copies
		if tallied != res.Packets {
			t.Errorf("%d packets accounted for of %d", tallied, res.Packets)
		}
	})
}

// FuzzOptions checks that the shortcuts of hashOptions agree with the walk.
func FuzzOptions(f *testing.F) {
	f.Add([]byte{2, 4, 5, 0xb4})
	f.Add([]byte{2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2})
	f.Add([]byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7})
	f.Add([]byte{1, 1, 0, 5, 5})
	f.Add([]byte{8, 10, 1})
	f.Fuzz(func(t *testing.T, o []byte) {
		o = o[:min(len(o), maxOptions)]
		if len(o) == 0 {
			return
		}
		var buf [maxOptions]byte
		n, ts := normalOptions(&buf, o)
		h, ts2 := hashOptions(o)
		if want := hashNormal(&buf, n); h != want || ts != ts2 || h == 0 {
			t.Errorf("% x: hash %x timestamp at %d, the walk gives %x and %d", o, h, ts2, want, ts)
		}
	})
}
