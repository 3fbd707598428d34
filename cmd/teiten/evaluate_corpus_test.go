package main_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"teiten/internal/evaluation"
)

// TestExpectationsNameNobody: the expectations speak of real captures, so no
// public address may stand in them.
func TestExpectationsNameNobody(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "docs", "evaluation", "*.tsv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no expectations: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evaluation.ReadExpectations(strings.NewReader(string(text))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, word := range strings.Fields(string(text)) {
			a, err := netip.ParseAddr(strings.Trim(word, ".,;:"))
			if err == nil && !a.IsPrivate() && !a.IsMulticast() && !netip.MustParsePrefix("192.0.2.0/24").Contains(a) {
				t.Errorf("%s: a public address: %s", file, a)
			}
		}
	}
}
