package casedb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/casedb"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	db, ctx := openTest(t), context.Background()
	u, err := db.CreateUser(ctx, casedb.User{Name: " Taro@Desk.example ", DisplayName: "太郎", PasswordHash: "h", Role: casedb.RoleViewer, Language: "ja"}, noon)
	if err != nil || u.Name != "taro@desk.example" || u.ID == 0 || !u.CreatedAt.Equal(noon) {
		t.Fatalf("create: got %+v, %v", u, err)
	}
	if u.MayChange() || u.Label() != "太郎" {
		t.Error("a viewer may change things, or has no label")
	}
	if _, err := db.CreateUser(ctx, casedb.User{Name: "TARO@desk.example", PasswordHash: "h", Role: casedb.RoleViewer, Language: "ja"}, noon); !errors.Is(err, casedb.ErrConflict) {
		t.Errorf("the same name: got %v", err)
	}
	for _, bad := range []string{"", " ", "a b", "a\nb", "<a>", strings.Repeat("a", 65)} {
		if _, err := db.CreateUser(ctx, casedb.User{Name: bad, PasswordHash: "h", Role: casedb.RoleViewer, Language: "ja"}, noon); err == nil {
			t.Errorf("name %q passes", bad)
		}
	}
	for op, err := range map[string]error{
		"password": db.SetPassword(ctx, "TARO@desk.example", "h2"), "role": db.SetUserRole(ctx, "taro@desk.example", casedb.RoleCoordinator),
		"language": db.SetUserLanguage(ctx, u.ID, "en"), "login": db.RecordLogin(ctx, u.ID, noon.Add(time.Hour)),
	} {
		if err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	u, err = db.UserByName(ctx, "Taro@desk.example")
	if err != nil || u.PasswordHash != "h2" || u.Role != casedb.RoleCoordinator || u.Language != "en" || u.LastLoginAt == nil || !u.MayChange() {
		t.Errorf("changed: got %+v, %v", u, err)
	}
	if n, err := db.CountUsers(ctx); n != 1 || err != nil {
		t.Errorf("count: got %d, %v", n, err)
	}
	if err := db.DisableUser(ctx, "taro@desk.example", noon); err != nil {
		t.Fatal(err)
	}
	if err := db.DisableUser(ctx, "taro@desk.example", noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if u, err = db.User(ctx, u.ID); err != nil || u.DisabledAt == nil || !u.DisabledAt.Equal(noon) || u.MayChange() {
		t.Errorf("disabled: got %+v, %v", u, err)
	}
	if n, _ := db.CountUsers(ctx); n != 0 {
		t.Errorf("count without the disabled: got %d", n)
	}
	if list, err := db.ListUsers(ctx, 10); err != nil || len(list) != 1 {
		t.Errorf("list: got %d, %v", len(list), err)
	}
	for op, err := range map[string]error{"enable": db.EnableUser(ctx, "nobody"), "disable": db.DisableUser(ctx, "nobody", noon),
		"password": db.SetPassword(ctx, "nobody", "x"), "login": db.RecordLogin(ctx, 999, noon)} {
		if !errors.Is(err, casedb.ErrNotFound) {
			t.Errorf("%s of nobody: got %v", op, err)
		}
	}
	if _, err := db.UserByName(ctx, "x\x00'"); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("a hostile name: got %v", err)
	}
	var roles []string
	for _, r := range casedb.Roles {
		roles = append(roles, string(r))
	}
	if def := constraint(t, db, "users", "role"); !sameWords(def, roles) {
		t.Errorf("roles: %v against %s", roles, def)
	}
}

// constraint returns the CHECK constraint of a column.
func constraint(t *testing.T, db *casedb.DB, table, column string) string {
	t.Helper()
	var def string
	err := db.SQL().QueryRow(`select pg_get_constraintdef(c.oid) from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
		where c.conrelid = $1::regclass and a.attname = $2 and c.contype = 'c'`, table, column).Scan(&def)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func sameWords(def string, want []string) bool {
	return strings.Count(def, "'")/2 == len(want) && !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(def, "'"+w+"'") })
}

