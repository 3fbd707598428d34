package batchfile

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"teiten/capture/export"
	"teiten/internal/observation"
	"teiten/internal/sensorwire"
)

// row is one observation: the columns of `teiten stats --format parquet`, and what
// judging needs besides. The last two are JSON, as package observation writes it;
// empty if there is nothing.
type row struct {
	export.Row
	Destination  string `parquet:"destination"`
	PeerPorts    int32  `parquet:"peer_ports"`
	Fingerprints string `parquet:"fingerprints"`
	Samples      string `parquet:"samples"`
}

const (
	// groupRows is the largest number of rows of a row group, which the writer holds.
	groupRows = 64 << 10
	// pageBytes is the size at which a page ends: what a reader holds of each column.
	pageBytes  = 256 << 10
	rowsAtOnce = 512
)

// Write writes a batch as a file that Read takes.
func Write(w io.Writer, b *observation.Batch, program string) error {
	if b.Length%time.Second != 0 || b.Length < time.Second || b.Window.Nanosecond() != 0 || b.Sensor == "" || !isName(b.Sensor, 63) || !isName(program, maxName) {
		return fmt.Errorf("write batch: window %s of %s, sensor %.80q, program %.80q", b.Window.Format(time.RFC3339Nano), b.Length, b.Sensor, program)
	}
	id := sensorwire.BatchID{Window: b.Window, Seconds: int(b.Length.Seconds()), Seq: b.Seq}
	about := About{Protocol: sensorwire.Protocol, Sensor: b.Sensor, ID: id.String(), CountRule: observation.CountRule, Program: program,
		Packets: b.Packets, Copies: b.Copies, Keys: b.Keys, Partial: b.Partial, Facts: b.Facts}
	text, err := json.Marshal(about)
	if err != nil {
		return fmt.Errorf("write batch %s: %w", about.ID, err)
	}
	p := parquet.NewGenericWriter[row](w, parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}), parquet.MaxRowsPerRowGroup(groupRows),
		parquet.PageBufferSize(pageBytes), parquet.DataPageStatistics(false), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.CreatedBy("teiten", program, ""), parquet.KeyValueMetadata(metadataKey, string(text)))
	rows := make([]row, 0, rowsAtOnce)
	flush := func() {
		if _, werr := p.Write(rows); err == nil {
			err = werr
		}
		rows = rows[:0]
	}
	b.Observations(func(o *observation.Observation) bool {
		rows = append(rows, row{})
		if serr := rows[len(rows)-1].set(b.Sensor, o); serr != nil {
			err = serr
			return false
		}
		if len(rows) == cap(rows) {
			flush()
		}
		return err == nil
	})
	if err == nil {
		flush()
	}
	if err == nil {
		err = p.Close()
	}
	if err != nil {
		return fmt.Errorf("write batch %s: %w", about.ID, err)
	}
	return nil
}

// set fills the row with an observation.
func (r *row) set(sensor string, o *observation.Observation) error {
	r.Row.Set(sensor, o)
	if o.Destination.IsValid() {
		r.Destination = o.Destination.String()
	}
	r.PeerPorts = int32(o.PeerPorts)
	var err error
	if r.Fingerprints, err = jsonOf(o.Fingerprints); err != nil {
		return err
	}
	r.Samples, err = jsonOf(o.Samples)
	return err
}

func jsonOf[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// protoNumber is the protocol that export.ProtoName names.
func protoNumber(name string) (uint8, bool) {
	switch name {
	case "icmp":
		return 1, true
	case "tcp":
		return 6, true
	case "udp":
		return 17, true
	case "icmpv6":
		return 58, true
	}
	n, err := strconv.ParseUint(name, 10, 8)
	return uint8(n), err == nil && export.ProtoName(uint8(n)) == name
}
