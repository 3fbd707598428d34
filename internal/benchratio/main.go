// Command benchratio measures teiten against other programs on this machine
// and prints ratios, which unlike times mean something on a noisy one. Each
// comparison alternates the two programs and compares their medians; every one
// runs at two sizes, so that growth that is more than linear shows. On two idle
// cores all of it takes about five minutes; fewer with -packets or -only.
//
//	go run ./internal/benchratio -teiten bin/teiten -packets 1000000
//	go run ./internal/benchratio -only stats,attribute -rounds 9
//
// It builds nothing. A comparison whose other program is missing is left out
// with a line that says so. With -check it exits with 1 if a goal is missed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"teiten/internal/synth"
)

// bench is one run of the program.
type bench struct {
	teiten  string
	dir     string
	rounds  int
	out     io.Writer
	missed  int
	skipped int

	small, large captureFile
}

// captureFile is a made-up capture on disk.
type captureFile struct {
	path  string
	truth synth.DarknetTruth
}

func main() {
	var b bench
	var packets int
	var only string
	var check bool
	flag.StringVar(&b.teiten, "teiten", "bin/teiten", "the program to measure")
	flag.StringVar(&b.dir, "dir", "", "folder for the captures (default: a temporary one)")
	flag.IntVar(&b.rounds, "rounds", 3, "runs of each program per comparison")
	flag.IntVar(&packets, "packets", 1_000_000, "packets of the smaller capture; the larger has ten times as many")
	flag.StringVar(&only, "only", "", "run only these sections, separated by commas: "+strings.Join(sectionNames(), ", "))
	flag.BoolVar(&check, "check", false, "exit with 1 if a goal is missed")
	making := flag.String("generate", "", "only write a capture of -packets to this file, and what is in it to standard output")
	judging := flag.String("judge", "", "only judge what waits in the database of this URL")
	flag.Parse()
	if *judging != "" {
		if err := judgeOnly(context.Background(), *judging); err != nil {
			fmt.Fprintln(os.Stderr, "benchratio:", err)
			os.Exit(1)
		}
		return
	}
	if *making != "" {
		if err := generate(os.Stdout, *making, packets); err != nil {
			fmt.Fprintln(os.Stderr, "benchratio:", err)
			os.Exit(1)
		}
		return
	}
	b.out = os.Stdout
	if err := b.run(packets, only); err != nil {
		fmt.Fprintln(os.Stderr, "benchratio:", err)
		os.Exit(1)
	}
	if check && b.missed > 0 {
		fmt.Fprintf(os.Stderr, "benchratio: %d goals missed\n", b.missed)
		os.Exit(1)
	}
}

// section is a group of comparisons; others add theirs to sections.
type section struct {
	name string
	run  func(*bench) error
}

func sections() []section {
	return []section{
		{"stats", (*bench).stats},
		{"gzip", (*bench).gzip},
		{"attribute", (*bench).attribute},
		{"import", (*bench).imports},
		{"store", (*bench).store},
		{"mail", (*bench).mail},
	}
}

func sectionNames() []string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

func (b *bench) run(packets int, only string) (err error) {
	if _, err := os.Stat(b.teiten); err != nil {
		return fmt.Errorf("%w (build it first, or say where with -teiten)", err)
	}
	if b.rounds < 1 || packets < 1000 {
		return errors.New("-rounds must be at least 1 and -packets 1000")
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "teiten-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	fmt.Fprintf(b.out, "captures of %d and %d packets, %d rounds, medians\n", packets, 10*packets, b.rounds)
	if b.small, err = b.capture(packets); err != nil {
		return err
	}
	if b.large, err = b.capture(10 * packets); err != nil {
		return err
	}
	for _, s := range sections() {
		if only != "" && !contains(strings.Split(only, ","), s.name) {
			continue
		}
		fmt.Fprintf(b.out, "\n%s\n", s.name)
		if err := s.run(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if strings.TrimSpace(e) == s {
			return true
		}
	}
	return false
}

// capture makes up a capture of so many packets. A process of its own does it:
// the peak memory that a child reports is at least that of its parent.
func (b *bench) capture(packets int) (captureFile, error) {
	c := captureFile{path: filepath.Join(b.dir, fmt.Sprintf("darknet-%d.pcap", packets))}
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	cmd := exec.Command(self, "-packets", strconv.Itoa(packets), "-generate", c.path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("make %s: %w", c.path, err)
	}
	return c, json.Unmarshal(out, &c.truth)
}

// generate writes a capture to path and the truth about it, as JSON, to w.
func generate(w io.Writer, path string, packets int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	truth, err := synth.Darknet{Packets: packets, Seed: 1, Start: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}.Write(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(truth)
}

// report prints a ratio and its goal; above says that a value above the goal
// misses it.
func (b *bench) report(what string, value, goal float64) {
	verdict := "ok"
	if value > goal {
		verdict = "MISSED"
		b.missed++
	}
	fmt.Fprintf(b.out, "  %-58s %8.2f  goal <= %.2f  %s\n", what, value, goal, verdict)
}

// skip says why a comparison is left out.
func (b *bench) skip(why string) {
	b.skipped++
	fmt.Fprintf(b.out, "  left out: %s\n", why)
}
