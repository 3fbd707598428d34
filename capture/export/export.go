// Package export writes observations as rows: CSV, JSON lines or Parquet.
package export

import (
	"fmt"
	"io"
	"strconv"

	"teiten/internal/observation"
)

// A Writer writes observations as rows.
type Writer interface {
	// WriteBatch writes one row per observation of the batch.
	WriteBatch(*observation.Batch) error
	// Close writes what is left, without closing the underlying writer.
	Close() error
}

// NewWriter returns a Writer of observations in the format csv, jsonl or
// parquet. The columns are the same in all three: window, sensor, source,
// proto, port, class, packets, bytes, destinations, first, last,
// destinations_exact, and one counter for each of observation.Marks.
func NewWriter(format string, w io.Writer) (Writer, error) {
	switch format {
	case "csv":
		return newCSVWriter(w), nil
	case "jsonl":
		return newJSONLWriter(w), nil
	case "parquet":
		return newParquetWriter(w), nil
	}
	return nil, fmt.Errorf("unknown format %q (csv, jsonl or parquet)", format)
}

// timeLayout is RFC 3339 with all the digits a capture can have.
const timeLayout = "2006-01-02T15:04:05.999999999Z07:00"

// ProtoName names an IP protocol in rows: tcp, udp, icmp, icmpv6, or the
// number.
func ProtoName(proto uint8) string {
	switch proto {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	}
	return strconv.Itoa(int(proto))
}
