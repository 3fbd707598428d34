package migrations_test

import (
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"teiten/migrations"
)

var fileName = regexp.MustCompile(`^\d{4}_[a-z0-9_]+\.sql$`)

// orderOf returns the names in the text of the file ORDER.
func orderOf(text string) (names []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	return names
}

// ORDER lists the migrations as they came; their numbers only grow. Two branches
// that add one meet in its last line when they are merged.
func TestNumbersOnlyGrow(t *testing.T) {
	text, err := os.ReadFile("ORDER")
	if err != nil {
		t.Fatal(err)
	}
	order := orderOf(string(text))
	if len(order) == 0 || order[0] != "0100_schema.sql" {
		t.Fatalf("the first migration of ORDER must be 0100_schema.sql: %q", order)
	}
	for i, name := range order {
		if !fileName.MatchString(name) {
			t.Errorf("%s: a migration is named like 0101_what_it_does.sql", name)
		}
		if i > 0 && order[i-1][:4] >= name[:4] {
			t.Errorf("%s comes after %s: it needs a greater number", name, order[i-1])
		}
	}
	files, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !slices.Contains(order, name) {
			t.Errorf("%s is not in ORDER: add it as the last line, with a number greater than that of %s", name, order[len(order)-1])
		}
	}
	for _, name := range order {
		if !slices.Contains(files, name) {
			t.Errorf("%s is in ORDER but there is no such file", name)
		}
	}
}

// What main once had as ORDER is the beginning of what it has now: nothing was
// put in between or taken away. Only git knows; without its history the test is
// left out.
func TestOrderIsAppendOnly(t *testing.T) {
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", args...).Output()
		if err != nil {
			t.Skipf("no history to compare with: git %s: %v", args[0], err)
		}
		return string(out)
	}
	text, err := os.ReadFile("ORDER")
	if err != nil {
		t.Fatal(err)
	}
	order := orderOf(string(text))
	// Commits that took the file away, if there are any, have nothing to compare.
	for commit := range strings.FieldsSeq(git("log", "--first-parent", "--diff-filter=AM", "--format=%H", "--", "ORDER")) {
		then := orderOf(git("show", commit+":./ORDER"))
		if len(then) > len(order) || !slices.Equal(then, order[:len(then)]) {
			t.Errorf("commit %.12s had the migrations %q, now they are %q: give what is new the greatest number, as the last line", commit, then, order)
		}
	}
}

// Migrations lead forward only, each in its transaction.
func TestForwardOnly(t *testing.T) {
	for _, pattern := range []string{"*.sql", "carry/*.sql"} {
		files, err := fs.Glob(migrations.Files(), pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := fs.ReadFile(migrations.Files(), name)
			if err != nil {
				t.Fatal(err)
			}
			if pattern == "*.sql" && !strings.HasPrefix(string(text), "-- +goose Up\n") {
				t.Errorf("%s does not begin with -- +goose Up", name)
			}
			for _, word := range []string{"+goose Down", "NO TRANSACTION", "ENVSUB"} {
				if strings.Contains(string(text), word) {
					t.Errorf("%s holds %q", name, word)
				}
			}
		}
	}
}
