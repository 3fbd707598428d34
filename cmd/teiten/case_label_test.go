package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
)

// TestCaseLinesHaveALabel: what the commands print of a case has its TLP label, or
// the one that the configuration gives to all others.
func TestCaseLinesHaveALabel(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	db, err := casedb.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.SQL().Exec(`with o as (insert into owner (key, name, country, language, created_at) values ('k', 'Example', 'JP', 'ja', now()) returning id)
		insert into cases (number, owner_id, kind, state, language, created_at, updated_at, tlp)
		select 'TT-2026-00000' || n, o.id, 'infected', case n when 1 then 'new' else 'closed' end, 'ja', now(), now(), case n when 1 then 'TLP:RED' else '' end
		from o, generate_series(1, 2) n`); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		var out, said bytes.Buffer
		p := &program{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said}
		if code := p.run(t.Context(), append(args, "--set", "database.url="+url, "--set", "mail.tlp=TLP:GREEN")); code != exitOK {
			t.Fatalf("%v: exit %d, %s", args, code, said.String())
		}
		return out.String()
	}
	want := map[string]string{"TT-2026-000001": "TLP:RED", "TT-2026-000002": "TLP:GREEN"}
	lines := strings.Split(strings.TrimSpace(run("case", "list", "--format", "jsonl")), "\n")
	for number := range want {
		lines = append(lines, run("case", "show", number, "--format", "json"))
	}
	for _, line := range lines {
		var c struct{ Number, TLP string }
		if err := json.Unmarshal([]byte(line), &c); err != nil || c.TLP != want[c.Number] || c.TLP == "" {
			t.Errorf("case %s is %q, want %q (%v)", c.Number, c.TLP, want[c.Number], err)
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines", len(lines))
	}
}
