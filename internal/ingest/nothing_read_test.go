package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"teiten/capture"
	"teiten/internal/pgtest"
)

// TestNothingReadIsNotKnown imports a capture of a link type that is not read, a
// second time too: both times it fails, and no import says that it is done.
func TestNothingReadIsNotKnown(t *testing.T) {
	t.Parallel()
	db := openImportTest(t, pgtest.New(t))
	raw, err := os.ReadFile(writeCapture(t, 100, 1))
	if err != nil {
		t.Fatal(err)
	}
	raw[20] = 9 // PPP
	file := filepath.Join(t.TempDir(), "ppp.pcap")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := importOnce(t, db, Options{}, file)[0]
		if !errors.Is(r.Err, capture.ErrNothingRead) || r.Known || r.Packets != 100 || r.Written != 0 {
			t.Errorf("%+v", r)
		}
	}
	n := 0
	if err := db.SQL().QueryRowContext(t.Context(), `select count(*) from import`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d imports in the database, %v", n, err)
	}
}
