package pgtest_test

import (
	"testing"

	"teiten/internal/pgtest"
)

// BenchmarkNew measures what a database of its own costs a test.
func BenchmarkNew(b *testing.B) {
	pgtest.New(b) // the server and the template
	for b.Loop() {
		pgtest.New(b)
	}
}
