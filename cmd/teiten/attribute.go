package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/observation"
)

type attributeCmd struct {
	captureFlags
	Allowlist []string `help:"List of acknowledged scanners: plain CIDR, MISP warninglist, \"IP # name\" lines, or NICT survey-scanner JSON." placeholder:"LIST" sep:"none"`
	SensorNet []string `help:"Addresses of the sensors: packets from there are ours." placeholder:"CIDR"`
	At        string   `help:"Judge with the allowlist entries in force on this day instead of the packets'." placeholder:"DATE"`
	TimeZone  string   `help:"Time zone of the days in TSUBAME's definition." default:"Asia/Tokyo"`
	Memory    byteSize `help:"Memory for what is known of the sources; more goes to temporary files (TMPDIR)." default:"2GiB" placeholder:"SIZE"`

	Definitions scannerDefinitions `embed:"" prefix:"scanner-"`

	Explain    []string `help:"Explain the verdict of this source in words and figures instead." placeholder:"ADDRESS" sep:"none"`
	Language   string   `help:"Language of the explanation: en or ja." enum:"en,ja" default:"en"`
	HideSensor bool     `help:"Leave out of the explanation the fields that reveal the sensor's address: destination, sequence number, identification."`
}

// scannerDefinitions say what a scanner is where no tool can be told.
type scannerDefinitions struct {
	Ports          int `help:"Ports within one day that make a scanner (TSUBAME); -1: not used." default:"10" placeholder:"N"`
	Addresses      int `help:"Addresses on one port that make a scanner (Durumeric et al.); -1: not used." default:"100" placeholder:"N"`
	BlockPorts     int `help:"Ports, on --scanner-block-addresses each, that make a block scan; -1: not used." default:"3" placeholder:"N"`
	BlockAddresses int `help:"Addresses of each port of a block scan." default:"20" placeholder:"N"`
	Protocols      int `help:"IP protocols that make a protocol scan; -1: not used." default:"10" placeholder:"N"`
}

func (*attributeCmd) Help() string {
	return `Example: teiten attribute --allowlist shodan.json monday.pcap.gz

Prints one JSON line per source, then one per aggregate (what only many
sources together show, such as a flood with forged sources).

With --explain: why one source was judged as it was, in a paragraph, and a table
for experts to check it. Example:
teiten attribute --explain 203.0.113.7 --language ja monday.pcap.gz`
}

