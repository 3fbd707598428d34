package casedb_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"teiten/internal/casedb"
)

// TestFindingsOfManyAtOnce: people who record at once neither lose nor double a
// finding, and one is corrected once.
func TestFindingsOfManyAtOnce(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 1)
	c, _, _ := openCase(t, db, sources)
	// together lets eight act at once on a case as they saw it, and those who were
	// too late again until they were not; it returns what came of it.
	together := func(f casedb.Finding) (done, stale, conflicts int) {
		t.Helper()
		var mu sync.Mutex // guards the counts
		var wg sync.WaitGroup
		seen, err := db.Case(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			wg.Go(func() {
				for version := seen.Version; ; {
					err := db.InTx(t.Context(), func(tx *casedb.Tx) error {
						_, err := tx.AddFinding(t.Context(), version, f, "taro", noon)
						return err
					})
					mu.Lock()
					switch {
					case err == nil:
						done++
					case errors.Is(err, casedb.ErrConflict):
						conflicts++
					case errors.Is(err, casedb.ErrStale):
						stale++
					default:
						t.Error(err)
					}
					mu.Unlock()
					if !errors.Is(err, casedb.ErrStale) {
						return
					}
					again, err := db.Case(t.Context(), c.ID)
					if err != nil {
						t.Error(err)
						return
					}
					version = again.Version
				}
			})
		}
		wg.Wait()
		return done, stale, conflicts
	}
	inForce := func() []casedb.Finding {
		t.Helper()
		list, err := db.CaseFindings(t.Context(), c.ID, 100)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if done, stale, _ := together(casedb.Finding{CaseID: c.ID, Result: "infected"}); done != 8 || stale < 7 || len(inForce()) != 8 {
		t.Errorf("%d done, %d too late, %d in force", done, stale, len(inForce()))
	}
	first := inForce()[7].ID
	if done, _, conflicts := together(casedb.Finding{CaseID: c.ID, Result: "nothing", Replaces: &first}); done != 1 || conflicts != 7 || len(inForce()) != 8 {
		t.Errorf("%d corrected, %d told so, %d in force", done, conflicts, len(inForce()))
	}
	corrected := inForce()[0]
	if corrected.Result != "nothing" {
		t.Fatalf("%+v", corrected)
	}
	if done, _, conflicts := together(casedb.Finding{CaseID: c.ID, Withdrawn: true, Replaces: &corrected.ID}); done != 1 || conflicts != 7 || len(inForce()) != 7 {
		t.Errorf("%d withdrawn, %d told so, %d in force", done, conflicts, len(inForce()))
	}
	counts, err := db.CountFindings(t.Context(), noon, noon.AddDate(0, 0, 1))
	if err != nil || len(counts) == 0 || counts[0].Findings != 7 || counts[0].Cases != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// TestFindingsAreChecked: a finding that is in no list, belongs to another case,
// or cannot be stored is refused.
func TestFindingsAreChecked(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, sources := seed(t, db, 2)
	c, _, _ := openCase(t, db, sources[:1])
	add := func(f casedb.Finding) (casedb.Finding, error) {
		t.Helper()
		seen, err := db.Case(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		f.CaseID = c.ID
		err = db.InTx(t.Context(), func(tx *casedb.Tx) (err error) {
			f, err = tx.AddFinding(t.Context(), seen.Version, f, "taro", noon)
			return err
		})
		return f, err
	}
	none := int64(99)
	for name, tt := range map[string]struct {
		f    casedb.Finding
		want error
	}{
		"no result":          {casedb.Finding{}, casedb.ErrState},
		"another device":     {casedb.Finding{Result: "infected", Device: "toaster"}, casedb.ErrState},
		"another action":     {casedb.Finding{Result: "infected", Actions: []string{"burnt"}}, casedb.ErrState},
		"another's source":   {casedb.Finding{Result: "infected", Source: sources[1].Source}, casedb.ErrNotFound},
		"no mail":            {casedb.Finding{Result: "infected", InboundID: &none}, casedb.ErrNotFound},
		"no finding":         {casedb.Finding{Result: "infected", Replaces: &none}, casedb.ErrNotFound},
		"withdrawal of none": {casedb.Finding{Withdrawn: true}, casedb.ErrState},
	} {
		if _, err := add(tt.f); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	f, err := add(casedb.Finding{Result: "infected", Product: "a\x00\xff\u202eb\n" + strings.Repeat("x", 500), Note: strings.Repeat("語", 5000), Source: sources[0].Source,
		Actions: []string{"patched", "cleaned", "patched"}})
	if err != nil || len(f.Product) > 100 || len(f.Note) > 2000 || len(f.Actions) != 2 || strings.ContainsAny(f.Product, "\x00\n\u202e") {
		t.Fatalf("%+v, %v", f, err)
	}
	gone, err := add(casedb.Finding{Withdrawn: true, Replaces: &f.ID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := add(casedb.Finding{Result: "nothing", Replaces: &gone.ID}); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("a withdrawal was corrected: %v", err)
	}
}

// TestFoundIsReadFromOldEvents: codes are data of an event; before that, its text
// was what there is.
func TestFoundIsReadFromOldEvents(t *testing.T) {
	t.Parallel()
	for _, want := range []casedb.FindingCodes{
		{Result: "nothing"},
		{Result: "infected", Product: "Windows 7", Malware: "WannaCry", Entry: "unpatched", Actions: []string{"cleaned", "patched"}},
		{Result: "misused", Product: "Example; Router", Entry: "weak-password"},
		{Result: "unknown", Actions: []string{"none"}},
	} {
		old := casedb.CaseEvent{Kind: casedb.EventFinding, Text: want.Line()}
		got := old.Found()
		if got == nil || got.Line() != want.Line() || got.Result != want.Result || got.Entry != want.Entry || !slices.Equal(got.Actions, want.Actions) {
			t.Errorf("%q: got %+v, want %+v", old.Text, got, want)
		}
		now := casedb.CaseEvent{Kind: casedb.EventFinding, Data: casedb.JSON[casedb.EventData]{V: casedb.EventData{Finding: &want}}}
		if now.Found() != &want {
			t.Errorf("%q is not read from the data", old.Text)
		}
	}
	for _, e := range []casedb.CaseEvent{{Kind: casedb.EventNote, Text: "infected"}, {Kind: casedb.EventFinding, Text: "something else"}} {
		if e.Found() != nil {
			t.Errorf("%+v is no finding", e)
		}
	}
}