func TestSessions(t *testing.T) {
	t.Parallel()
	db, ctx := openTest(t), context.Background()
	digest := bytes.Repeat([]byte{7}, 32)
	if _, found, err := db.FindSession(ctx, digest, noon); found || err != nil {
		t.Errorf("before: got %v, %v", found, err)
	}
	for _, data := range []string{"one", "two"} {
		if err := db.CommitSession(ctx, digest, []byte(data), noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if data, found, err := db.FindSession(ctx, digest, noon); !found || err != nil || string(data) != "two" {
		t.Errorf("got %q, %v, %v", data, found, err)
	}
	if _, found, _ := db.FindSession(ctx, digest, noon.Add(time.Hour)); found {
		t.Error("an expired session is found")
	}
	if err := db.CommitSession(ctx, []byte("other"), nil, noon.Add(2*time.Hour)); err == nil {
		t.Error("a session without data")
	}
	if n, err := db.ExpireSessions(ctx, noon, 10); n != 0 || err != nil {
		t.Errorf("expire early: got %d, %v", n, err)
	}
	if n, err := db.ExpireSessions(ctx, noon.Add(time.Hour), 10); n != 1 || err != nil {
		t.Errorf("expire: got %d, %v", n, err)
	}
	if err := db.DeleteSession(ctx, digest); err != nil {
		t.Errorf("delete what is gone: %v", err)
	}
}

// manyCases writes n cases of all states, kinds and reasons to wait.
func manyCases(t *testing.T, db *casedb.DB, n int) []casedb.Case {
	t.Helper()
	seed(t, db, 1)
	var cases []casedb.Case
	for i := range n {
		c := casedb.Case{Number: fmt.Sprintf("TT-2026-%06d", i+1), State: casedb.CaseStates[i%len(casedb.CaseStates)], Kind: casedb.Kinds[i%3],
			UpdatedAt: noon.Add(time.Duration(i%7) * time.Hour)}
		if c.State.Live() && i%2 == 0 {
			c.Waiting = casedb.WaitingReasons[i%len(casedb.WaitingReasons)]
			since := noon.Add(-time.Duration(i%5) * time.Hour)
			c.WaitingSince = &since
		}
		// An owner each, because of one live case per owner and kind.
		exec(t, db, `insert into owner (key, name, created_at) values ($1, $2, $3)`, "many:"+c.Number, fmt.Sprintf("Owner %d of many", i), noon)
		exec(t, db, `insert into cases (number, owner_id, kind, state, waiting, waiting_since, language, created_at, updated_at)
			select $1, max(id), $2, $3, $4, $5, 'ja', $6, $6 from owner`, c.Number, c.Kind, c.State, c.Waiting, c.WaitingSince, c.UpdatedAt)
		cases = append(cases, c)
	}
	exec(t, db, `insert into case_number values (2026, $1)`, n)
	return cases
}

// TestCaseListPagesShowEachCaseOnce walks lists of every filter forwards and
// back, in pages of every size.
func TestCaseListPagesShowEachCaseOnce(t *testing.T) {
	t.Parallel()
	db, ctx := openTest(t), context.Background()
	cases := manyCases(t, db, 60)
	rapid.Check(t, func(t *rapid.T) {
		f := casedb.CaseFilter{
			OnlyWaiting: rapid.Bool().Draw(t, "waiting"),
			Waiting:     rapid.SampledFrom(append([]casedb.Waiting{""}, casedb.WaitingReasons...)).Draw(t, "reason"),
			State:       rapid.SampledFrom(append([]casedb.CaseState{""}, casedb.CaseStates...)).Draw(t, "state"),
			Kind:        rapid.SampledFrom(append([]casedb.Kind{""}, casedb.Kinds...)).Draw(t, "kind"),
			Text:        rapid.SampledFrom([]string{"", "of many", "OWNER 1", "Owner 17 of many", "nobody"}).Draw(t, "text"),
		}
		size := rapid.IntRange(1, 20).Draw(t, "size")
		var want []string
		for i, c := range cases {
			name := strings.ToLower(fmt.Sprintf("Owner %d of many", i))
			if (f.Queue() && c.Waiting == "") || (f.Waiting != "" && c.Waiting != f.Waiting) || (f.State != "" && c.State != f.State) ||
				(f.Kind != "" && c.Kind != f.Kind) || !strings.Contains(name, strings.ToLower(f.Text)) {
				continue
			}
			want = append(want, c.Number)
		}
		var got []string
		var rows []casedb.CaseRow
		var from casedb.CaseCursor
		for {
			list, err := db.ListCases(ctx, f, from, false, size)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, list.Rows...)
			if !list.More {
				break
			}
			from = list.Rows[len(list.Rows)-1].Cursor(f)
		}
		for i, r := range rows {
			got = append(got, r.Number)
			if i == 0 {
				continue
			}
			a, b := rows[i-1], r
			if f.Queue() && (a.WaitingSince.After(*b.WaitingSince) || (a.WaitingSince.Equal(*b.WaitingSince) && a.ID >= b.ID)) ||
				!f.Queue() && (a.UpdatedAt.Before(b.UpdatedAt) || (a.UpdatedAt.Equal(b.UpdatedAt) && a.ID <= b.ID)) {
				t.Fatalf("%s before %s", a.Number, b.Number)
			}
		}
		back := slices.Clone(got)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: got %v, want %v", f, got, want)
		}
		// Back from the last row.
		if len(rows) > 1 {
			last := rows[len(rows)-1].Cursor(f)
			list, err := db.ListCases(ctx, f, last, true, size)
			if err != nil {
				t.Fatal(err)
			}
			n := min(size, len(rows)-1)
			for i, r := range list.Rows {
				if r.Number != back[len(rows)-1-n+i] {
					t.Fatalf("back: row %d is %s, want %s", i, r.Number, back[len(rows)-1-n+i])
				}
			}
			if len(list.Rows) != n || list.More != (len(rows)-1 > size) {
				t.Fatalf("back: %d rows, more %v", len(list.Rows), list.More)
			}
		}
	})
}

