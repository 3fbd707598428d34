package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

type caseCmd struct {
	List caseListCmd `cmd:"" help:"List cases."`
	Show caseShowCmd `cmd:"" help:"Show one case with its timeline."`
}

type caseListCmd struct {
	configFlags
	Waiting bool   `help:"Only cases that wait for a coordinator, longest first."`
	State   string `help:"Only cases in this state." enum:",new,open,notified,answered,closed,ignored" default:""`
	Text    string `help:"A case number, an address, a prefix, or part of the owner's name."`
	Limit   int    `help:"Maximum number of cases." default:"100"`
	Format  string `help:"text or jsonl." enum:"text,jsonl" default:"text"`
}

func (*caseListCmd) Help() string {
	return `Example: teiten case list --waiting
         teiten case list --state closed --format jsonl`
}

// caseLine is a case as `case list` and `case show` print it.
type caseLine struct {
	Number   string    `json:"number"`
	State    string    `json:"state"`
	Waiting  string    `json:"waiting"`
	Kind     string    `json:"kind"`
	Malware  string    `json:"malware"`
	Owner    string    `json:"owner"`
	Country  string    `json:"country"`
	Contact  string    `json:"contact"`
	Sources  int       `json:"sources"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Language string    `json:"language"`
	TLP      string    `json:"tlp"` // its label, or the one of all cases without one
}

// Run lists cases.
func (c *caseListCmd) Run(ctx context.Context, p *program) error {
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		filter := casedb.CaseFilter{OnlyWaiting: c.Waiting, State: casedb.CaseState(c.State), Text: c.Text}
		enc := json.NewEncoder(p.Stdout)
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		if c.Format == "text" {
			fmt.Fprintln(w, "NUMBER\tSTATE\tWAITING\tKIND\tSOURCES\tOWNER\tCONTACT\tUPDATED")
		}
		var from casedb.CaseCursor
		for left := c.Limit; left > 0; {
			page, err := db.ListCases(ctx, filter, from, false, min(left, 200))
			if err != nil {
				return err
			}
			for _, r := range page.Rows {
				if c.Format == "jsonl" {
					if err := enc.Encode(caseLine{Number: r.Number, State: string(r.State), Waiting: string(r.Waiting),
						Kind: string(r.Kind), Malware: r.Malware, Owner: r.OwnerName, Country: r.OwnerCountry, Contact: r.ContactEmail,
						Sources: r.Sources, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(), Language: r.Language,
						TLP: string(cmp.Or(r.TLP, casedb.TLP(cfg.Mail.TLP)))}); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Number, r.State, dash(string(r.Waiting)), what(r.Case), r.Sources,
					r.OwnerName, dash(r.ContactEmail), r.UpdatedAt.UTC().Format(time.RFC3339))
			}
			left -= len(page.Rows)
			if !page.More || len(page.Rows) == 0 {
				break
			}
			from = page.Rows[len(page.Rows)-1].Cursor(filter)
		}
		return w.Flush()
	})
}

func what(c casedb.Case) string {
	if c.Malware == "" {
		return string(c.Kind)
	}
	return string(c.Kind) + "/" + c.Malware
}

type caseShowCmd struct {
	configFlags
	Number string `arg:"" help:"The case, such as TT-2026-000123."`
	Format string `help:"text or json." enum:"text,json" default:"text"`
}

func (*caseShowCmd) Help() string { return `Example: teiten case show TT-2026-000123` }

// caseDetail is a case as `case show --format json` prints it.
type caseDetail struct {
	caseLine
	Addresses []string `json:"addresses"`
	// Health is what became of the mail to the contact, in all cases.
	Health   *healthLine      `json:"contact_health"`
	Findings []casedb.Finding `json:"findings"`
	Messages []messageLine    `json:"messages"`
	Events   []eventLine      `json:"events"`
}

// healthLine is what became of the mail to a contact, in words.
type healthLine struct {
	casedb.ContactHealth
	Suppressed   *string    `json:"suppressed"` // why we do not write there
	SuppressedTo *time.Time `json:"suppressed_until"`
}

type messageLine struct {
	ID        int64      `json:"id"`
	State     string     `json:"state"`
	Purpose   string     `json:"purpose"`
	Reason    string     `json:"reason"`
	Recipient string     `json:"recipient"`
	MessageID string     `json:"message_id"`
	Attempts  int        `json:"attempts"`
	Sent      *time.Time `json:"sent"`
}

type eventLine struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`
	Actor string    `json:"actor"`
	Text  string    `json:"text"`
}

