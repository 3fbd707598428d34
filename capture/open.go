package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow is the largest zstd window accepted, the default limit of the
// zstd command (RFC 8878, 3.1.1.1.2, recommends to support at least 8 MiB).
const maxZstdWindow = 128 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b}             // RFC 1952, 2.3.1
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, 3.1.1
)

// Open opens a capture file for Reader.Read; "-" is standard input. A file
// compressed with gzip or zstd, recognised by its first bytes and not by its
// name, is decompressed in a goroutine of its own, which Close ends.
func Open(path string) (io.ReadCloser, error) {
	if path == "-" {
		return Decompress(io.NopCloser(os.Stdin))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, fmt.Errorf("open %s: is a directory", path)
	}
	r, err := Decompress(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Decompress returns the content of in, decompressed if in begins like a gzip or
// zstd file. Close closes in too.
func Decompress(in io.ReadCloser) (io.ReadCloser, error) {
	head := make([]byte, 4)
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("read: %w", err)
	}
	head = head[:n]
	whole := io.MultiReader(bytes.NewReader(head), in)
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		source := bufio.NewReaderSize(whole, 256<<10)
		z, err := gzip.NewReader(source)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		z.Multistream(false)
		return newReadAhead(&members{z, source}, func() error { return errors.Join(z.Close(), in.Close()) }), nil
	case bytes.HasPrefix(head, zstdMagic):
		z, err := zstd.NewReader(whole, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return newReadAhead(z, func() error { z.Close(); return in.Close() }), nil
	}
	return &plain{head: head, in: in}, nil
}

// members reads the members of a gzip file one after the other (RFC 1952, 2.2).
// Zeros behind the last one are padding, as tapes and block devices leave it, and
// gzip(1) takes them for that too.
type members struct {
	z      *gzip.Reader
	source *bufio.Reader
}

func (m *members) Read(b []byte) (int, error) {
	for {
		n, err := m.z.Read(b)
		end := errors.Is(err, io.EOF) // of a member
		if end {
			err = nil
		}
		if n > 0 || !end {
			return n, err
		}
		for {
			c, err := m.source.ReadByte()
			if err != nil {
				return 0, err // the end, or what is wrong with the source
			}
			if c != 0 {
				_ = m.source.UnreadByte() // the byte was just read
				break
			}
		}
		if err := m.z.Reset(m.source); err != nil {
			return 0, fmt.Errorf("gzip: behind a member: %w", err)
		}
		m.z.Multistream(false)
	}
}

// plain gives back the bytes that detection took, then reads on without
// another layer between the caller's buffer and read(2).
type plain struct {
	head []byte
	in   io.ReadCloser
}

func (p *plain) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.in.Read(b)
}

func (p *plain) Close() error { return p.in.Close() }

// readAhead runs a reader in a goroutine, a few blocks ahead of its consumer.
type readAhead struct {
	full  chan chunk
	empty chan []byte
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	close func() error

	// Used by the consumer only.
	cur chunk
	pos int
}

type chunk struct {
	buf []byte
	n   int
	err error
}

const (
	readAheadBlocks = 4
	readAheadBytes  = 256 << 10
)

func newReadAhead(r io.Reader, close func() error) *readAhead {
	a := &readAhead{
		full:  make(chan chunk, readAheadBlocks),
		empty: make(chan []byte, readAheadBlocks),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
		close: close,
	}
	for range readAheadBlocks {
		a.empty <- make([]byte, readAheadBytes)
	}
	go a.run(r)
	return a
}

func (a *readAhead) run(r io.Reader) {
	defer close(a.done)
	for {
		var buf []byte
		select {
		case buf = <-a.empty:
		case <-a.stop:
			return
		}
		c := chunk{buf: buf}
		for c.n < len(buf) && c.err == nil {
			var n int
			n, c.err = r.Read(buf[c.n:])
			c.n += n
		}
		select {
		case a.full <- c:
		case <-a.stop:
			return
		}
		if c.err != nil {
			return
		}
	}
}

func (a *readAhead) Read(b []byte) (int, error) {
	for a.pos == a.cur.n {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.buf != nil {
			a.empty <- a.cur.buf
		}
		a.cur, a.pos = <-a.full, 0
	}
	n := copy(b, a.cur.buf[a.pos:a.cur.n])
	a.pos += n
	return n, nil
}

// Close ends the goroutine and closes the source. A goroutine that is blocked
// in a read of the source is waited for after the source is closed.
func (a *readAhead) Close() error {
	var err error
	a.once.Do(func() {
		close(a.stop)
		for {
			select {
			case <-a.full: // let a blocked sender go
				continue
			case <-a.done:
			}
			break
		}
		err = a.close()
	})
	return err
}
