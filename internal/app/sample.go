package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/synth"
)

// settingSampleStart remembers when the sample began, so that a second start
// loads the same bytes, which the import then recognises.
const settingSampleStart = "sample-start"

// WriteSample writes the sample capture: two days that ended at the last full
// hour when it was first loaded.
func WriteSample(ctx context.Context, db *casedb.DB, dir string, now time.Time) (string, error) {
	start := now.UTC().Truncate(time.Hour).Add(-synth.SampleSpan)
	known, err := db.Setting(ctx, settingSampleStart, &start)
	if err == nil && !known {
		err = db.SetSetting(ctx, settingSampleStart, start, casedb.ActorSystem, "", now)
	}
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := synth.WriteSample(&b, start, 1); err != nil {
		return "", err
	}
	name := filepath.Join(dir, "sample.pcap")
	return name, os.WriteFile(name, b.Bytes(), 0o600)
}
