package capture

import (
	"bytes"
	"testing"
	"time"

	"teiten/internal/synth"
)

// A packet whose observation is there costs no allocation, from the record to
// the counters.
func TestPacketsAllocateNothing(t *testing.T) {
	var file bytes.Buffer
	if _, err := (synth.Darknet{Packets: 3000, Sources: 100, Seed: 3, Span: 30 * time.Minute,
		Start: time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)}).Write(&file); err != nil {
		t.Fatal(err)
	}
	opt, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	tally := newTally(opt, discard)
	bl := newBlock()
	n := copy(bl.buf, file.Bytes())
	var ps parser
	ps.reset()
	ps.seed = tally.seed
	run := func() {
		w := pcapWalker{unit: 1000, link: linkEthernet}
		bl.n = 0
		clear(ps.copies.slots[:]) // or all are copies of the run before
		if _, err := w.walk(&ps, bl, 0, n); err != nil {
			t.Fatal(err)
		}
		tally.add(bl)
	}
	run()
	if bl.n < 1500 {
		t.Fatalf("%d packets in the block", bl.n)
	}
	for range 1000 { // until sets and samples have their final size
		run()
	}
	if allocs := testing.AllocsPerRun(50, run); allocs > 0 {
		t.Errorf("%v allocations for %d packets", allocs, bl.n)
	}
}
