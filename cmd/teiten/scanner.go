package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"text/tabwriter"
	"time"

	"teiten/internal/casedb"
)

type scannerCmd struct {
	Add    scannerAddCmd    `cmd:"" help:"Add one entry."`
	List   scannerListCmd   `cmd:"" help:"List entries."`
	Import scannerImportCmd `cmd:"" help:"Import lists; entries that a list no longer names end."`
	Export scannerExportCmd `cmd:"" help:"Write the entries in force."`
}

type scannerAddCmd struct {
	configFlags
	Prefix       string `arg:"" help:"Address or prefix."`
	Organisation string `arg:"" help:"Organisation that scans from there."`
	List         string `help:"Name of the list it belongs to." default:"manual"`
	Purpose      string `help:"Purpose of the scans."`
	URL          string `help:"Page that explains the scans."`
	Ports        string `help:"Ports that the organisation declares to probe, such as \"80/TCP, 8000-8100/TCP, 53/UDP, ICMP\"; probes of other ports are shown to coordinators. all: not declared." default:"all" placeholder:"PORTS"`
	From         string `help:"First day on which it is valid." placeholder:"DATE"`
	To           string `help:"First day on which it is no longer valid." placeholder:"DATE"`
}

func (*scannerAddCmd) Help() string {
	return `Example: teiten scanner add 203.0.113.0/26 "Example Research Institute" --url https://research.example/scans`
}

// Run adds the entry.
func (c *scannerAddCmd) Run(ctx context.Context, p *program) error {
	prefix, err := parsePrefix(c.Prefix)
	if err != nil {
		return usageError{err}
	}
	s := casedb.Scanner{Prefix: casedb.Prefix{Prefix: prefix}, Organisation: casedb.CleanLine(c.Organisation, 200),
		List: casedb.CleanLine(c.List, 200), Purpose: casedb.CleanLine(c.Purpose, 1000), URL: casedb.CleanLine(c.URL, 500)}
	if s.Ports, err = casedb.ParsePorts(c.Ports); err != nil {
		return usagef("--ports: %w; write them like 80/TCP, 8000-8100/TCP, 53/UDP, ICMP", err)
	}
	if s.ValidFrom, err = optionalDay(c.From); err == nil {
		s.ValidTo, err = optionalDay(c.To)
	}
	if err != nil {
		return usageError{err}
	}
	if s.ValidFrom != nil && s.ValidTo != nil && !s.ValidFrom.Before(*s.ValidTo) {
		return usagef("--from %s is not before --to %s", c.From, c.To)
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		err := db.InTx(ctx, func(tx *casedb.Tx) error {
			_, err := tx.AddScanner(ctx, s, userName(), time.Now())
			return err
		})
		if errors.Is(err, casedb.ErrConflict) {
			return fmt.Errorf("the list %s has %s for %s already", s.List, prefix, s.Organisation)
		}
		return err
	})
}

func optionalDay(s string) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	t, err := parseDay(s)
	return &t, err
}

// userName is who works at the command line.
func userName() string {
	if u := os.Getenv("USER"); u != "" {
		return casedb.ActorCommandLine + ", " + casedb.CleanLine(u, 64)
	}
	return casedb.ActorCommandLine
}

// parsePrefix reads a prefix without host bits, or an address.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return n, fmt.Errorf("%q is neither an address nor a prefix", s)
	}
	if n != n.Masked() {
		return n, fmt.Errorf("%s has host bits set; did you mean %s?", n, n.Masked())
	}
	return n, nil
}

type scannerListCmd struct {
	configFlags
	Address string `help:"Only entries that contain this address."`
	Limit   int    `help:"Maximum number of entries." default:"1000"`
}

func (*scannerListCmd) Help() string { return `Example: teiten scanner list --address 203.0.113.10` }

// Run lists entries, the newest first.
func (c *scannerListCmd) Run(ctx context.Context, p *program) error {
	var f casedb.ScannerFilter
	if c.Address != "" {
		a, err := netip.ParseAddr(c.Address)
		if err != nil {
			return usagef("--address %s: not an address", c.Address)
		}
		f.Address = a
	}
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "PREFIX\tORGANISATION\tLIST\tFROM\tTO\tPORTS")
		var after int64
		for left := c.Limit; left > 0; {
			page, more, err := db.ListScanners(ctx, f, after, min(left, 500))
			if err != nil {
				return err
			}
			for _, s := range page {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Prefix, s.Organisation, s.List, stamp(s.ValidFrom), stamp(s.ValidTo), declared(s.Ports))
				after = s.ID
			}
			if left -= len(page); !more {
				break
			}
		}
		return w.Flush()
	})
}

