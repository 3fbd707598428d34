package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// SensorBatch stores a batch that a sensor sent, each wholly or not at all and once,
// by the same way as those of files. name and digest are the sensor's name for it and
// the SHA-256 of its file. A batch without observations is noted, too: the sensor
// listened. It is right to call it again after an error, or for a batch that is there.
func SensorBatch(ctx context.Context, db *casedb.DB, sensor casedb.Sensor, b *observation.Batch, name, program string, digest []byte, opt Options) error {
	now := opt.Now()
	if b.Keys > 0 {
		run := casedb.Arrivals{Overlap: opt.Overlap, CountryData: opt.CountryData}
		if b.Seq > 0 || b.Partial {
			run.Overlap = casedb.OverlapKeep // parts of one window share no packet
		}
		w := &writer{i: &importer{opt: opt}}
		w.assignCountries(b)
		if _, err := db.PutBatch(ctx, b, &run, now); err != nil {
			return err
		}
	}
	facts, err := json.Marshal(b.Facts)
	if err != nil {
		return fmt.Errorf("facts of batch %s: %w", name, err)
	}
	noted := casedb.SensorBatch{Sensor: sensor.ID, Name: name, Digest: digest, Window: b.Window, Seconds: int(b.Length / time.Second), Packets: b.Packets, Copies: b.Copies,
		Program: program, Facts: facts}
	var from, to time.Time
	if b.Facts != nil {
		noted.Dropped, from, to = b.Facts.Dropped, b.Facts.From, b.Facts.To
	}
	return db.NoteSensorBatch(ctx, noted, from, to, now)
}