// Run judges the sources of captures.
func (c *attributeCmd) Run(ctx context.Context, p *program) (err error) {
	opt, err := c.judgeOptions(p)
	if err != nil {
		return err
	}
	explained, err := c.explained()
	if err != nil {
		return err
	}
	c.location, opt.Memory = opt.Location, int64(c.Memory)
	profiles := attribution.NewProfiles(opt)
	defer func() { err = errors.Join(err, profiles.Close()) }()
	lean := false
	_, err = c.read(ctx, p, func(b *observation.Batch) error {
		profiles.AddBatch(b)
		if !lean && profiles.Len() > leanSources {
			lean = true
			debug.SetGCPercent(leanGC)
		}
		if err := profiles.Err(); err != nil {
			return err
		}
		if len(explained) > 0 {
			b.Observations(func(o *observation.Observation) bool {
				if list, ok := explained[o.Source]; ok && len(list) < maxExplained {
					explained[o.Source] = append(list, o.Clone())
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if profiles.Spilled() {
		fmt.Fprintf(p.Stderr, "teiten: the sources need more than %s of memory (--memory): temporary files in %s take the rest, which costs time and changes no line\n",
			c.Memory, os.TempDir())
	}
	if len(explained) > 0 {
		return c.explain(p, profiles, explained)
	}
	out := bufio.NewWriterSize(p.Stdout, 1<<18)
	w := attribution.NewWriter(out)
	for v := range profiles.Verdicts {
		if err := w.WriteVerdict(&v); err != nil {
			return err
		}
	}
	for _, a := range profiles.Aggregates() {
		if err := w.WriteAggregate(&a); err != nil {
			return err
		}
	}
	if err := profiles.Err(); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// From so many sources on, garbage is collected when it is leanGC percent of what is
// in use. Profiles are most of that then, and cost the collector little.
const (
	leanSources = 250_000
	leanGC      = 40
)

// byteSize is a number of bytes, written like 512MiB.
type byteSize int64

// UnmarshalText reads a number of bytes, KiB, MiB or GiB.
func (b *byteSize) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "KMGiB")
	shift, ok := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[string(text[len(digits):])]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n <= 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a size such as 512MiB or 2GiB", text)
	}
	*b = byteSize(n << shift)
	return nil
}

// String writes the size with the largest unit that leaves no fraction.
func (b byteSize) String() string {
	for i, unit := range [...]string{"GiB", "MiB", "KiB"} {
		if size := byteSize(1) << (30 - 10*i); b%size == 0 {
			return strconv.FormatInt(int64(b/size), 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// maxExplained is the number of observations kept of an explained source.
const maxExplained = 1000

// explained returns the addresses to be explained, with room for their
// observations.
func (c *attributeCmd) explained() (map[netip.Addr][]*observation.Observation, error) {
	m := make(map[netip.Addr][]*observation.Observation, len(c.Explain))
	for _, s := range c.Explain {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, usagef("--explain %s: not an address", s)
		}
		m[a.Unmap().WithZone("")] = nil
	}
	return m, nil
}

// explain prints for each address why it was judged as it was.
func (c *attributeCmd) explain(p *program, profiles *attribution.Profiles, wanted map[netip.Addr][]*observation.Observation) error {
	out := bufio.NewWriter(p.Stdout)
	found := 0
	for v := range profiles.Verdicts {
		list, ok := wanted[v.Source.Addr]
		if !ok {
			continue
		}
		if found++; found > 1 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "%s: %s\n\n%s\n\n", v.Source, explain.RuleTitle(v.Rule, c.Language), explain.Verdict(&v, c.Language))
		if err := explain.Table(out, &v, list, explain.TableOptions{Language: c.Language, HideSensor: c.HideSensor}); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Flush(), profiles.Err()); err != nil {
		return err
	}
	if found < len(wanted) {
		return fmt.Errorf("%d of the %d addresses to be explained sent nothing", len(wanted)-found, len(wanted))
	}
	return nil
}

func (c *attributeCmd) judgeOptions(p *program) (opt attribution.Options, err error) {
	if opt.Location, err = time.LoadLocation(c.TimeZone); err != nil {
		return opt, usagef("--time-zone %s: %w", c.TimeZone, err)
	}
	d := c.Definitions
	opt.Definitions = attribution.Definitions{PortsPerDay: d.Ports, Addresses: d.Addresses, BlockPorts: d.BlockPorts,
		BlockAddresses: d.BlockAddresses, Protocols: d.Protocols}
	if c.At != "" {
		if opt.At, err = parseDay(c.At); err != nil {
			return opt, usageError{err}
		}
	}
	for _, s := range c.SensorNet {
		n, err := netip.ParsePrefix(s)
		if err != nil {
			return opt, usagef("--sensor-net %s: not a prefix", s)
		}
		opt.SensorNets = append(opt.SensorNets, n.Masked())
	}
	var entries []casedb.Scanner
	for _, name := range c.Allowlist {
		list, err := p.readList(name)
		if err != nil {
			return opt, err
		}
		entries = append(entries, list.Entries...)
	}
	if entries != nil {
		opt.Allowlist = attribution.NewAllowlist(entries)
	}
	return opt, nil
}

// readList reads a list of scanners and prints the lines that it could not use
// or had a doubt about.
func (p *program) readList(name string) (*attribution.ScannerList, error) {
	in, err := p.openInput(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := attribution.ReadList(in, name)
	if err != nil {
		return nil, err
	}
	printProblems(p, name, list.Problems, list.Bad+list.Doubtful)
	return list, nil
}

// printProblems names the lines of a list that have one, of all so many.
func printProblems[T fmt.Stringer](p *program, name string, problems []T, all int) {
	const shown = 20
	for i, problem := range problems {
		if i == shown {
			fmt.Fprintf(p.Stderr, "teiten: %s: and %d more\n", name, all-shown)
			break
		}
		fmt.Fprintf(p.Stderr, "teiten: %s: %s\n", name, problem)
	}
}
