package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
)

type attributeCmd struct {
	captureFlags
	Allowlist []string `help:"List of acknowledged scanners: plain CIDR, MISP warninglist, \"IP # name\" lines, or NICT survey-scanner JSON." placeholder:"LIST" sep:"none"`
	SensorNet []string `help:"Addresses of the sensors: packets from there are ours." placeholder:"CIDR"`
	At        string   `help:"Judge with the allowlist entries in force on this day instead of the packets'." placeholder:"DATE"`
	TimeZone  string   `help:"Zone whose days TSUBAME's definition counts." default:"Asia/Tokyo"`
}

func (*attributeCmd) Help() string {
	return `Example: teiten attribute --allowlist shodan.json monday.pcap.gz

Prints one JSON line per source, then one per aggregate (what only the whole
shows, such as a flood with forged sources).`
}

// Run judges the sources of captures.
func (c *attributeCmd) Run(ctx context.Context, p *program) error {
	opt, err := c.judgeOptions(p)
	if err != nil {
		return err
	}
	profiles := attribution.NewProfiles(opt)
	_, err = c.read(ctx, p, func(b *casedb.Batch) error {
		profiles.AddBatch(b)
		return nil
	})
	if err != nil {
		return err
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
	if err := w.Close(); err != nil {
		return err
	}
	return out.Flush()
}

func (c *attributeCmd) judgeOptions(p *program) (opt attribution.Options, err error) {
	if opt.Location, err = time.LoadLocation(c.TimeZone); err != nil {
		return opt, usagef("--time-zone %s: %w", c.TimeZone, err)
	}
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

// readList reads a list of scanners and prints the lines it could not use.
func (p *program) readList(name string) (*attribution.List, error) {
	in, err := p.openInput(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := attribution.ReadList(in, name)
	if err != nil {
		return nil, err
	}
	const shown = 20
	for i, problem := range list.Problems {
		if i == shown {
			fmt.Fprintf(p.Stderr, "teiten: %s: and %d more\n", name, list.Bad-shown)
			break
		}
		fmt.Fprintf(p.Stderr, "teiten: %s: %s\n", name, problem)
	}
	return list, nil
}

// parseDay reads a day, or a time with zone.
func parseDay(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a day such as 2026-01-15 nor an RFC 3339 time", s)
}
