package attribution

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"time"

	"teiten/internal/casedb"
)

// outputFlush is the size at which lines are written.
const outputFlush = 64 << 10

// Writer writes verdicts and aggregates as `teiten attribute` does: one JSON
// object a line. The keys are promised to users.
type Writer struct {
	w   io.Writer
	buf []byte
	err error

	day  int64 // of the last time written, and how it began
	date []byte
}

// NewWriter returns a Writer on w. Call Close at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// WriteVerdict writes one source's line.
func (o *Writer) WriteVerdict(v *casedb.Verdict) error {
	b := append(o.buf, `{"source":"`...)
	if v.Source.IsValid() {
		b = v.Source.AppendTo(b)
	}
	b = append(b, `","kind":"`...)
	b = append(b, v.Kind...)
	b = appendField(b, `","tool":`, v.Tool)
	b = appendField(b, `,"malware":`, v.Malware)
	b = appendField(b, `,"acknowledged":`, v.Acknowledged)
	if v.Attention != "" {
		b = appendField(b, `,"attention":`, v.Attention)
	}
	b = append(b, `,"confidence":`...)
	b = strconv.AppendFloat(b, v.Confidence, 'f', -1, 64)
	b = appendField(b, `,"rule":`, v.Rule)
	b = appendField(b, `,"ruleset":`, v.Ruleset)
	b = appendEvidence(b, &v.Evidence.V)
	b = appendStrings(append(b, `,"ports":`...), v.Ports)
	b = o.appendTime(b, `,"first":"`, v.First)
	b = o.appendTime(b, `,"last":"`, v.Last)
	o.buf = append(b, '}', '\n')
	return o.flush(outputFlush)
}

// WriteAggregate writes the line of something that only the whole shows.
func (o *Writer) WriteAggregate(a *Aggregate) error {
	b := append(o.buf, `{"aggregate":"`...)
	b = append(b, a.Kind.String()...)
	b = append(b, '"')
	if a.Destination.IsValid() {
		b = appendField(b, `,"destination":`, a.Destination.String())
	}
	if a.Victim.IsValid() {
		b = appendField(b, `,"victim":`, a.Victim.String())
	}
	b = append(b, `,"sources":`...)
	b = strconv.AppendInt(b, int64(a.Sources), 10)
	if a.Network.IsValid() {
		b = appendField(b, `,"network":`, a.Network.String())
	}
	if a.Rule != "" {
		b = appendField(b, `,"rule":`, a.Rule)
	}
	if a.Peak > 0 {
		b = append(b, `,"peak_per_minute":`...)
		b = strconv.AppendFloat(b, math.Round(a.Peak*10)/10, 'f', -1, 64)
	}
	b = append(b, `,"confidence":`...)
	b = strconv.AppendFloat(b, a.Confidence, 'f', -1, 64)
	b = appendEvidence(b, &a.Evidence)
	b = appendStrings(append(b, `,"ports":`...), a.Ports)
	b = o.appendTime(b, `,"first":"`, a.First)
	b = o.appendTime(b, `,"last":"`, a.Last)
	o.buf = append(b, '}', '\n')
	return o.flush(outputFlush)
}

// Close writes the remaining rows. It does not close the underlying writer.
func (o *Writer) Close() error { return o.flush(1) }

func (o *Writer) flush(from int) error {
	if o.err == nil && len(o.buf) >= from {
		_, o.err = o.w.Write(o.buf)
		o.buf = o.buf[:0]
	}
	return o.err
}

// appendEvidence writes what json.Marshal would: a test compares the two.
func appendEvidence(b []byte, e *casedb.Evidence) []byte {
	b = append(b, `,"evidence":{"packets":`...)
	b = strconv.AppendUint(b, e.Packets, 10)
	b = append(b, `,"hits":`...)
	b = strconv.AppendUint(b, e.Hits, 10)
	b = append(b, `,"of":`...)
	b = strconv.AppendUint(b, e.Of, 10)
	b = append(b, `,"chance":`...)
	b = strconv.AppendFloat(b, e.Chance, 'g', 4, 64)
	if e.Weak {
		b = append(b, `,"weak":true`...)
	}
	b = append(b, `,"destinations":`...)
	b = strconv.AppendUint(b, uint64(e.Destinations), 10)
	b = append(b, `,"sensors":`...)
	b = strconv.AppendInt(b, int64(e.Sensors), 10)
	b = append(b, `,"days":`...)
	b = strconv.AppendInt(b, int64(e.Days), 10)
	if e.Definition != "" {
		b = appendField(b, `,"definition":`, e.Definition)
	}
	if e.List != "" {
		b = appendField(b, `,"list":`, e.List)
	}
	if e.Undeclared != nil {
		b = appendUndeclared(b, e.Undeclared)
	}
	if e.Fixed != nil {
		b = appendFixed(b, e.Fixed)
	}
	if len(e.Notes) > 0 {
		b = appendStrings(append(b, `,"notes":`...), e.Notes)
	}
	if len(e.Payloads) > 0 {
		b = appendStrings(append(b, `,"payloads":`...), e.Payloads)
	}
	if len(e.Also) > 0 {
		b = appendStrings(append(b, `,"also":`...), e.Also)
	}
	return append(b, '}')
}

func appendUndeclared(b []byte, u *casedb.Undeclared) []byte {
	b = append(b, `,"undeclared":{"packets":`...)
	b = strconv.AppendUint(b, u.Packets, 10)
	b = append(b, `,"of":`...)
	b = strconv.AppendUint(b, u.Of, 10)
	b = appendStrings(append(b, `,"ports":`...), u.Ports)
	if u.More > 0 {
		b = append(b, `,"more":`...)
		b = strconv.AppendInt(b, int64(u.More), 10)
	}
	return append(appendField(b, `,"declared":`, u.Declared), '}')
}

func appendFixed(b []byte, f *casedb.Fixed) []byte {
	b = append(b, `,"fixed":{"sequence":`...)
	b = strconv.AppendUint(b, f.Sequence, 10)
	b = append(b, `,"sequence_of":`...)
	b = strconv.AppendUint(b, f.SequenceOf, 10)
	b = append(b, `,"window":`...)
	b = strconv.AppendUint(b, f.Window, 10)
	b = append(b, `,"window_of":`...)
	b = strconv.AppendUint(b, f.WindowOf, 10)
	return append(b, '}')
}

// appendTime writes a time as RFC 3339 with microseconds, in UTC.
func (o *Writer) appendTime(b []byte, key string, t time.Time) []byte {
	b = append(b, key...)
	second := t.Unix()
	day := second / secondsPerDay
	if second < 0 || len(o.date) == 0 || day != o.day {
		o.day = day
		o.date = t.UTC().AppendFormat(o.date[:0], "2006-01-02T")
	}
	if second < 0 { // the division above rounds to zero
		b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
		o.date = o.date[:0]
		return append(b, '"')
	}
	b = append(b, o.date...)
	clock := int(second % secondsPerDay)
	h, m, sec, us := clock/3600, clock/60%60, clock%60, t.Nanosecond()/1000
	b = append(b, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+sec/10), byte('0'+sec%10), '.',
		byte('0'+us/100000), byte('0'+us/10000%10), byte('0'+us/1000%10), byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
	return append(b, 'Z', '"')
}

const secondsPerDay = 24 * 60 * 60

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, "", s)
	}
	return append(b, ']')
}

// appendField writes key, as it is, and s as a JSON string.
func appendField(b []byte, key, s string) []byte {
	b = append(b, key...)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			text, err := json.Marshal(s)
			if err != nil { // strings always can
				return append(b, `""`...)
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
