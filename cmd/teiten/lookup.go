package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"

	"teiten/attribution"
)

type lookupCmd struct {
	configFlags
	Address  string `arg:"" help:"The address."`
	RDAPJSON string `name:"rdap-json" help:"Take the registry's answer from this file (- is standard input); nothing is asked of the network." placeholder:"FILE"`
}

func (*lookupCmd) Help() string {
	return `Example: teiten lookup 192.0.2.10
         teiten lookup 192.0.2.10 --rdap-json answer.json

Asks whom rdap.mode says: by default the recorded answers that come with teiten,
which know the addresses of the sample; with rdap.mode=live the registries.`
}

// Run prints the network, the contact with its provenance and gate, the
// alternatives, and what was rejected and why.
func (c *lookupCmd) Run(ctx context.Context, p *program) error {
	addr, err := netip.ParseAddr(c.Address)
	if err != nil {
		return usagef("%q is not an address", c.Address)
	}
	var res attribution.LookupResult
	if c.RDAPJSON != "" {
		in, err := p.openInput(c.RDAPJSON)
		if err != nil {
			return err
		}
		defer in.Close()
		res, err = attribution.LookupFile(in, addr, attribution.DefaultContactConfig())
		if err != nil {
			return fmt.Errorf("%s: %w", c.RDAPJSON, err)
		}
		return res.WriteJSON(p.Stdout)
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	a := &app{cfg: cfg, log: cfg.logger(p.Stderr), fatal: make(chan error, 1)}
	defer a.stop()
	client, err := a.ownerLookup()
	if err != nil {
		return err
	}
	answer, err := client.Lookup(ctx, addr)
	if err != nil {
		return fmt.Errorf("look up %s: %w", addr, err)
	}
	choice := attribution.ChooseContact(answer, addr, attribution.DefaultContactConfig())
	res = choice.Result(addr)
	return res.WriteJSON(p.Stdout)
}

// openInput opens a file, or the program's standard input for "-".
func (p *program) openInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(p.Stdin), nil
	}
	return os.Open(name)
}
