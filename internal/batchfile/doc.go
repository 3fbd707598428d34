// Package batchfile has batches as files: one batch of a sensor as a Parquet file
// with the facts about it in the metadata. It writes them on a sensor, and reads
// them on a hub, where they are hostile input: nothing that a file claims is
// believed before it was counted.
package batchfile

import "teiten/internal/observation"

// About says what a file's rows do not: it is the JSON under the key "teiten.batch"
// of the file's metadata.
type About struct {
	Protocol  int    `json:"protocol"`   // sensorwire.Protocol of the writer
	Sensor    string `json:"sensor"`     // its name
	ID        string `json:"id"`         // sensorwire.BatchID
	CountRule int    `json:"count_rule"` // observation.CountRule
	Program   string `json:"program"`    // version of the writer
	Packets   uint64 `json:"packets"`
	Copies    uint64 `json:"copies"`
	Keys      int    `json:"keys"`
	Partial   bool   `json:"partial,omitempty"`
	Facts     *Facts `json:"facts"`
}

// Facts are observation.Facts as they are written.
type Facts = observation.Facts

// metadataKey is where About stands.
const metadataKey = "teiten.batch"
