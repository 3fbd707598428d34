package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"teiten/internal/app"
	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/notify"
)

type mailCmd struct {
	Plan mailPlanCmd `cmd:"" help:"Show what will happen to each queued mail, when and why. Sends and changes nothing."`

	Purge mailPurgeCmd `cmd:"" help:"Delete what incoming mails say; keep that they came, who deleted them and why."`
}

type mailPlanCmd struct {
	configFlags
	Limit  int    `help:"Maximum number of queued mails, and of held mails." default:"1000"`
	Format string `help:"text or jsonl." enum:"text,jsonl" default:"text"`
}

func (*mailPlanCmd) Help() string {
	return `Example: teiten mail plan
         teiten mail plan --format jsonl | jq 'select(.action == "hold")'

Shows the decisions that the sender would make about the queue, with the limits
and quiet hours of the configuration, and then the mails that wait for a
coordinator.`
}

// planLine is a message as mail plan prints it.
type planLine struct {
	Message   int64      `json:"message"`
	Case      string     `json:"case"`
	Purpose   string     `json:"purpose"`
	Recipient string     `json:"recipient"`
	At        *time.Time `json:"at"` // null: when a coordinator has approved it
	Action    string     `json:"action"`
	Reason    string     `json:"reason"`
	Delay     string     `json:"delay"` // why not when it is due
	Approved  string     `json:"approved_by"`
}

func linePlanned(p notify.Planned, say *locale.Printer) planLine {
	l := planLine{Message: p.Message.ID, Purpose: string(p.Message.Purpose), Recipient: p.Message.Recipient,
		Action: string(p.Decision.Action), Reason: say.Reasons(p.Decision.Why), Delay: say.Reasons(p.Delay), Approved: p.Message.ApprovedBy}
	if p.Decision.Action == notify.ActionSend {
		l.Reason = p.Message.Reason
	}
	if p.Case != nil {
		l.Case = p.Case.Number
	}
	if !p.At.IsZero() {
		at := p.At.UTC()
		l.At = &at
	}
	return l
}

// Run prints the plan.
func (c *mailPlanCmd) Run(ctx context.Context, p *program) error {
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	say, err := english()
	if err != nil {
		return err
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		control, err := app.ControlGroup(ctx, cfg, db)
		if err != nil {
			return err
		}
		planner := notify.Planner{DB: db, Limits: cfg.SendLimits(), Quiet: cfg.QuietHours(), DigestAt: cfg.DigestAt(), Control: control}
		stop, err := db.SendStop(ctx)
		if err != nil {
			return err
		}
		if stop != nil {
			fmt.Fprintf(p.Stderr, "All mail is stopped by %s since %s: %s\n", stop.Actor, stop.At.UTC().Format(time.RFC3339), stop.Reason)
		}
		plan, err := planner.Queue(ctx, 0, c.Limit, time.Now())
		if err != nil {
			return err
		}
		held, err := planner.Held(ctx, 0, c.Limit)
		if err != nil {
			return err
		}
		lines := append(plan.Lines, held...)
		if c.Format == "jsonl" {
			enc := json.NewEncoder(p.Stdout)
			for _, l := range lines {
				if err := enc.Encode(linePlanned(l, say)); err != nil {
					return err
				}
			}
		} else {
			w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "AT\tACTION\tREASON\tDELAYED BY\tCASE\tRECIPIENT")
			for _, planned := range lines {
				l := linePlanned(planned, say)
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", stamp(l.At), l.Action, dash(l.Reason), dash(l.Delay), dash(l.Case), l.Recipient)
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
		if left := plan.Queued - len(plan.Lines); left > 0 || len(held) == c.Limit {
			fmt.Fprintf(p.Stderr, "There is more; --limit is %d.\n", c.Limit)
		}
		return nil
	})
}
