// Command writecorpus writes the made-up corpus of the tests into a folder, to
// try commands on: writecorpus var/corpus. A corpus that it
// wrote there before is removed.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"teiten/internal/synth"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: writecorpus FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "writecorpus:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	// Only a folder that this command wrote is removed.
	if _, err := os.Stat(filepath.Join(dir, "pcaps", "made_zmap.pcap")); err == nil {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the old corpus: %w", err)
		}
	}
	return synth.WriteCorpus(dir)
}
