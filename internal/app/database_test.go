package app_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"teiten/internal/app"
	"teiten/internal/config"
	"teiten/internal/localpg"
)

// TestCommandsDoNotTellOfTheServerTheyJoin: a service does, at its usual level.
func TestCommandsDoNotTellOfTheServerTheyJoin(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "teiten-app-") // t.TempDir is closed to the server's user
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cluster, err := localpg.Start(t.Context(), localpg.Config{DataDir: filepath.Join(dir, "pg"), Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	cfg, err := config.Load("", nil, []string{"database.dir=" + filepath.Join(dir, "pg")})
	if err != nil {
		t.Fatal(err)
	}
	for level, told := range map[slog.Level]bool{slog.LevelDebug: false, slog.LevelInfo: true} {
		var out bytes.Buffer
		_, closeDB, err := app.OpenDatabase(t.Context(), cfg, slog.New(slog.NewTextHandler(&out, nil)), level)
		if err != nil {
			t.Fatal(err)
		}
		if err := closeDB(); err != nil {
			t.Error(err)
		}
		if strings.Contains(out.String(), "another process runs the embedded database") != told {
			t.Errorf("at %s: %s", level, out.String())
		}
	}
}
