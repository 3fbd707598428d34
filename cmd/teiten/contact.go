package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"text/tabwriter"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/config"
	"teiten/internal/directoryfile"
	"teiten/notify"
)

type contactCmd struct {
	Import contactImportCmd `cmd:"" help:"Import contacts from CSV."`
	Export contactExportCmd `cmd:"" help:"Write the directory as CSV."`
	List   contactListCmd   `cmd:"" help:"List entries."`
}

type contactImportCmd struct {
	configFlags
	Files  []string `arg:"" name:"csv" help:"Directory in CSV; - is standard input."`
	DryRun bool     `help:"Say what would change, and change nothing."`
	Strict bool     `help:"Import nothing if a line cannot be used."`
}

func (*contactImportCmd) Help() string {
	return `Example: teiten contact import contacts.csv --dry-run

The first line names the columns; scope, target and email must be there:

  scope,target,email,name,language,format,digest,country,valid_from,valid_until,note,pgp_key,silent,networks
  prefix,192.0.2.0/24,abuse@example.net,Example Net,en,,,JP,,2027-04-01,agreed by phone
  organisation,Example University,cert@example.ac.jp,,ja,xarf,,,,,
  as,64500,noc@example.net,,en,,yes,,,,one mail a day
  country,KR,cert@example.kr,National CSIRT,en,,yes,,,,the last resort

The column pgp_key may hold a public key in ASCII armour; letters to the contact
are encrypted to it.

An entry replaces the one for the same target. What a file does not name stays.
A coordinator always approves the first mail to a contact.`
}

// Run imports the files, each wholly or not at all.
func (c *contactImportCmd) Run(ctx context.Context, p *program) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		failed := false
		for _, name := range c.Files {
			if err := c.importFile(ctx, p, cfg, db, name); err != nil {
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

func (c *contactImportCmd) importFile(ctx context.Context, p *program, cfg *config.Config, db *casedb.DB, name string) error {
	in, err := p.openInput(name)
	if err != nil {
		return err
	}
	defer in.Close()
	list, err := directoryfile.Read(in, func(e *casedb.DirectoryEntry) error {
		if err := notify.CheckPGPKey(e.PGPKey, time.Now()); err != nil {
			return err
		}
		return owner.NotAnOwner(e.Email, cfg.ContactConfig(), cfg.Mail.Domain)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	printProblems(p, name, list.Problems, list.Bad)
	if c.Strict && list.Bad > 0 {
		return fmt.Errorf("%s: %d lines cannot be used, so nothing was imported (--strict)", name, list.Bad)
	}
	var done casedb.DirectoryImport
	err = db.InTx(ctx, func(tx *casedb.Tx) error {
		if done, err = tx.PutDirectoryEntries(ctx, list.Entries, userName(), time.Now()); err == nil && c.DryRun {
			return errDryRun
		}
		return err
	})
	would := ""
	switch {
	case errors.Is(err, errDryRun):
		would = " (dry run: nothing was changed)"
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(p.Stderr, "%s: %d added, %d changed, %d as before, %d lines not usable%s\n", name, done.Added, done.Changed, done.Same, list.Bad, would)
	return nil
}

// errDryRun undoes what was done to see what it would be.
var errDryRun = errors.New("dry run")

type contactExportCmd struct {
	configFlags
}

func (*contactExportCmd) Help() string { return `Example: teiten contact export > contacts.csv` }

// Run writes all entries that have not ended.
func (c *contactExportCmd) Run(ctx context.Context, p *program) error {
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		out := bufio.NewWriter(p.Stdout)
		w, err := directoryfile.NewWriter(out)
		if err != nil {
			return err
		}
		if err := db.EachDirectoryEntry(ctx, casedb.DirectoryFilter{}, 0, w.Write); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		return out.Flush()
	})
}

type contactListCmd struct {
	configFlags
	Address string `help:"Only prefixes that contain this address."`
	Text    string `help:"Only entries that have this text in their target, name or mail address."`
	Limit   int    `help:"Maximum number of entries." default:"1000"`
}

func (*contactListCmd) Help() string { return `Example: teiten contact list --address 192.0.2.7` }

// Run lists entries, the newest first.
func (c *contactListCmd) Run(ctx context.Context, p *program) error {
	f := casedb.DirectoryFilter{Text: c.Text}
	if c.Address != "" {
		a, err := netip.ParseAddr(c.Address)
		if err != nil {
			return usagef("--address %s: not an address", c.Address)
		}
		f.Address = a.Unmap().WithZone("")
	}
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "SCOPE\tTARGET\tEMAIL\tNAME\tLANGUAGE\tFORMAT\tDIGEST\tFROM\tUNTIL\tBY")
		if err := db.EachDirectoryEntry(ctx, f, c.Limit, func(e *casedb.DirectoryEntry) error {
			_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%t\t%s\t%s\t%s\n", e.Scope, e.Target, e.Email, e.Name, e.Language, e.Format, e.Digest,
				stamp(e.ValidFrom), stamp(e.ValidUntil), e.CreatedBy)
			return err
		}); err != nil {
			return err
		}
		return w.Flush()
	})
}
