package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/gzip"
)

// stats compares `teiten stats --summary` with tcpdump copying the same file to
// nowhere, on all processors and on one, and checks growth and memory.
func (b *bench) stats() error {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		b.skip("no tcpdump to compare with")
		return nil
	}
	var walls []float64
	for _, c := range []captureFile{b.small, b.large} {
		ours := program{name: b.teiten, args: []string{"stats", "--summary", c.path}}
		one := ours
		one.env = []string{"GOMAXPROCS=1"}
		costs, err := b.alternate(ours, program{name: tcpdump, args: []string{"-r", c.path, "-w", "/dev/null"}}, one)
		if err != nil {
			return err
		}
		n := c.truth.Packets
		fmt.Fprintf(b.out, "  %d packets: teiten %s; on one processor %s; tcpdump %s\n", n, costs[0], costs[2], costs[1])
		b.report(fmt.Sprintf("%d packets, wall / tcpdump -r -w /dev/null", n), ratio(costs[0], costs[1]), 1.0)
		b.report(fmt.Sprintf("%d packets, GOMAXPROCS=1, wall / tcpdump", n), ratio(costs[2], costs[1]), 1.6)
		limit := float64(64<<20 + 250*c.truth.PeakKeys)
		b.report(fmt.Sprintf("%d packets, %d keys at most: memory / (64 MiB + 250 B x keys)", n, c.truth.PeakKeys), float64(costs[0].rssBytes)/limit, 1.0)
		walls = append(walls, costs[0].wall.Seconds())
	}
	b.report("wall of ten times the packets", walls[1]/walls[0], 11)
	return nil
}

// gzip compares reading a compressed capture with zcat decompressing it.
func (b *bench) gzip() error {
	zcat, err := exec.LookPath("zcat")
	if err != nil {
		b.skip("no zcat to compare with")
		return nil
	}
	for _, c := range []captureFile{b.small, b.large} {
		path := c.path + ".gz"
		if err := compress(path, c.path); err != nil {
			return err
		}
		costs, err := b.alternate(
			program{name: b.teiten, args: []string{"stats", "--summary", path}},
			program{name: zcat, args: []string{path}})
		if err != nil {
			return err
		}
		fmt.Fprintf(b.out, "  %d packets: teiten %s; zcat %s\n", c.truth.Packets, costs[0], costs[1])
		b.report(fmt.Sprintf("%d packets, gzip, wall / zcat", c.truth.Packets), ratio(costs[0], costs[1]), 1.2)
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// attribute compares verdicts with statistics, both with what they print thrown
// away: rows of observations there, verdicts here. The summary alone, which makes
// no rows, would not be like for like.
func (b *bench) attribute() error {
	for _, c := range []captureFile{b.small, b.large} {
		costs, err := b.alternate(
			program{name: b.teiten, args: []string{"attribute", c.path}},
			program{name: b.teiten, args: []string{"stats", c.path}})
		if err != nil {
			return err
		}
		fmt.Fprintf(b.out, "  %d packets: attribute %s; stats %s\n", c.truth.Packets, costs[0], costs[1])
		b.report(fmt.Sprintf("%d packets, attribute / stats FILE > /dev/null", c.truth.Packets), ratio(costs[0], costs[1]), 1.3)
	}
	return b.attributeMemory(3 * int64(b.small.truth.Packets))
}

// attributeMemory measures the memory of `teiten attribute` on a capture with one
// packet from each source, and what a bound of a tenth of it costs.
func (b *bench) attributeMemory(sources int64) error {
	const goal = 230 // bytes a source, with all that the program needs besides
	path := filepath.Join(b.dir, "once.pcap")
	if err := writeOnce(path, int(sources)); err != nil {
		return err
	}
	free := program{name: b.teiten, args: []string{"attribute", path}}
	bounded := free
	bounded.args = []string{"attribute", "--memory", strconv.FormatInt(sources*goal/10, 10), path}
	costs, err := b.alternate(free, bounded)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "  %d sources: attribute %s; with a bound of %d MiB %s\n", sources, costs[0], sources*goal/10>>20, costs[1])
	if each := costs[0].rssBytes / sources; sources < 3_000_000 { // what the program itself needs is most of it
		fmt.Fprintf(b.out, "  %d sources, attribute: %d bytes a source; too few for the goal of %d\n", sources, each, goal)
	} else {
		b.report(fmt.Sprintf("%d sources, attribute: %d bytes a source / %d", sources, each, goal), float64(each)/goal, 1.0)
	}
	b.report(fmt.Sprintf("%d sources, wall with a bound of a tenth / without", sources), ratio(costs[1], costs[0]), 2.5)
	return os.Remove(path)
}

func ratio(a, b cost) float64 { return a.wall.Seconds() / b.wall.Seconds() }

// compress writes a gzip copy of a file.
func compress(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w, err := gzip.NewWriterLevel(out, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, in); err != nil {
		return err
	}
	return w.Close()
}
