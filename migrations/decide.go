package migrations

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrRefused is wrapped by every refusal of Apply: the database is in a state
// that this program cannot bring up to date.
var ErrRefused = errors.New("nothing was changed")

// firstVersion is the number of 0100_schema.sql.
const firstVersion = 100

// lastOldVersion is the newest migration of commit e69e1b6, the last one with
// the migrations that were squashed into 0100_schema.sql.
const lastOldVersion = 33

// oldVersions returns the migrations of commit e69e1b6. Their numbers have holes.
func oldVersions() []int64 {
	return []int64{1, 2, 3, 4, 5, 7, 8, 10, 14, 15, 16, 18, 20, 21, 22, 23, 24, 25, 26, 28, 29, 31, 32, lastOldVersion}
}

// action is what is done with a database before goose applies what is missing.
type action int

const (
	nothing   action = iota // what is missing is applied
	carryOver               // a database of commit e69e1b6 is carried over first
)

// decide says what to do with a database that has the applied versions, given
// the migrations that this program knows; both are sorted. An error wraps
// ErrRefused.
func decide(applied, known []int64) (action, error) {
	found, program := newest(applied), newest(known)
	switch {
	case found == 0:
		return nothing, nil
	case slices.Equal(applied, oldVersions()):
		return carryOver, nil
	case found < firstVersion:
		return nothing, refuseOld(applied)
	case found > program:
		return nothing, refusal(`the database has schema version %d, this program knows versions up to %d: `+
			`use the newer program that made it, or restore a backup that is older`, found, program)
	}
	if strange := without(applied, known); len(strange) > 0 {
		return nothing, refusal(`the database has migrations that this program does not know (%s): `+
			`use the program that made it, or restore a backup of a version that was released`, list(strange))
	}
	for _, v := range without(known, applied) {
		if v < found {
			return nothing, refusal(`migration %d was added to the program after migration %d had been applied to this database: `+
				`migrations only grow, so this program is not a version of main`, v, found)
		}
	}
	return nothing, nil
}

// refuseOld refuses a database with migrations from before 0100_schema.sql that
// are not those of commit e69e1b6.
func refuseOld(applied []int64) error {
	found, old := newest(applied), oldVersions()
	if len(applied) <= len(old) && slices.Equal(applied, old[:len(applied)]) {
		return refusal("the database has schema version %d; only version %d, which commit e69e1b6 made, can be carried over: "+
			"back the database up with `pg_dump -Fc`, run `teiten migrate` of commit e69e1b6 on it, then start this program again", found, lastOldVersion)
	}
	return refusal("the database has schema version %d, but not the migrations of commit e69e1b6, which alone can be carried over "+
		"(missing: %s; unknown: %s): back the database up with `pg_dump -Fc` and follow \"An older database\" in docs/operations.md",
		found, list(without(old, applied)), list(without(applied, old)))
}

// refusal is an error that wraps ErrRefused.
func refusal(format string, args ...any) error {
	return fmt.Errorf("%s; %w", fmt.Sprintf(format, args...), ErrRefused)
}

// newest returns the last of sorted versions, 0 for none.
func newest(versions []int64) int64 {
	if len(versions) == 0 {
		return 0
	}
	return versions[len(versions)-1]
}

// without returns the versions that are not among others.
func without(versions, others []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(versions), func(v int64) bool { return slices.Contains(others, v) })
}

// list writes versions for a message.
func list(versions []int64) string {
	if len(versions) == 0 {
		return "none"
	}
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}
