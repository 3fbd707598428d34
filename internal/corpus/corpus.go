// Package corpus gives tests inputs and what is known of them: a made-up
// miniature that every checkout can make, and the corpus of real captures,
// answers and mails where there is one, which is no part of the repository.
package corpus

import (
	"os"
	"path/filepath"
	"testing"

	"teiten/internal/synth"
)

// Corpus is a folder of inputs.
type Corpus struct {
	Dir    string
	MadeUp bool // the miniature, not real input
}

// Each runs the test on the folder of the made-up corpus with that name, and on
// the one of the real corpus if TEITEN_CORPUS (../shared/data beside the
// checkout where it is not set) has it. The miniature is used in any case, so
// that its expectations stay true where there is a real corpus, too.
func Each(t *testing.T, name string, test func(t *testing.T, c Corpus)) {
	t.Helper()
	made := t.TempDir()
	if err := synth.WriteCorpus(made); err != nil {
		t.Fatal(err)
	}
	t.Run("made up", func(t *testing.T) { test(t, Corpus{Dir: filepath.Join(made, name), MadeUp: true}) })
	genuine := filepath.Join(root(t), name)
	if _, err := os.Stat(genuine); err != nil {
		t.Logf("no corpus of real input: %v (TEITEN_CORPUS names its folder)", err)
		return
	}
	t.Run("real", func(t *testing.T) { test(t, Corpus{Dir: genuine}) })
}

// root is the folder that the corpus of real input is or would be in.
func root(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("TEITEN_CORPUS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "data")
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}
