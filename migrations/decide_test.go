package migrations

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	old := oldVersions()
	known := []int64{100, 102, 103}
	for _, c := range []struct {
		name    string
		applied []int64
		want    action
		refused string // part of the refusal; empty: none
	}{
		{"empty", nil, nothing, ""},
		{"e69e1b6", old, carryOver, ""},
		{"carried", []int64{100}, nothing, ""},
		{"some to do", []int64{100, 102}, nothing, ""},
		{"up to date", known, nothing, ""},
		{"first of the old", []int64{1}, nothing, "only version 33, which commit e69e1b6 made"},
		{"an older main", old[:20], nothing, "schema version 28; only version 33, which commit e69e1b6 made"},
		{"holes", slices.DeleteFunc(slices.Clone(old), func(v int64) bool { return v == 7 || v == 22 }), nothing, "(missing: 7, 22; unknown: none)"},
		{"another branch", append(slices.Clone(old), 34), nothing, "(missing: none; unknown: 34)"},
		{"a number that main never had", []int64{1, 2, 3, 4, 5, 6}, nothing, "unknown: 6"},
		{"newer", []int64{100, 102, 103, 104}, nothing, "schema version 104, this program knows versions up to 103"},
		{"unknown in between", []int64{100, 101, 102}, nothing, "does not know (101)"},
		{"came too late", []int64{100, 103}, nothing, "migration 102 was added to the program after migration 103"},
		{"old and new", append(slices.Clone(old), 100), nothing, "does not know (1, 2, 3"},
	} {
		got, err := decide(c.applied, known)
		if got != c.want || (err != nil) != (c.refused != "") {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		if err != nil && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.refused) || !strings.HasSuffix(err.Error(), "; nothing was changed")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestResultInWords(t *testing.T) {
	for want, r := range map[string]Result{
		"made the schema of a new database (version 101)":                                                       {Before: 0, After: 101},
		"the schema is up to date (version 101)":                                                                {Before: 101, After: 101},
		"updated the schema from version 100 to version 101":                                                    {Before: 100, After: 101},
		"carried the database over from the schema of commit e69e1b6 (version 33) to version 101 with all rows": {Before: 33, After: 101, Carried: true},
	} {
		if got := r.String(); got != want {
			t.Errorf("%+v: %s", r, got)
		}
	}
}