func TestCaseSearch(t *testing.T) {
	t.Parallel()
	db, ctx := openTest(t), context.Background()
	manyCases(t, db, 12)
	exec(t, db, `insert into case_source (case_id, source, verdict_id, joined_at) select id, '192.0.2.1', 1, $1 from cases where number = 'TT-2026-000005'`, noon)
	for text, want := range map[string]string{"TT-2026-000003": "TT-2026-000003", "tt-2026-000003": "TT-2026-000003", "[TT-2026-000003]": "TT-2026-000003",
		"3": "TT-2026-000003", "000003": "TT-2026-000003", "192.0.2.1": "TT-2026-000005", "::ffff:192.0.2.1": "TT-2026-000005",
		"192.0.2.0/25": "TT-2026-000005", "192.0.2.128/25": "", "2001:db8::1": "", "TT-": "", "0": "", "1234567890": "", "' or 1=1": "", "%": "", "_": "",
		"Owner 11 of": "TT-2026-000012"} {
		list, err := db.ListCases(ctx, casedb.CaseFilter{Text: text}, casedb.CaseCursor{}, false, 50)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for _, r := range list.Rows {
			got = append(got, r.Number)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, want %q", text, got, want)
		}
	}
	counts, err := db.CountWaiting(ctx)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	if list, _ := db.ListCases(ctx, casedb.CaseFilter{OnlyWaiting: true}, casedb.CaseCursor{}, false, 50); len(list.Rows) != total || total == 0 {
		t.Errorf("waiting: counted %d, listed %d", total, len(list.Rows))
	}
}

