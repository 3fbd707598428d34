package casedb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// TLP is a label of the Traffic Light Protocol, version 2.0 (FIRST, 2022), as it
// is written in mails: who may learn what the letter says.
type TLP string

// The labels. A case without one has the configured label.
const (
	TLPClear       TLP = "TLP:CLEAR"
	TLPGreen       TLP = "TLP:GREEN"
	TLPAmber       TLP = "TLP:AMBER"
	TLPAmberStrict TLP = "TLP:AMBER+STRICT"
	TLPRed         TLP = "TLP:RED"

	// DefaultTLP is the label of what an owner is told: for the organisation alone.
	DefaultTLP = TLPAmberStrict
)

// TLPs returns the labels, the widest audience first.
func TLPs() []TLP { return []TLP{TLPClear, TLPGreen, TLPAmber, TLPAmberStrict, TLPRed} }

// Valid reports whether it is a label of TLP 2.0. TLP:WHITE of version 1 is not.
func (l TLP) Valid() bool { return slices.Contains(TLPs(), l) }

// Within reports whether an audience that may read up to the label bound may read
// what has the label.
func (l TLP) Within(bound TLP) bool {
	i := slices.Index(TLPs(), l)
	return i >= 0 && i <= slices.Index(TLPs(), bound)
}

// SetCaseTLP gives a case a label of its own, or with "" the configured one. It
// holds for letters that are not sent yet.
func (t *Tx) SetCaseTLP(ctx context.Context, c *Case, label TLP, by string, now time.Time) error {
	if label != "" && !label.Valid() {
		return fmt.Errorf("label case %s %q: %w", c.Number, label, ErrState)
	}
	if _, err := t.q.ExecContext(ctx, `update cases set tlp = $2 where id = $1`, c.ID, label); err != nil {
		return fail("label case", err)
	}
	return t.ChangeCase(ctx, c, CaseChange{Event: CaseEvent{Kind: EventNote, Actor: by, Text: cmp.Or(string(label), "TLP")}}, now)
}
