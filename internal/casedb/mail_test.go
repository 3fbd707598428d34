package casedb_test

import (
	"database/sql"
	"regexp"
	"slices"
	"testing"

	_ "github.com/lib/pq"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
)

// TestMailStatesAreTheSchemas compares the typed strings with the CHECK
// constraints.
func TestMailStatesAreTheSchemas(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("postgres", pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, test := range []struct {
		table, column string
		want          []string
	}{
		{"message", "state", words(casedb.MessageHeld, casedb.MessageQueued, casedb.MessageSent, casedb.MessageBounced, casedb.MessageCanceled, casedb.MessageFailed)},
		{"message", "purpose", words(casedb.PurposeNotification, casedb.PurposeAnswer, casedb.PurposeConfirmation, casedb.PurposeDecision, casedb.PurposeDigest)},
		{"message_attempt", "outcome", words(casedb.AttemptDelivering, casedb.AttemptSent, casedb.AttemptTemporary, casedb.AttemptPermanent, casedb.AttemptUnknown)},
		{"inbound", "state", words(casedb.InboundReceived, casedb.InboundProcessed, casedb.InboundFailed, casedb.InboundPurged)},
		{"inbound", "class", append(words(casedb.InboundBounce, casedb.InboundDelay, casedb.InboundAutoReply, casedb.InboundFeedback, casedb.InboundChallenge, casedb.InboundHuman), "")},
	} {
		var definition string
		err := db.QueryRowContext(t.Context(), `select pg_get_constraintdef(oid) from pg_constraint where conname = $1`,
			test.table+"_"+test.column+"_check").Scan(&definition)
		if err != nil {
			t.Fatalf("%s.%s: %v", test.table, test.column, err)
		}
		var got []string
		for _, m := range regexp.MustCompile(`'([^']*)'::text`).FindAllStringSubmatch(definition, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s.%s: the schema has %q, the code %q", test.table, test.column, got, test.want)
		}
	}
}

func words[T ~string](values ...T) []string {
	var s []string
	for _, v := range values {
		s = append(s, string(v))
	}
	return s
}
