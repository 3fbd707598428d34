package attribution

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"os"
	"slices"

	"teiten/internal/observation"
)

// Profiles that need more memory than they may have go to temporary files, one
// for each share of the address space: first what was collected so far, then
// every further observation as it comes. In the end each share is collected in
// memory by itself, in the same order, so that its profiles are what they would
// have been, and is written in the order of addresses. A share that needs too much
// memory is divided in the same way.

const (
	// leastSpilled is the number of sources from which on shares are made; fewer
	// need no more than some MiB, since a profile is bounded.
	leastSpilled = 64
	// shareBits is the logarithm of the number of shares that are equal in sources
	// seen so far, and of those that are equal in addresses. The latter bound how
	// often a share is divided, whatever order the sources come in.
	shareBits  = 4
	runBuffer  = 64 << 10
	readBuffer = 256 << 10
)

// run is a temporary file of records.
type run struct {
	file     *os.File
	w        *bufio.Writer
	sources  int        // of profiles
	low, top netip.Addr // the lowest and highest source
	buf      []byte
}

// newRun makes a file that has no name, so that nothing is left if the program is
// killed.
func newRun() (*run, error) {
	f, err := os.CreateTemp("", "teiten-profiles-")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("remove name of temporary file: %w", err), f.Close())
	}
	return &run{file: f, w: bufio.NewWriterSize(f, runBuffer)}, nil
}

func (r *run) close() error {
	if r == nil || r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// write writes r.buf, a record of the source.
func (r *run) write(source netip.Addr) error {
	if !r.low.IsValid() || source.Less(r.low) {
		r.low = source
	}
	if !r.top.IsValid() || r.top.Less(source) {
		r.top = source
	}
	var size [binary.MaxVarintLen64]byte
	if _, err := r.w.Write(size[:binary.PutUvarint(size[:], uint64(len(r.buf)))]); err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	if _, err := r.w.Write(r.buf); err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	return nil
}

func (r *run) addProfile(p *Profile) error {
	r.buf = appendProfile(append(r.buf[:0], recordProfile), p)
	r.sources++
	return r.write(p.source)
}

func (r *run) addObservation(sensor uint16, day int32, o *observation.Observation) error {
	r.buf = appendObservation(append(r.buf[:0], recordObservation), sensor, day, o)
	return r.write(o.Source)
}

// finish ends writing.
func (r *run) finish() error {
	if r.w == nil {
		return nil
	}
	err := r.w.Flush()
	r.w, r.buf = nil, nil
	if err != nil {
		return fmt.Errorf("write temporary file: %w", err)
	}
	return nil
}

// records yields the records from the first on, each valid until the next.
func (r *run) records(yield func([]byte) error) error {
	if err := r.finish(); err != nil {
		return err
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read temporary file: %w", err)
	}
	in := bufio.NewReaderSize(r.file, readBuffer)
	var buf []byte
	for {
		n, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			buf = slices.Grow(buf[:0], int(n))[:n]
			_, err = io.ReadFull(in, buf)
		}
		if err != nil {
			return fmt.Errorf("read temporary file: %w", err)
		}
		if err := yield(buf); err != nil {
			return err
		}
	}
}

// errStop ends reading early.
var errStop = errors.New("stop")

// chunks is Profiles.chunks for a file that has profiles alone.
func (r *run) chunks(book *book, company uint32, free func() *chunk, yield func(*chunk) bool) error {
	var c *chunk
	err := r.records(func(record []byte) error {
		if c == nil {
			if c = free(); c == nil {
				c = &chunk{}
			}
			if c.cores == nil {
				c.cores, c.profiles = make([]core, judgeChunk), make([]Profile, 0, judgeChunk)
			}
			c.profiles = c.profiles[:0]
		}
		p := Profile{core: &c.cores[len(c.profiles)], book: book, company: company}
		if err := p.decode(record[1:]); err != nil {
			return err
		}
		c.profiles = append(c.profiles, p)
		if len(c.profiles) < judgeChunk {
			return nil
		}
		full := c
		c = nil
		if !yield(full) {
			return errStop
		}
		return nil
	})
	switch {
	case errors.Is(err, errStop):
		return nil
	case err == nil && c != nil:
		yield(c)
	}
	return err
}

// shares are the files of the shares, in order of address.
type shares struct {
	bounds []netip.Addr // the first address of each share but the first
	runs   []*run
}

func newShares(bounds []netip.Addr) (*shares, error) {
	s := &shares{bounds: bounds}
	for range len(bounds) + 1 {
		r, err := newRun()
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.runs = append(s.runs, r)
	}
	return s, nil
}

