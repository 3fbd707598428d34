package casedb

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"teiten/internal/observation"
)

// copyChunk is how much ready text goes into one CopyData call: the driver
// sends what it has when it holds more than 63 KiB.
const copyChunk = 60 << 10

// Limits of one row; a batch from elsewhere may hold more than
// package capture makes.
const (
	maxRowMarks        = 32
	maxRowFingerprints = 16
	maxRowSamples      = 16
	maxSampleOptions   = 40 // RFC 9293, 3.1: the data offset leaves room for no more
	maxSamplePayload   = 64
	maxRowText         = 255 // class, fingerprint options
)

// observationColumns are the columns of a row as COPY gets it, in order. The
// two ids come first: they are put in front of the text of rowText. The country
// is next, where digestRows leaves it out. packed comes last, from packer.
const observationColumns = `batch_id, sensor_id, country, window_start, source, proto, port, class, packets, bytes,
	destinations, destinations_exact, destination, peer_ports, first_at, last_at, marks, fingerprints, samples, packed`

// countryLength is the length of the country, or of NULL, and the tab behind it.
const countryLength = 3

// rowText writes observations in PostgreSQL's COPY text format, without the
// ids of batch and sensor, so that the same observations always give the same
// text. It allocates nothing per row.
type rowText struct {
	window []byte // the window's start, ready
	day    int64  // the day that date holds, in days since 1970
	date   []byte // "2006-01-02 "
}

// Times outside these bounds are no capture's. PostgreSQL would take more.
var (
	minTime = time.Unix(0, 0)
	maxTime = time.Unix(0, math.MaxInt64) // in 2262
)

func newRowText(window time.Time) (*rowText, error) {
	if !timeInRange(window) {
		return nil, fmt.Errorf("window %s is out of range", window)
	}
	r := &rowText{day: -1}
	r.window = r.appendTime(nil, window)
	return r, nil
}

// appendRow appends the text of o with its final newline.
func (r *rowText) appendRow(b []byte, o *observation.Observation) ([]byte, error) {
	if !o.Source.IsValid() {
		return b, errors.New("an observation has no source")
	}
	if !timeInRange(o.First) || !timeInRange(o.Last) {
		return b, fmt.Errorf("the times of an observation of %s are out of range", o.Source)
	}
	if isCountry(o.Country) {
		b = append(b, o.Country...)
	} else {
		b = append(b, `\N`...)
	}
	b = append(b, '\t')
	b = append(b, r.window...)
	b = append(b, '\t')
	b = appendAddr(b, o.Source)
	b = append(b, '\t')
	b = strconv.AppendUint(b, uint64(o.Proto), 10)
	b = append(b, '\t')
	b = strconv.AppendUint(b, uint64(o.Port), 10)
	b = append(b, '\t')
	b = append(b, o.Class.String()...)
	b = append(b, '\t')
	b = strconv.AppendInt(b, bigint(o.Packets), 10)
	b = append(b, '\t')
	b = strconv.AppendInt(b, bigint(o.Bytes), 10)
	b = append(b, '\t')
	b = strconv.AppendUint(b, uint64(min(o.Destinations, math.MaxInt32)), 10)
	if o.DestinationsExact {
		b = append(b, "\tt\t"...)
	} else {
		b = append(b, "\tf\t"...)
	}
	if o.Destination.IsValid() {
		b = appendAddr(b, o.Destination)
	} else {
		b = append(b, `\N`...)
	}
	b = append(b, '\t')
	b = strconv.AppendUint(b, uint64(o.PeerPorts), 10)
	b = append(b, '\t')
	b = r.appendTime(b, o.First)
	b = append(b, '\t')
	b = r.appendTime(b, o.Last)
	b = append(b, '\t')
	b = appendMarks(b, o.Marks)
	b = append(b, '\t')
	b = appendFingerprints(b, o.Fingerprints)
	b = append(b, '\t')
	b = appendSamples(b, o.Samples)
	return append(b, '\n'), nil
}

// appendTime appends t to the microsecond, which is what PostgreSQL keeps;
// what is below is cut off and not rounded, so that no time moves into the
// next window.
func (r *rowText) appendTime(b []byte, t time.Time) []byte {
	sec := t.Unix()
	day := sec / 86400 // times before 1970 have been refused
	if day != r.day {
		r.day = day
		r.date = t.UTC().AppendFormat(r.date[:0], "2006-01-02 ")
	}
	b = append(b, r.date...)
	s := int(sec % 86400)
	b = appendTwo(b, s/3600)
	b = append(b, ':')
	b = appendTwo(b, s/60%60)
	b = append(b, ':')
	b = appendTwo(b, s%60)
	if us := t.Nanosecond() / 1000; us != 0 {
		b = append(b, '.')
		b = appendTwo(b, us/10000)
		b = appendTwo(b, us/100%100)
		b = appendTwo(b, us%100)
	}
	return append(b, "+00"...)
}

func appendTwo(b []byte, n int) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

func timeInRange(t time.Time) bool { return !t.Before(minTime) && !t.After(maxTime) }

