package cell_test

import (
	"strings"
	"testing"

	"teiten/internal/cell"
)

func TestNeutralise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                    "",
		"Example Internet":    "Example Internet",
		"=1+1":                "'=1+1",
		"+81-3-0000-0000":     "'+81-3-0000-0000",
		"-1":                  "'-1",
		"@SUM(A1)":            "'@SUM(A1)",
		"\t=1":                "'\t=1",
		"\r=1":                "'\r=1",
		"\n=1":                "'\n=1",
		"＝1":                  "'＝1",
		"'=1":                 "''=1",
		"'quoted'":            "'quoted'",
		"|cmd":                "'|cmd",
		"%x":                  "'%x",
		"a=1":                 "a=1",
		"noc@example.net":     "noc@example.net",
		"\xff":                "\xff",
		"198.51.100.0/24":     "198.51.100.0/24",
		"2026-11-19 00:00:00": "2026-11-19 00:00:00",
	} {
		if got := cell.Neutralise(in); got != want {
			t.Errorf("Neutralise(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRestoreLeavesOrdinaryApostrophes(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"'", "''", "'s-Hertogenbosch", "'quoted'", "=1"} {
		if got := cell.Restore(s); got != s {
			t.Errorf("Restore(%q) = %q, want it unchanged", s, got)
		}
	}
}

func FuzzRestoreUndoesNeutralise(f *testing.F) {
	for _, s := range []string{"", "=1", "'=1", "''@", "'", "＝", "\xef\xbc", "\r\n", "'s-Hertogenbosch"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		safe := cell.Neutralise(s)
		if safe != "" && strings.ContainsRune("=+-@|%\t\r\n＝＋－＠", []rune(safe)[0]) {
			t.Errorf("Neutralise(%q) = %q begins like a formula", s, safe)
		}
		if got := cell.Restore(safe); got != s {
			t.Errorf("Restore(Neutralise(%q)) = %q", s, got)
		}
	})
}
