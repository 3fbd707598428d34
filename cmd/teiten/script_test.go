package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"teiten/internal/pgtest"
	"teiten/internal/synth"
)

// TestScripts pins each command's help, output and errors. Scripts whose name
// begins with db_ get a database of their own.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			bin := filepath.Join(env.WorkDir, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			if err := os.Symlink(os.Args[0], filepath.Join(bin, "teiten")); err != nil {
				return err
			}
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv(beTeiten, "1")
			if tb, ok := env.T().(testing.TB); ok && strings.HasPrefix(filepath.Base(env.WorkDir), "script-db_") {
				env.Setenv("TEITEN_DATABASE_URL", pgtest.New(tb))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// sample FILE writes the sample capture, begun on 2026-01-15.
			"sample": func(ts *testscript.TestScript, neg bool, args []string) {
				f, err := os.Create(ts.MkAbs(args[0]))
				ts.Check(err)
				ts.Check(synth.WriteSample(f, time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC), 1))
				ts.Check(f.Close())
			},
			// truncate FILE N cuts the file's last N bytes.
			"truncate": func(ts *testscript.TestScript, neg bool, args []string) {
				b := []byte(ts.ReadFile(args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), b[:len(b)-len(args[1])], 0o644))
			},
		},
	})
}