func (s *shares) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, r := range s.runs {
		errs = append(errs, r.close())
	}
	s.runs = nil
	return errors.Join(errs...)
}

func (s *shares) of(source netip.Addr) *run {
	n, found := slices.BinarySearchFunc(s.bounds, source, netip.Addr.Compare)
	if found {
		n++
	}
	return s.runs[n]
}

func (s *shares) addObservation(sensor uint16, day int32, o *observation.Observation) error {
	return s.of(o.Source).addObservation(sensor, day, o)
}

// spill moves all profiles to new shares.
func (s *Profiles) spill() {
	s.sort()
	shares, err := newShares(s.bounds())
	if err != nil {
		s.fail(err)
		return
	}
	s.shares = shares
	s.each(func(p *Profile) bool {
		s.fail(shares.of(p.source).addProfile(p))
		return s.err == nil
	})
	s.slabs, s.rests, s.count, s.book.held = nil, nil, 0, 0
}

// bounds divides the sources in memory and the addresses that they may have.
func (s *Profiles) bounds() []netip.Addr {
	var list []netip.Addr
	for i := 1; i < 1<<shareBits; i++ {
		list = append(list, s.at(s.count*i>>shareBits).address())
	}
	low, top := s.low, s.top
	if !low.IsValid() {
		low, top = netip.IPv4Unspecified(), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	}
	if low.Is4() != top.Is4() {
		list = append(list, netip.IPv6Unspecified())
		list = divide(list, low, netip.MustParseAddr("255.255.255.255"))
		low = netip.IPv6Unspecified()
	}
	list = divide(list, low, top)
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// divide appends the bounds of equal parts of the addresses from low to top, both
// of one family.
func divide(list []netip.Addr, low, top netip.Addr) []netip.Addr {
	a, b := low.As16(), top.As16()
	aHigh, aLow := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	stepLow, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), aLow, 0)
	stepHigh, _ := bits.Sub64(binary.BigEndian.Uint64(b[:8]), aHigh, borrow)
	stepLow, stepHigh = stepLow>>shareBits|stepHigh<<(64-shareBits), stepHigh>>shareBits
	for range 1<<shareBits - 1 {
		var carry uint64
		aLow, carry = bits.Add64(aLow, stepLow, 0)
		aHigh, _ = bits.Add64(aHigh, stepHigh, carry)
		binary.BigEndian.PutUint64(a[:8], aHigh)
		binary.BigEndian.PutUint64(a[8:], aLow)
		bound := netip.AddrFrom16(a)
		if low.Is4() {
			bound = bound.Unmap()
		}
		list = append(list, bound)
	}
	return list
}

// sortShares makes s.sorted of the shares.
func (s *Profiles) sortShares() error {
	out, err := newRun()
	if err != nil {
		return err
	}
	s.sorted = out
	if err := s.writeSorted(out); err != nil {
		return err
	}
	s.count = out.sources
	return out.finish()
}

// writeSorted writes all profiles in order of address, and closes the shares.
func (s *Profiles) writeSorted(out *run) (err error) {
	if s.shares == nil {
		s.sort()
		s.each(func(p *Profile) bool {
			err = out.addProfile(p)
			return err == nil
		})
		return err
	}
	defer func() {
		err = errors.Join(err, s.shares.close())
		s.shares = nil
	}()
	for _, r := range s.shares.runs {
		if err := r.finish(); err != nil {
			return err
		}
	}
	for _, r := range s.shares.runs {
		s.book.held = 0
		part := newProfiles(s.opt, s.book)
		part.low, part.top = r.low, r.top
		if err := r.records(part.addRecord); err != nil {
			return errors.Join(err, part.Close())
		}
		if err := part.writeSorted(out); err != nil {
			return errors.Join(err, part.Close())
		}
		if err := r.close(); err != nil { // its room may be needed
			return fmt.Errorf("close temporary file: %w", err)
		}
	}
	return nil
}

// addRecord adds what a share has of a source. Its profile comes before its
// observations.
func (s *Profiles) addRecord(record []byte) error {
	if record[0] == recordObservation {
		var o observation.Observation
		sensor, day, err := decodeObservation(record[1:], &o)
		if err != nil {
			return err
		}
		s.add(sensor, day, &o)
		return s.err
	}
	var c core
	p := Profile{core: &c, book: s.book}
	if err := p.decode(record[1:]); err != nil {
		return err
	}
	if s.shares != nil {
		return s.shares.of(p.source).addProfile(&p)
	}
	s.find(p.source)
	*s.last.core, s.last.more = c, p.more
	s.book.held += p.more.size()
	s.keepRest()
	s.bound()
	return s.err
}
