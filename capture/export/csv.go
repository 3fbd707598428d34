package export

import (
	"io"
	"strconv"
	"strings"
	"time"

	"teiten/internal/observation"
)

// rowFlush is the size at which collected rows are written.
const rowFlush = 64 << 10

type csvWriter struct {
	w      io.Writer
	buf    []byte
	header bool
}

func newCSVWriter(w io.Writer) *csvWriter { return &csvWriter{w: w} }

func (c *csvWriter) head() {
	if c.header {
		return
	}
	c.header = true
	c.buf = append(c.buf, "window,sensor,source,proto,port,class,packets,bytes,destinations,first,last,destinations_exact"...)
	for m := range observation.Marks {
		c.buf = append(c.buf, ',')
		c.buf = append(c.buf, m.String()...)
	}
	c.buf = append(c.buf, '\n')
}

func (c *csvWriter) WriteBatch(b *observation.Batch) error {
	c.head()
	sensor := csvField(b.Sensor)
	var err error
	b.Observations(func(o *observation.Observation) bool {
		c.buf = o.Window.AppendFormat(c.buf, time.RFC3339)
		c.buf = append(c.buf, ',')
		c.buf = append(c.buf, sensor...)
		c.buf = append(c.buf, ',')
		c.buf = o.Source.AppendTo(c.buf)
		c.buf = append(c.buf, ',')
		c.buf = append(c.buf, ProtoName(o.Proto)...)
		c.buf = append(c.buf, ',')
		c.buf = strconv.AppendUint(c.buf, uint64(o.Port), 10)
		c.buf = append(c.buf, ',')
		c.buf = append(c.buf, o.Class.String()...)
		for _, n := range [...]uint64{o.Packets, o.Bytes, uint64(o.Destinations)} {
			c.buf = append(c.buf, ',')
			c.buf = strconv.AppendUint(c.buf, n, 10)
		}
		c.buf = append(c.buf, ',')
		c.buf = o.First.AppendFormat(c.buf, timeLayout)
		c.buf = append(c.buf, ',')
		c.buf = o.Last.AppendFormat(c.buf, timeLayout)
		c.buf = append(c.buf, ',')
		c.buf = strconv.AppendBool(c.buf, o.DestinationsExact)
		// o.Marks is in the order of observation.Marks.
		marks := o.Marks
		for m := range observation.Marks {
			c.buf = append(c.buf, ',')
			if len(marks) > 0 && marks[0].Mark == m {
				c.buf = strconv.AppendUint(c.buf, marks[0].Packets, 10)
				marks = marks[1:]
			} else {
				c.buf = append(c.buf, '0')
			}
		}
		c.buf = append(c.buf, '\n')
		if len(c.buf) >= rowFlush {
			err = c.flush()
		}
		return err == nil
	})
	return err
}

func (c *csvWriter) flush() error {
	_, err := c.w.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *csvWriter) Close() error {
	c.head()
	return c.flush()
}

// csvField quotes a field as RFC 4180, 2, asks where it must.
func csvField(s string) string {
	if !strings.ContainsAny(s, "\",\r\n") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
