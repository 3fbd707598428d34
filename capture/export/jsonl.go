package export

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"teiten/internal/observation"
)

type jsonlWriter struct {
	w   io.Writer
	buf []byte
}

func newJSONLWriter(w io.Writer) *jsonlWriter { return &jsonlWriter{w: w} }

func (j *jsonlWriter) WriteBatch(b *observation.Batch) error {
	sensor, err := json.Marshal(b.Sensor)
	if err != nil {
		return err
	}
	b.Observations(func(o *observation.Observation) bool {
		// All values but the sensor are numbers, addresses, times and names of
		// ours, so nothing else needs escaping.
		j.buf = append(j.buf, `{"window":"`...)
		j.buf = o.Window.AppendFormat(j.buf, time.RFC3339)
		j.buf = append(j.buf, `","sensor":`...)
		j.buf = append(j.buf, sensor...)
		j.buf = append(j.buf, `,"source":"`...)
		j.buf = o.Source.AppendTo(j.buf)
		j.buf = append(j.buf, `","proto":"`...)
		j.buf = append(j.buf, ProtoName(o.Proto)...)
		j.buf = append(j.buf, `","port":`...)
		j.buf = strconv.AppendUint(j.buf, uint64(o.Port), 10)
		j.buf = append(j.buf, `,"class":"`...)
		j.buf = append(j.buf, o.Class.String()...)
		j.buf = append(j.buf, `","packets":`...)
		j.buf = strconv.AppendUint(j.buf, o.Packets, 10)
		j.buf = append(j.buf, `,"bytes":`...)
		j.buf = strconv.AppendUint(j.buf, o.Bytes, 10)
		j.buf = append(j.buf, `,"destinations":`...)
		j.buf = strconv.AppendUint(j.buf, uint64(o.Destinations), 10)
		j.buf = append(j.buf, `,"first":"`...)
		j.buf = o.First.AppendFormat(j.buf, timeLayout)
		j.buf = append(j.buf, `","last":"`...)
		j.buf = o.Last.AppendFormat(j.buf, timeLayout)
		j.buf = append(j.buf, `","destinations_exact":`...)
		j.buf = strconv.AppendBool(j.buf, o.DestinationsExact)
		marks := o.Marks
		for m := range observation.Marks {
			j.buf = append(j.buf, ',', '"')
			j.buf = append(j.buf, m.String()...)
			j.buf = append(j.buf, '"', ':')
			if len(marks) > 0 && marks[0].Mark == m {
				j.buf = strconv.AppendUint(j.buf, marks[0].Packets, 10)
				marks = marks[1:]
			} else {
				j.buf = append(j.buf, '0')
			}
		}
		j.buf = append(j.buf, '}', '\n')
		if len(j.buf) >= rowFlush {
			err = j.flush()
		}
		return err == nil
	})
	return err
}

func (j *jsonlWriter) flush() error {
	_, err := j.w.Write(j.buf)
	j.buf = j.buf[:0]
	return err
}

func (j *jsonlWriter) Close() error { return j.flush() }
