package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// maxPurged is how many mails are purged by one command.
const maxPurged = 1000

type mailPurgeCmd struct {
	configFlags
	IDs    []int64 `arg:"" optional:"" name:"id" help:"Numbers of incoming mails."`
	Sender string  `help:"All mails of this address, in From or in the envelope." placeholder:"ADDRESS"`
	Reason string  `help:"request (a person in the mail asked for it), mistake (not meant for us) or unwanted." enum:"request,mistake,unwanted" required:""`
	User   string  `help:"User who is responsible for the deletion." required:""`
	Yes    bool    `help:"Delete. Otherwise the mails are only listed."`
}

func (*mailPurgeCmd) Help() string {
	return `Example: teiten mail purge --sender taro@home.example --reason request --user hanako
         teiten mail purge 4711 4712 --reason mistake --user hanako --yes

Lists the mails that came in from an address, or that have these numbers. With
--yes their sender, subject, text, files and raw contents are deleted, also in
the timelines of their cases. That cannot be undone. It is kept that a mail
came, when, to which case, who deleted it and why. What our own answers quote
of it stays, and so do backups.`
}

// purgeReasons are the codes of --reason.
var purgeReasons = map[string]reason.Code{"request": reason.PurgedRequest, "mistake": reason.PurgedMistake, "unwanted": reason.PurgedUnwanted}

// Run lists or purges the mails.
func (c *mailPurgeCmd) Run(ctx context.Context, p *program) error {
	if len(c.IDs) == 0 && c.Sender == "" {
		return usagef("say which mails: their numbers, or --sender")
	}
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		user, err := db.UserByName(ctx, casedb.UserName(c.User))
		if errors.Is(err, casedb.ErrNotFound) {
			return fmt.Errorf("there is no user %s", c.User)
		}
		if err != nil {
			return err
		}
		mails, err := db.InboundToPurge(ctx, c.IDs, c.Sender, maxPurged)
		if err != nil {
			return err
		}
		if len(mails) == 0 {
			return errors.New("no such mail is there")
		}
		if err := p.listInbound(ctx, db, mails); err != nil {
			return err
		}
		if !c.Yes {
			fmt.Fprintf(p.Stderr, "%d mails. Nothing was deleted; --yes deletes them.\n", len(mails))
			return nil
		}
		ids := make([]int64, len(mails))
		for i, m := range mails {
			ids[i] = m.ID
		}
		n := 0
		err = db.InTx(ctx, func(tx *casedb.Tx) (err error) {
			n, err = tx.PurgeInbound(ctx, ids, user.Name, reason.Of(purgeReasons[c.Reason]), time.Now())
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(p.Stderr, "%d mails were purged.\n", n)
		if len(mails) == maxPurged {
			fmt.Fprintln(p.Stderr, "There may be more: run the command again.")
		}
		return nil
	})
}

// listInbound lists mails with what they can be told apart by.
func (p *program) listInbound(ctx context.Context, db *casedb.DB, mails []casedb.Inbound) error {
	var cases []int64
	for _, m := range mails {
		if m.CaseID != nil {
			cases = append(cases, *m.CaseID)
		}
	}
	numbers, err := db.CaseNumbers(ctx, cases...)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tRECEIVED\tCASE\tSENDER\tSUBJECT")
	for _, m := range mails {
		number := ""
		if m.CaseID != nil {
			number = numbers[*m.CaseID]
		}
		sender := cmp.Or(m.Sender, m.EnvelopeFrom)
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", m.ID, m.ReceivedAt.UTC().Format(time.RFC3339), dash(number), dash(casedb.CleanLine(sender, 100)), dash(casedb.CleanLine(m.Subject, 80)))
	}
	return w.Flush()
}
