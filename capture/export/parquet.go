package export

import (
	"io"

	"github.com/parquet-go/parquet-go"

	"teiten/internal/observation"
)

// parquetRowGroup bounds the rows that the writer holds before it writes them.
const parquetRowGroup = 128 << 10

// Row is one observation in Parquet; times are nanoseconds since 1970 in UTC. The
// mark fields are in the order of observation.Marks.
type Row struct {
	Window            int64  `parquet:"window,timestamp(nanosecond)"`
	Sensor            string `parquet:"sensor,dict"`
	Source            string `parquet:"source"`
	Proto             string `parquet:"proto,dict"`
	Port              int32  `parquet:"port"`
	Class             string `parquet:"class,dict"`
	Packets           int64  `parquet:"packets"`
	Bytes             int64  `parquet:"bytes"`
	Destinations      int64  `parquet:"destinations"`
	First             int64  `parquet:"first,timestamp(nanosecond)"`
	Last              int64  `parquet:"last,timestamp(nanosecond)"`
	DestinationsExact bool   `parquet:"destinations_exact"`
	ZMap              int64  `parquet:"zmap"`
	ZMapOptions       int64  `parquet:"zmap_options"`
	ZMapTime          int64  `parquet:"zmap_time"`
	Masscan           int64  `parquet:"masscan"`
	MasscanK          int64  `parquet:"masscan_k"`
	Mirai             int64  `parquet:"mirai"`
	MiraiK            int64  `parquet:"mirai_k"`
	Nmap              int64  `parquet:"nmap"`
	Unicornscan       int64  `parquet:"unicornscan"`
	Hping             int64  `parquet:"hping3"`
	AngryIP           int64  `parquet:"angryip"`
	Worm445           int64  `parquet:"worm445"`
	Slammer           int64  `parquet:"slammer"`
	SYNPayload        int64  `parquet:"syn_payload"`
	ReflectQuery      int64  `parquet:"reflect_query"`
	SamePayload       int64  `parquet:"same_payload"`
	Window8192        int64  `parquet:"window_8192"`
	SameAck           int64  `parquet:"same_ack"`
	SameWindow        int64  `parquet:"same_window"`
	PeakMinute        int64  `parquet:"peak_minute"`
	Repeat            int64  `parquet:"repeat"`
}

type parquetWriter struct {
	w    *parquet.GenericWriter[Row]
	rows []Row
}

func newParquetWriter(w io.Writer) *parquetWriter {
	return &parquetWriter{w: parquet.NewGenericWriter[Row](w,
		parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(parquetRowGroup))}
}

func (p *parquetWriter) WriteBatch(b *observation.Batch) error {
	var err error
	b.Observations(func(o *observation.Observation) bool {
		p.rows = append(p.rows, Row{})
		p.rows[len(p.rows)-1].Set(b.Sensor, o)
		if len(p.rows) >= 1024 {
			err = p.flush()
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return p.flush()
}

// Set fills the row with an observation of a sensor.
func (r *Row) Set(sensor string, o *observation.Observation) {
	*r = Row{
		Window:            o.Window.UnixNano(),
		Sensor:            sensor,
		Source:            o.Source.String(),
		Proto:             ProtoName(o.Proto),
		Port:              int32(o.Port),
		Class:             o.Class.String(),
		Packets:           int64(o.Packets),
		Bytes:             int64(o.Bytes),
		Destinations:      int64(o.Destinations),
		First:             o.First.UnixNano(),
		Last:              o.Last.UnixNano(),
		DestinationsExact: o.DestinationsExact,
	}
	for _, m := range o.Marks {
		*r.Mark(m.Mark) = int64(m.Packets)
	}
}

// Mark returns the column of a mark.
func (r *Row) Mark(m observation.Mark) *int64 {
	switch m {
	case observation.MarkZMap:
		return &r.ZMap
	case observation.MarkZMapOptions:
		return &r.ZMapOptions
	case observation.MarkZMapTime:
		return &r.ZMapTime
	case observation.MarkMasscan:
		return &r.Masscan
	case observation.MarkMasscanK:
		return &r.MasscanK
	case observation.MarkMirai:
		return &r.Mirai
	case observation.MarkMiraiK:
		return &r.MiraiK
	case observation.MarkNmap:
		return &r.Nmap
	case observation.MarkUnicornscan:
		return &r.Unicornscan
	case observation.MarkHping:
		return &r.Hping
	case observation.MarkAngryIP:
		return &r.AngryIP
	case observation.MarkWorm445:
		return &r.Worm445
	case observation.MarkSlammer:
		return &r.Slammer
	case observation.MarkSYNPayload:
		return &r.SYNPayload
	case observation.MarkReflectQuery:
		return &r.ReflectQuery
	case observation.MarkSamePayload:
		return &r.SamePayload
	case observation.MarkWindow8192:
		return &r.Window8192
	case observation.MarkSameAck:
		return &r.SameAck
	case observation.MarkSameWindow:
		return &r.SameWindow
	case observation.MarkPeakMinute:
		return &r.PeakMinute
	case observation.MarkRepeat:
		return &r.Repeat
	}
	return new(int64) // a mark without a column: a test compares the two lists
}

func (p *parquetWriter) flush() error {
	_, err := p.w.Write(p.rows)
	p.rows = p.rows[:0]
	return err
}

func (p *parquetWriter) Close() error { return p.w.Close() }
