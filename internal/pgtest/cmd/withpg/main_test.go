package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"teiten/internal/pgtest"
)

func TestCommandGetsTheServerAndItsExitCodeIsOurs(t *testing.T) {
	t.Setenv(pgtest.URLVariable, "")
	if err := os.Unsetenv(pgtest.URLVariable); err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(t.TempDir(), "seen")
	if got := run([]string{"sh", "-c", `echo "$TEITEN_TEST_DATABASE_URL" >"$0"; exit 3`, seen}); got != 3 {
		t.Errorf("got exit code %d, want the command's 3", got)
	}
	address, err := os.ReadFile(seen)
	if err != nil || !strings.HasPrefix(string(address), "postgres://") {
		t.Errorf("got %q and %v, want the server's URL", address, err)
	}
}

func TestGivenServerIsUsed(t *testing.T) {
	t.Setenv(pgtest.URLVariable, "postgres://elsewhere.example/")
	if got := run([]string{"sh", "-c", `test "$TEITEN_TEST_DATABASE_URL" = postgres://elsewhere.example/`}); got != 0 {
		t.Errorf("got exit code %d, want 0", got)
	}
}

func TestSignalOfTheCommandShowsInTheExitCode(t *testing.T) {
	t.Setenv(pgtest.URLVariable, "postgres://elsewhere.example/")
	if got := run([]string{"sh", "-c", "kill -TERM $$"}); got != 128+15 {
		t.Errorf("got exit code %d, want 143", got)
	}
}

func TestNoCommandIsWrongUsage(t *testing.T) {
	if got := run(nil); got != 2 {
		t.Errorf("got exit code %d, want 2", got)
	}
}