// Run shows one case.
func (c *caseShowCmd) Run(ctx context.Context, p *program) error {
	say, err := english()
	if err != nil {
		return err
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		d, err := readCase(ctx, db, say, strings.ToUpper(c.Number))
		d.TLP = cmp.Or(d.TLP, cfg.Mail.TLP)
		if errors.Is(err, casedb.ErrNotFound) {
			return fmt.Errorf("there is no case %s", c.Number)
		}
		if err != nil {
			return err
		}
		if c.Format == "json" {
			enc := json.NewEncoder(p.Stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(d)
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintf(w, "Case\t%s\nLabel\t%s\nState\t%s\nWaiting\t%s\nKind\t%s %s\nOwner\t%s (%s)\nContact\t%s\n", d.Number, d.TLP, d.State, dash(d.Waiting),
			d.Kind, d.Malware, d.Owner, dash(d.Country), dash(d.Contact))
		fmt.Fprintf(w, "Sources\t%s\n\n", strings.Join(d.Addresses, " "))
		for _, e := range d.Events {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.At.Format(time.RFC3339), e.Kind, e.Actor, firstLine(e.Text))
		}
		return w.Flush()
	})
}

func firstLine(s string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if rest != "" {
		line += " …"
	}
	return line
}

// eventText is what an event says: others' words, the codes of a finding, and
// why it happened.
func eventText(e casedb.CaseEvent, say *locale.Printer) string {
	text, why := e.Text, say.Reasons(e.Why)
	if found := e.Found(); found != nil {
		text = found.Line()
	}
	if text == "" || why == "" {
		return text + why
	}
	return text + "\n" + why
}

// readCase gathers a case with at most ten thousand sources and events.
func readCase(ctx context.Context, db *casedb.DB, say *locale.Printer, number string) (caseDetail, error) {
	const most = 10000
	page, err := db.CasePage(ctx, number)
	if err != nil {
		return caseDetail{}, err
	}
	k := page.Case
	d := caseDetail{caseLine: caseLine{Number: k.Number, State: string(k.State), Waiting: string(k.Waiting), Kind: string(k.Kind),
		Malware: k.Malware, Owner: page.Owner.Name, Country: page.Owner.Country, Created: k.CreatedAt.UTC(), Updated: k.UpdatedAt.UTC(),
		Language: k.Language, TLP: string(k.TLP)}, Addresses: []string{}, Messages: []messageLine{}, Events: []eventLine{}}
	if page.Contact != nil {
		d.Contact = page.Contact.Email
		health, err := db.ContactsHealth(ctx, []string{d.Contact}, time.Now())
		if err != nil {
			return d, err
		}
		if h, ok := health[casedb.BaseAddress(d.Contact)]; ok {
			d.Health = &healthLine{ContactHealth: h, SuppressedTo: h.SuppressedTo}
			if len(h.Suppressed) > 0 {
				why := say.Reasons(h.Suppressed)
				d.Health.Suppressed = &why
			}
		}
	}
	sources, err := db.CaseSources(ctx, k.ID, casedb.Addr{}, most)
	if err != nil {
		return d, err
	}
	d.Sources = len(sources)
	for _, s := range sources {
		d.Addresses = append(d.Addresses, s.Source.String())
	}
	findings, err := db.CaseFindings(ctx, k.ID, most)
	if err != nil {
		return d, err
	}
	d.Findings = append([]casedb.Finding{}, findings...)
	for _, m := range page.Messages {
		d.Messages = append(d.Messages, messageLine{ID: m.ID, State: string(m.State), Purpose: string(m.Purpose), Reason: m.Reason,
			Recipient: m.Recipient, MessageID: m.HeaderID, Attempts: m.Attempts, Sent: m.SentAt})
	}
	events, err := db.CaseEvents(ctx, k.ID, 0, most)
	if err != nil {
		return d, err
	}
	for _, e := range events {
		d.Events = append(d.Events, eventLine{At: e.At.UTC(), Kind: string(e.Kind), Actor: e.Actor, Text: eventText(e, say)})
	}
	return d, nil
}
