// Package soak keeps long tests out of the run one waits for. A long test is named TestSoak..., begins with Start
// and runs in `make soak` alone; where its behaviour has no other cover a small test stands beside it.
package soak

import (
	"os"
	"testing"
)

// variable is the environment variable that `make soak` sets: "full", or "short" for a run of minutes.
const variable = "TEITEN_SOAK"

// Start skips the test outside `make soak`.
func Start(t testing.TB) {
	t.Helper()
	switch mode := os.Getenv(variable); mode {
	case "full", "short":
	case "":
		t.Skip("a long test: `make soak` runs it")
	default:
		t.Fatalf("%s is %q, want full or short", variable, mode)
	}
}

// Size returns how much a long test does: short in `make soak SHORT=1`, else full.
func Size(short, full int) int {
	if os.Getenv(variable) == "short" {
		return short
	}
	return full
}