func TestTimelineFoldsJoinedSources(t *testing.T) {
	t.Parallel()
	db, ctx := openTest(t), context.Background()
	_, sources := seed(t, db, 20)
	c, _, _ := openCase(t, db, sources[:12])
	for i := range 30 {
		if err := db.InTx(ctx, func(tx *casedb.Tx) error {
			locked, err := tx.LockCase(ctx, c.ID)
			if err != nil {
				return err
			}
			return tx.NoteCase(ctx, &locked, "taro", fmt.Sprintf("note %d", i), noon.Add(time.Duration(i+1)*time.Minute))
		}); err != nil {
			t.Fatal(err)
		}
	}
	openCase(t, db, sources[12:])
	var all []casedb.TimelineEvent
	for before := int64(0); ; {
		lines, more, err := db.Timeline(ctx, c.ID, before, 7)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lines...)
		if !more {
			break
		}
		before = lines[len(lines)-1].ID
	}
	notes, joined := 0, 0
	for i, l := range all {
		if i > 0 && l.ID >= all[i-1].ID {
			t.Fatalf("line %d is not older", i)
		}
		switch l.Kind {
		case casedb.EventNote:
			notes++
		case casedb.EventSourceJoined:
			joined += l.Data.V.Count
		}
	}
	if notes != 30 || joined != 20 {
		t.Errorf("got %d notes and %d sources", notes, joined)
	}
	if last := all[len(all)-1]; last.Kind != casedb.EventOpened {
		t.Errorf("the oldest line is %s", last.Kind)
	}
	rows, err := db.CaseSourceRows(ctx, c.ID, sources[4].Source, 100)
	if err != nil || len(rows) != 15 || rows[0].Source != sources[5].Source || rows[0].CurrentKind != casedb.KindInfected {
		t.Errorf("sources behind the fifth: got %d, %v", len(rows), err)
	}
	page, err := db.CasePage(ctx, c.Number)
	if err != nil || page.Sources != 20 || page.Contact == nil || page.Owner.Name != "Example" {
		t.Errorf("page: got %+v, %v", page, err)
	}
	if _, err := db.CasePage(ctx, "TT-1999-000001\x00"); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("no case: got %v", err)
	}
}

func TestSourceLists(t *testing.T) {
	t.Parallel()
	db, ctx := openTest(t), context.Background()
	seed(t, db, 25)
	exec(t, db, `update verdict set ports = '{23/TCP,2323/TCP}', tool = 'zmap', kind = 'scanner' where id % 5 = 0`)
	exec(t, db, `update verdict set last_at = last_at + id % 3 * interval '1 hour'`)
	for _, test := range []struct {
		f    casedb.SourceFilter
		want int
	}{
		{casedb.SourceFilter{}, 25}, {casedb.SourceFilter{Kind: casedb.KindScanner}, 5}, {casedb.SourceFilter{Tool: "zmap"}, 5},
		{casedb.SourceFilter{Port: "2323/TCP"}, 5}, {casedb.SourceFilter{Port: "2323/TCP", Kind: casedb.KindInfected}, 0},
		{casedb.SourceFilter{Prefix: netip.MustParsePrefix("192.0.2.0/29")}, 7}, {casedb.SourceFilter{Port: "x\x00"}, 0},
	} {
		seen := map[string]bool{}
		var after casedb.SourceCursor
		for {
			rows, more, err := db.ListSources(ctx, test.f, after, 4)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if seen[r.Source.String()] {
					t.Errorf("%+v: %s twice", test.f, r.Source)
				}
				seen[r.Source.String()] = true
			}
			if !more {
				break
			}
			last := rows[len(rows)-1]
			after = casedb.SourceCursor{Last: last.Last, ID: last.ID, Source: last.Source}
		}
		if len(seen) != test.want {
			t.Errorf("%+v: got %d, want %d", test.f, len(seen), test.want)
		}
	}
	page, err := db.SourcePage(ctx, netip.MustParseAddr("192.0.2.5"))
	if err != nil || len(page.Verdicts) != 1 || page.Network != nil || page.Owner != nil {
		t.Errorf("page: got %+v, %v", page, err)
	}
	if _, err := db.SourcePage(ctx, netip.MustParseAddr("203.0.113.9")); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("no source: got %v", err)
	}
	if last, err := db.LastPacket(ctx, nil); err != nil || !last.IsZero() {
		t.Errorf("last packet of nobody: got %v, %v", last, err)
	}
	if hours, err := db.PacketHours(ctx, []netip.Addr{netip.MustParseAddr("192.0.2.5")}, noon, noon.Add(time.Hour)); err != nil || len(hours) != 0 {
		t.Errorf("hours: got %v, %v", hours, err)
	}
}
