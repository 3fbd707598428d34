package batchfile

import (
	"encoding/binary"
	"errors"
)

// The library makes room for a list of the length that the file claims. So what
// Parquet writes in Thrift's compact protocol is walked first: every list, map and
// string must fit in the bytes that are there.
// (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md)

var errThrift = errors.New("damaged Thrift structure")

// Types of the compact protocol.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftI8
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

const maxThriftDepth = 16

// walkThrift walks the structure at the beginning of b and returns its length.
func walkThrift(b []byte) (n int, err error) {
	w := thriftWalk{b: b}
	w.structure(0)
	if w.bad {
		return 0, errThrift
	}
	return len(b) - len(w.b), nil
}

type thriftWalk struct {
	b   []byte
	bad bool
}

func (w *thriftWalk) take(n uint64) []byte {
	if w.bad || n > uint64(len(w.b)) {
		w.bad = true
		return nil
	}
	t := w.b[:n]
	w.b = w.b[n:]
	return t
}

func (w *thriftWalk) byte() byte {
	if t := w.take(1); t != nil {
		return t[0]
	}
	return 0
}

func (w *thriftWalk) varint() uint64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.bad = true
		return 0
	}
	w.take(uint64(n))
	return v
}

func (w *thriftWalk) structure(depth int) {
	for !w.bad {
		head := w.byte()
		if w.bad || head == 0 {
			return
		}
		if head>>4 == 0 {
			w.varint() // the field's number
		}
		if kind := head & 15; kind != thriftTrue && kind != thriftFalse {
			w.value(kind, depth+1)
		}
	}
}

func (w *thriftWalk) value(kind byte, depth int) {
	if depth > maxThriftDepth {
		w.bad = true
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftI8: // in a list a truth takes a byte
		w.take(1)
	case thriftI16, thriftI32, thriftI64:
		w.varint()
	case thriftDouble:
		w.take(8)
	case thriftBinary:
		w.take(w.varint())
	case thriftList, thriftSet:
		head := w.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = w.varint()
		}
		w.items(n, depth, head&15)
	case thriftMap:
		n := w.varint()
		if n == 0 {
			return
		}
		kinds := w.byte()
		w.items(n, depth, kinds>>4, kinds&15)
	case thriftStruct:
		w.structure(depth)
	default:
		w.bad = true
	}
}

// items walks n items of a list or map, each of which takes at least a byte.
func (w *thriftWalk) items(n uint64, depth int, kinds ...byte) {
	if n > uint64(len(w.b)) {
		w.bad = true
	}
	for ; n > 0 && !w.bad; n-- {
		for _, kind := range kinds {
			w.value(kind, depth+1)
		}
	}
}
