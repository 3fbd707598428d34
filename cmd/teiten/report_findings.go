package main

import (
	"context"
	"time"

	"teiten/internal/casedb"
	"teiten/web"
)

type reportFindingsCmd struct {
	configFlags
	From   string `help:"First day (UTC); 90 days before the last one unless given." placeholder:"DATE"`
	To     string `help:"Last day (UTC); today unless given." placeholder:"DATE"`
	Format string `help:"csv: one line for each finding; json: with the counts." enum:"csv,json" default:"csv"`
	Out    string `short:"o" help:"Write to this file instead of standard output." placeholder:"OUT"`
}

func (*reportFindingsCmd) Help() string {
	return `Example: teiten report findings --from 2026-01-01 --to 2026-03-31 --format json`
}

// Run writes the findings that were recorded in the period.
func (c *reportFindingsCmd) Run(ctx context.Context, p *program) (err error) {
	to := time.Now().UTC().Truncate(24 * time.Hour)
	if c.To != "" {
		if to, err = parseDay(c.To); err != nil {
			return usageError{err}
		}
	}
	from := to.AddDate(0, 0, -89)
	if c.From != "" {
		if from, err = parseDay(c.From); err != nil {
			return usageError{err}
		}
	}
	if from.After(to) {
		return usagef("--from %s is after --to %s", from.Format(time.DateOnly), to.Format(time.DateOnly))
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) (err error) {
		out, finish, err := p.output(c.Out)
		if err != nil {
			return err
		}
		defer func() {
			if e := finish(err == nil); err == nil {
				err = e
			}
		}()
		write := web.WriteFindingsCSV
		if c.Format == "json" {
			write = web.WriteFindingsJSON
		}
		return write(ctx, out, db, casedb.TLP(cfg.Mail.TLP), from, to.AddDate(0, 0, 1))
	})
}
