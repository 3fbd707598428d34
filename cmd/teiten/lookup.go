package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/app"
	"teiten/internal/casedb"
	"teiten/internal/config"
)

type lookupCmd struct {
	configFlags
	Address  string `arg:"" help:"The address."`
	RDAPJSON string `name:"rdap-json" help:"Take the registry's answer from this file (- is standard input); the network is not asked." placeholder:"FILE"`
	Ask      bool   `help:"Ask the registries even if the database has a current answer."`
}

func (*lookupCmd) Help() string {
	return `Example: teiten lookup 192.0.2.10
         teiten lookup 192.0.2.10 --rdap-json answer.json

If there is a database with a current answer for the range, this answer is used,
and the output has a "history" of the owners of the address. Otherwise rdap.mode
decides which source is asked: by default the recorded answers that come with
teiten, which know the addresses of the sample; with rdap.mode=live the
registries.`
}

// historyRows bounds the history that is printed.
const historyRows = 100

// Run prints the network, the contact with its provenance and gate, the
// alternatives, what was rejected and why, and the history.
func (c *lookupCmd) Run(ctx context.Context, p *program) error {
	addr, err := netip.ParseAddr(c.Address)
	if err != nil {
		return usagef("%q is not an address", c.Address)
	}
	addr = addr.Unmap().WithZone("")
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	as, err := cfg.ASTable()
	if err != nil {
		return err
	}
	words, err := english()
	if err != nil {
		return err
	}
	if c.RDAPJSON != "" {
		in, err := p.openInput(c.RDAPJSON)
		if err != nil {
			return err
		}
		defer in.Close()
		res, err := owner.LookupFile(in, addr, cfg.ContactConfig(), as, words.Reasons)
		if err != nil {
			return fmt.Errorf("%s: %w", c.RDAPJSON, err)
		}
		return res.WriteJSON(p.Stdout)
	}
	if missing, err := app.MissingDatabase(cfg); err == nil && missing == "" {
		opened := false
		err := p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
			opened = true
			return c.find(ctx, p, cfg, as, words.Reasons, addr, db)
		})
		if opened {
			return err
		}
		fmt.Fprintln(p.Stderr, "teiten: no history:", err)
	}
	return c.find(ctx, p, cfg, as, words.Reasons, addr, nil)
}

// find prints what the directory, the stored answers, and else the registries
// say. Without a database db is nil.
func (c *lookupCmd) find(ctx context.Context, p *program, cfg *config.Config, as *owner.ASTable, say owner.Sayer, addr netip.Addr,
	db *casedb.DB) error {
	var answer *owner.RegistryAnswer
	var networks []casedb.Network
	var err error
	if db != nil {
		if networks, err = db.NetworksAt(ctx, addr, historyRows); err != nil {
			return err
		}
		if !c.Ask {
			entries, err := db.DirectoryFor(ctx, casedb.DirectoryQuestion{Address: addr}, time.Now())
			if err != nil {
				return err
			}
			if len(entries) > 0 { // no registry need be asked
				res := owner.DirectoryResult(addr, entries[0], say)
				res.History = owner.LookupHistory(networks)
				return res.WriteJSON(p.Stdout)
			}
			if answer, err = storedAnswer(ctx, db, addr); err != nil {
				return err
			}
		}
	}
	if answer == nil {
		if answer, err = c.ask(ctx, p, cfg, addr); err != nil {
			var failed *owner.LookupError
			if cfg.RDAP.Mode == "recorded" && errors.As(err, &failed) && failed.Kind == owner.LookupNotFound {
				return fmt.Errorf("%s is not among the recorded answers, which know the addresses of the sample; --set rdap.mode=live asks the registries", addr)
			}
			return err
		}
	}
	choice := owner.ChooseContact(*answer, addr, cfg.ContactConfig())
	res := choice.Result(addr, as, say)
	if db != nil {
		question := casedb.DirectoryQuestion{Address: addr, OwnerKey: choice.OwnerKey, OwnerName: choice.OwnerName, Country: choice.Network.Country}
		if res.Network.ASN != nil {
			question.ASN = *res.Network.ASN
		}
		entries, err := db.DirectoryFor(ctx, question, time.Now())
		if err != nil {
			return err
		}
		res.Direct(entries, say)
	}
	res.History = owner.LookupHistory(networks)
	return res.WriteJSON(p.Stdout)
}

// storedAnswer is the current answer that the database has for the address;
// nil if it has none.
func storedAnswer(ctx context.Context, db *casedb.DB, addr netip.Addr) (*owner.RegistryAnswer, error) {
	network, err := db.NetworkFor(ctx, addr, time.Now())
	if errors.Is(err, casedb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	answer, err := owner.StoredAnswer(network, addr)
	return &answer, err
}

// ask asks the registries of the configuration.
func (c *lookupCmd) ask(ctx context.Context, p *program, cfg *config.Config, addr netip.Addr) (*owner.RegistryAnswer, error) {
	client, stop, err := app.OwnerLookup(cfg)
	if err != nil {
		return nil, err
	}
	defer stop()
	answer, err := client.Lookup(ctx, addr)
	if err != nil && answer.Raw == nil {
		return nil, fmt.Errorf("look up %s: %w", addr, err)
	}
	if err != nil {
		cfg.Logger(p.Stderr).Warn("a national registry was asked in vain", "source", addr, "err", err)
	}
	return &answer, nil
}
