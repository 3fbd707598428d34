package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"teiten/attribution"
	"teiten/internal/app"
	"teiten/internal/casedb"
)

type rejudgeCmd struct {
	configFlags
	Apply bool   `help:"Save the new verdicts. Without it nothing is changed."`
	Since string `help:"Judge again the observations from this day on." placeholder:"DATE"`
	Limit int    `help:"Maximum number of sources to list." default:"50"`
}

func (*rejudgeCmd) Help() string {
	return `Example: teiten rejudge --since 2026-01-01

Judges stored observations again with the current rules and allowlist, and lists
the changes: verdicts, and how many cases would close and open. With --apply the
new verdicts are saved; cases that no longer have sources to report are ignored,
or shown to a coordinator if their owner was already notified. Judging again
sends no mail by itself: messages that follow from it are held.`
}

// Run judges again.
func (c *rejudgeCmd) Run(ctx context.Context, p *program) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	since := time.Unix(0, 0)
	if c.Since != "" {
		if since, err = parseDay(c.Since); err != nil {
			return usageError{err}
		}
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		options, err := app.JudgeOptions(ctx, cfg, db)
		if err != nil {
			return err
		}
		judge := &attribution.Judge{DB: db, Options: options, LookBack: cfg.Attribution.LookBack, Kinds: cfg.CaseKinds()}
		r, err := judge.Rejudge(ctx, since)
		if err != nil {
			return err
		}
		if err := c.print(p, r); err != nil {
			return err
		}
		if !c.Apply || len(r.Differences)+r.Aggregates == 0 {
			return nil
		}
		if err := judge.Apply(ctx, r); err != nil {
			if errors.Is(err, casedb.ErrStale) {
				return errors.New("the allowlist has changed in the meantime, or a flood was found; nothing was saved, judge again")
			}
			return err
		}
		_, err = fmt.Fprintf(p.Stdout, "saved %d verdicts; messages that follow from them are held\n", len(r.Differences))
		return err
	})
}

func (c *rejudgeCmd) print(p *program, r *attribution.Rejudgement) error {
	w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "rule set %s: %d sources judged again, %d verdicts differ\n", attribution.RuleSet, r.Sources, len(r.Differences))
	counts := make(map[string]int)
	for i := range r.Differences {
		d := &r.Differences[i]
		counts[verdictWords(&d.Old)+"\t"+verdictWords(&d.New)]++
	}
	if len(counts) > 0 {
		fmt.Fprintln(w, "\nFROM\tTO\tSOURCES")
	}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "%s\t%d\n", key, counts[key])
	}
	if len(counts) > 0 && c.Limit > 0 {
		fmt.Fprintln(w, "\nSOURCE\tFROM\tTO\tRULE")
	}
	for i := range r.Differences[:max(0, min(len(r.Differences), c.Limit))] {
		d := &r.Differences[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s -> %s\n", d.New.Source, verdictWords(&d.Old), verdictWords(&d.New), d.Old.Rule, d.New.Rule)
	}
	if n := len(r.Differences) - c.Limit; n > 0 && c.Limit > 0 {
		fmt.Fprintf(w, "and %d more\n", n)
	}
	e := r.Effect
	fmt.Fprintf(w, "\nthis change would close %d cases (%d of them need a coordinator, because their owners were notified) and open %d", e.Closed,
		e.Attention, e.Opened)
	if e.Unknown > 0 {
		fmt.Fprintf(w, ", and more for %d sources that have no known owner yet", e.Unknown)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// verdictWords writes what a verdict says in a few words.
func verdictWords(v *casedb.Verdict) string {
	s := string(v.Kind)
	for _, word := range []string{v.Tool, v.Malware} {
		if word != "" {
			s += " " + word
		}
	}
	if v.Acknowledged != "" {
		s += " acknowledged"
	}
	if v.Attention != "" {
		s += " (attention)"
	}
	if v.Evidence.V.Weak {
		s += " (weak)"
	}
	return s
}
