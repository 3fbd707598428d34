package casedb

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tagsOf are the names of the columns that a row's type takes.
func tagsOf(row reflect.Type) (tags []string) {
	for i := range row.NumField() {
		if tag := row.Field(i).Tag.Get("db"); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// A list that misses a column of its type leaves a field empty without a word.
func TestColumnsAreThoseOfTheType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		columns string
		row     any
		more    []string // what comes from elsewhere
	}{
		{ownerColumns, Owner{}, nil},
		{contactColumns, Contact{}, nil},
		{verdictColumns, Verdict{}, nil},
		{caseColumns, Case{}, nil},
		{eventColumns, CaseEvent{}, nil},
		{messageColumns, Message{}, nil},
		{inboundColumns, Inbound{}, nil},
		{aggregateColumns, Aggregate{}, nil},
		{boxColumns, BoxMail{}, nil},
		{batchRefColumns, BatchRef{}, []string{"sensor"}},
		{importColumns, Import{}, nil},
		{ticketColumns, CaseTicket{}, nil},
	} {
		row := reflect.TypeOf(test.row)
		got := test.more
		for name := range strings.SplitSeq(test.columns, ",") {
			got = append(got, strings.TrimSpace(name))
		}
		want := tagsOf(row)
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-type +columns):\n%s", row.Name(), d)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	if got := of("c", "id, name,\n\t\tkind"); got != "c.id, c.name, c.kind" {
		t.Errorf("got %q", got)
	}
}
