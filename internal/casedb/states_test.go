package casedb_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"teiten/internal/casedb"
)

var (
	arrow     = regexp.MustCompile(`^\s*(\[\*\]|\w+) --> (\w+): (.+)$`)
	updates   = regexp.MustCompile(`(?i)\bupdate (message|cases)\b([^\x60]*)`)
	setsState = regexp.MustCompile(`\bstate = `)
	quotedSQL = regexp.MustCompile(`'([a-z]+)'`)
)

// drawn reads the arrows of the drawing below a heading of docs/states.md, as
// "old new", and the states of its table.
func drawn(t *testing.T, heading string) (moves, states []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no part %s", heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	for line := range strings.Lines(part) {
		line = strings.TrimRight(line, "\n")
		if m := arrow.FindStringSubmatch(line); m != nil {
			moves = append(moves, strings.TrimSpace(strings.Replace(m[1], "[*]", "", 1)+" "+m[2]))
		} else if strings.Contains(line, "-->") {
			t.Errorf("not an arrow with its cause: %s", line)
		}
		if s, ok := strings.CutPrefix(line, "| `"); ok {
			state, _, _ := strings.Cut(s, "`")
			states = append(states, state)
		}
	}
	slices.Sort(moves)
	slices.Sort(states)
	return moves, states
}

// TestStatesAreDrawn compares docs/states.md with the migrated database, and
// both with the program.
func TestStatesAreDrawn(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	for _, tt := range []struct {
		heading, subject, table string
		known                   []string
	}{
		{"Cases", "case", "cases", states(casedb.CaseStates)},
		{"Messages", "message", "message", states([]casedb.MessageState{casedb.MessageHeld, casedb.MessageQueued, casedb.MessageSent,
			casedb.MessageBounced, casedb.MessageCanceled, casedb.MessageFailed})},
	} {
		moves, described := drawn(t, tt.heading)
		var stored []string
		rows, err := db.SQL().QueryContext(t.Context(), `select trim(old || ' ' || new) from state_move where subject = $1`, tt.subject)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			stored = append(stored, s)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(stored)
		if !slices.Equal(moves, stored) {
			t.Errorf("%s: drawn\n%s\nin the database\n%s", tt.heading, strings.Join(moves, "\n"), strings.Join(stored, "\n"))
		}
		var check string
		if err := db.SQL().QueryRowContext(t.Context(), `select string_agg(pg_get_constraintdef(oid), ' ') from pg_constraint
			where contype = 'c' and conrelid = $1::regclass and pg_get_constraintdef(oid) ~ '\(state = ANY'`, tt.table).Scan(&check); err != nil {
			t.Fatal(err)
		}
		var allowed []string
		for _, m := range quotedSQL.FindAllStringSubmatch(check, -1) {
			allowed = append(allowed, m[1])
		}
		slices.Sort(allowed)
		slices.Sort(tt.known)
		if !slices.Equal(allowed, described) || !slices.Equal(allowed, tt.known) {
			t.Errorf("%s: the database allows %v, described are %v, the program knows %v", tt.heading, allowed, described, tt.known)
		}
		for _, m := range moves {
			for _, s := range strings.Fields(m) {
				if !slices.Contains(allowed, s) {
					t.Errorf("%s: %s is drawn and none", tt.heading, s)
				}
			}
		}
		if tt.subject == "case" {
			for _, from := range casedb.CaseStates {
				for _, to := range casedb.CaseStates {
					if from != to && casedb.MayMove(from, to) != slices.Contains(moves, string(from)+" "+string(to)) {
						t.Errorf("%s to %s: the program and the drawing differ", from, to)
					}
				}
			}
		}
	}
}

// TestOneStatementMovesAState: a second one would be a second idea of what goes
// with a move.
func TestOneStatementMovesAState(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	moves := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range updates.FindAllStringSubmatch(string(b), -1) {
			if set, _, _ := strings.Cut(m[2], "where"); setsState.MatchString(set) {
				moves[m[1]] = append(moves[m[1]], file)
			}
		}
	}
	want := map[string][]string{"message": {"message_move.go"}, "cases": {"case.go"}}
	if !maps.EqualFunc(moves, want, slices.Equal) {
		t.Errorf("states are moved in %v, want %v", moves, want)
	}
}

func states[T ~string](list []T) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// TestTheDatabaseHoldsToTheStates: no statement whatever gets around them.
func TestTheDatabaseHoldsToTheStates(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	c, _, _ := openCase(t, db, sources)
	exec(t, db, `insert into message (case_id, purpose, state, recipient, language, message_id, token, created_at)
		values ($1, 'notification', 'held', 'a@isp.example', 'ja', 'm', 't', now())`, c.ID)
	for _, query := range []string{`update message set state = 'sent'`, `delete from message`, `delete from cases`,
		`update message set state = 'bounced'`} {
		if _, err := db.SQL().ExecContext(t.Context(), query); err == nil {
			t.Errorf("%s went through", query)
		}
	}
	exec(t, db, `update message set state = 'canceled'`)
	if _, err := db.SQL().ExecContext(t.Context(), `update message set state = 'queued'`); err == nil {
		t.Error("a canceled message is due again")
	}
	exec(t, db, `update cases set state = 'closed'`)
	if _, err := db.SQL().ExecContext(t.Context(), `update cases set state = 'notified'`); err == nil {
		t.Error("a closed case became notified")
	}
}