// declared writes the ports of an entry.
func declared(ports casedb.PortSet) string {
	if !ports.Declared() {
		return "all"
	}
	return ports.String()
}

type scannerImportCmd struct {
	configFlags
	Files  []string `arg:"" name:"list" help:"Plain CIDR, MISP warninglist, \"IP # name\" lines, or NICT survey-scanner JSON; - is standard input."`
	Strict bool     `help:"Import nothing from a list that has a line which cannot be used, has host bits set or is of the other IP version."`
}

func (*scannerImportCmd) Help() string {
	return `Example: teiten scanner import research_v4.txt shodan.json

A list is known by its file's name: importing it again adds new entries and ends
those that it no longer names. Each list is imported wholly or not at all. None of the
formats declares ports.`
}

// Run imports the lists.
func (c *scannerImportCmd) Run(ctx context.Context, p *program) error {
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		failed := false
		for _, name := range c.Files {
			if err := c.importList(ctx, p, db, name); err != nil {
				if ctx.Err() != nil {
					return err
				}
				fmt.Fprintln(p.Stderr, "teiten:", err)
				failed = true
			}
		}
		if failed {
			return errReported
		}
		return nil
	})
}

func (c *scannerImportCmd) importList(ctx context.Context, p *program, db *casedb.DB, name string) error {
	list, err := p.readList(name)
	if err != nil {
		return err
	}
	printProblems(p, name, list.Repeats, list.Repeated)
	if bad := list.Bad + list.Doubtful; c.Strict && bad > 0 {
		return fmt.Errorf("%s: %d lines cannot be used or are doubtful, so nothing was imported (--strict)", name, bad)
	}
	return db.InTx(ctx, func(tx *casedb.Tx) error {
		done, err := tx.ImportScanners(ctx, list.Name, list.Entries, userName(), time.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(p.Stderr, "%s: %d added, %d changed, %d ended, %d as before, %d lines not usable, %d doubtful, %d repeated\n", list.Name, done.Added, done.Changed,
			done.Ended, done.Same, list.Bad, list.Doubtful, list.Repeated)
		return nil
	})
}

type scannerExportCmd struct {
	configFlags
	Format string `help:"cidr or misp." enum:"cidr,misp" default:"cidr"`
	At     string `help:"The entries in force on this day instead of now." placeholder:"DATE"`
}

func (*scannerExportCmd) Help() string { return `Example: teiten scanner export > acknowledged.txt` }

// Run writes the entries in force.
func (c *scannerExportCmd) Run(ctx context.Context, p *program) error {
	at := time.Now()
	if c.At != "" {
		var err error
		if at, err = parseDay(c.At); err != nil {
			return usageError{err}
		}
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		out := bufio.NewWriter(p.Stdout)
		var prefixes []string
		err := db.ExportScanners(ctx, at, func(s *casedb.Scanner) error {
			if c.Format == "misp" {
				prefixes = append(prefixes, s.Prefix.String())
				return nil
			}
			ports := ""
			if s.Ports.Declared() {
				ports = "; " + s.Ports.String()
			}
			_, err := fmt.Fprintf(out, "%s # %s (%s%s)\n", s.Prefix, s.Organisation, s.List, ports)
			return err
		})
		if err != nil {
			return err
		}
		if c.Format == "misp" {
			enc := json.NewEncoder(out)
			enc.SetIndent("", "  ")
			err := enc.Encode(map[string]any{"name": "teiten acknowledged scanners", "version": at.UTC().Year()*10000 + int(at.UTC().Month())*100 + at.UTC().Day(),
				"description": "Prefixes of acknowledged scanners in force on " + at.UTC().Format(time.DateOnly), "type": "cidr",
				"list": append([]string{}, prefixes...), "matching_attributes": []string{"ip-src", "ip-dst", "domain|ip"}})
			if err != nil {
				return err
			}
		}
		return out.Flush()
	})
}