// appendAddr appends a without a zone; an IPv4 address in IPv6 clothes becomes
// plain.
func appendAddr(b []byte, a netip.Addr) []byte {
	return a.Unmap().WithZone("").AppendTo(b)
}

// appendMarks appends {"mark":packets,...}, or NULL if there are none.
func appendMarks(b []byte, marks []observation.MarkCount) []byte {
	if len(marks) == 0 {
		return append(b, `\N`...)
	}
	b = append(b, '{')
	for i, m := range marks[:min(len(marks), maxRowMarks)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), m.Mark.String()...), '"')
		b = append(b, ':')
		b = strconv.AppendInt(b, bigint(m.Packets), 10)
	}
	return append(b, '}')
}

// appendFingerprints appends the array with the keys of Fingerprint's tags, or
// NULL if there are none.
func appendFingerprints(b []byte, f []observation.Fingerprint) []byte {
	if len(f) == 0 {
		return append(b, `\N`...)
	}
	b = append(b, '[')
	for i := range f[:min(len(f), maxRowFingerprints)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"ttl":`...)
		b = strconv.AppendUint(b, uint64(f[i].TTL), 10)
		b = append(b, `,"win":`...)
		b = strconv.AppendUint(b, uint64(f[i].Window), 10)
		b = append(b, `,"opt":`...)
		b = appendCopyJSON(b, cut(f[i].Options, maxRowText))
		b = append(b, `,"n":`...)
		b = strconv.AppendInt(b, bigint(f[i].Packets), 10)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendSamples appends the array with the keys of Sample's tags, or NULL if
// there are none. It gives what encoding/json would.
func appendSamples(b []byte, samples []observation.Sample) []byte {
	if len(samples) == 0 {
		return append(b, `\N`...)
	}
	b = append(b, '[')
	for i := range samples[:min(len(samples), maxRowSamples)] {
		s := &samples[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"when":"`...)
		b = appendRFC3339(b, s.When)
		b = append(b, `","dst":"`...)
		b = appendJSONAddr(b, s.Destination)
		b = append(b, `","sport":`...)
		b = strconv.AppendUint(b, uint64(s.SourcePort), 10)
		b = append(b, `,"dport":`...)
		b = strconv.AppendUint(b, uint64(s.DestPort), 10)
		b = append(b, `,"ttl":`...)
		b = strconv.AppendUint(b, uint64(s.TTL), 10)
		b = append(b, `,"id":`...)
		b = strconv.AppendUint(b, uint64(s.ID), 10)
		if s.DF {
			b = append(b, `,"df":true`...)
		}
		b = appendJSONUint(b, `,"flags":`, uint64(s.Flags))
		b = appendJSONUint(b, `,"seq":`, uint64(s.Seq))
		b = appendJSONUint(b, `,"ack":`, uint64(s.Ack))
		b = appendJSONUint(b, `,"win":`, uint64(s.Window))
		b = appendJSONBytes(b, `,"opt":"`, s.Options, maxSampleOptions)
		b = appendJSONBytes(b, `,"payload":"`, s.Payload, maxSamplePayload)
		if q := s.Quoted; q != nil {
			b = append(b, `,"quoted":{"src":"`...)
			b = appendJSONAddr(b, q.Source)
			b = append(b, `","dst":"`...)
			b = appendJSONAddr(b, q.Destination)
			b = append(b, `","proto":`...)
			b = strconv.AppendUint(b, uint64(q.Proto), 10)
			b = append(b, `,"sport":`...)
			b = strconv.AppendUint(b, uint64(q.SourcePort), 10)
			b = append(b, `,"dport":`...)
			b = strconv.AppendUint(b, uint64(q.DestPort), 10)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendRFC3339 appends a time to the nanosecond. A time that RFC 3339 cannot
// express becomes 1970.
func appendRFC3339(b []byte, t time.Time) []byte {
	if !timeInRange(t) {
		t = minTime
	}
	return t.UTC().AppendFormat(b, time.RFC3339Nano)
}

// appendJSONAddr appends an address, or nothing for none, as netip.Addr's
// MarshalText does.
func appendJSONAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return appendAddr(b, a)
}

func appendJSONUint(b []byte, key string, n uint64) []byte {
	if n == 0 {
		return b
	}
	b = append(b, key...)
	return strconv.AppendUint(b, n, 10)
}

func appendJSONBytes(b []byte, key string, v []byte, limit int) []byte {
	if len(v) == 0 {
		return b
	}
	b = append(b, key...)
	b = base64.StdEncoding.AppendEncode(b, v[:min(len(v), limit)])
	return append(b, '"')
}

// appendCopyJSON appends s as a JSON string in COPY's text format: JSON's
// backslashes stand doubled.
func appendCopyJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
		switch {
		case c == 0: // jsonb refuses the escape of NUL
			b = append(b, "\ufffd"...)
		case c == '"':
			b = append(b, `\\"`...)
		case c == '\\':
			b = append(b, `\\\\`...)
		case c < 0x20:
			b = append(b, `\\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// cut bounds a text that should be short anyway.
func cut(s string, limit int) string { return s[:min(len(s), limit)] }

// bigint fits a count into the column type.
func bigint(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
