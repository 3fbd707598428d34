package localpg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldestMajor is the first PostgreSQL with CREATE DATABASE ... STRATEGY and all else that teiten uses.
const oldestMajor = 15

// debianBins is where Debian keeps each major version's programs.
const debianBins = "/usr/lib/postgresql/*/bin"

// binaries is a folder that holds one version's initdb, postgres and psql.
type binaries struct{ dir string }

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// findBinaries returns the configured folder, else the Debian folder of the version that made dataDir, else the
// newest Debian folder, else the folder of the postgres in PATH.
func findBinaries(configured, dataDir string) (binaries, error) {
	if configured != "" {
		b := binaries{configured}
		if !b.complete() {
			return b, fmt.Errorf("%s holds no initdb, postgres and psql: %w", configured, ErrNoBinaries)
		}
		return b, nil
	}
	madeBy, err := os.ReadFile(filepath.Join(dataDir, "PG_VERSION"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return binaries{}, fmt.Errorf("read the version of the data folder: %w", err)
	}
	want := strings.TrimSpace(string(madeBy))
	found := installed()
	if want == "" {
		if len(found) == 0 {
			return binaries{}, ErrNoBinaries
		}
		return found[0].binaries, nil
	}
	for _, f := range found {
		if f.major == 0 || strconv.Itoa(f.major) == want {
			return f.binaries, nil
		}
	}
	return binaries{}, fmt.Errorf("%s was made by PostgreSQL %s, which is not installed: "+
		"`apt-get install --no-install-recommends postgresql-%s`, or move the data to a newer version as docs/operations.md says",
		dataDir, want, want)
}

// candidate is a usable folder and its major version, 0 when the folder's name does not tell.
type candidate struct {
	binaries
	major int
}

// installed lists usable folders, the preferred one first.
func installed() []candidate {
	var found []candidate
	dirs, _ := filepath.Glob(debianBins) // the only error is a bad pattern
	for _, dir := range dirs {
		major, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		b := binaries{dir}
		if err == nil && major >= oldestMajor && b.complete() {
			found = append(found, candidate{b, major})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return b.major - a.major })
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			b := binaries{filepath.Dir(path)}
			known := slices.ContainsFunc(found, func(c candidate) bool { return c.dir == b.dir })
			if !known && b.complete() {
				found = append(found, candidate{b, 0})
			}
		}
	}
	return found
}

// complete reports whether the folder holds every program this package runs.
func (b binaries) complete() bool {
	for _, program := range []string{"initdb", "postgres", "psql"} {
		if info, err := os.Stat(b.path(program)); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}
