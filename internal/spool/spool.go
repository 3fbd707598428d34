// Package spool is the folder of batches that wait on a sensor until an output has
// taken them. It survives a kill and a power cut at any moment, and its size and age
// are bounded.
package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"teiten/internal/sensorwire"
)

// The names in a spool's folder.
const (
	suffix     = ".parquet"
	asideDir   = "aside" // batches that nobody takes, each with a file .why
	countsFile = "counts.json"
	lockFile   = "lock"
	// bare is the length of the shortest file that can be a batch.
	bare = 12
)

// Policy says what happens to a batch that finds no room.
type Policy string

// The policies.
const (
	DropOldest Policy = "oldest" // the batches of the earliest windows are given up
	Stop       Policy = "stop"   // the new batch is refused, and what waits stays
)

// Options bound a spool. Zero means no bound, and DropOldest.
type Options struct {
	MaxBytes int64
	MaxAge   time.Duration // since the start of a batch's window
	Policy   Policy
	Now      func() time.Time
}

// The errors that a caller tells apart.
var (
	// ErrInUse: another process has the folder.
	ErrInUse = errors.New("another process uses the folder")
	// ErrFull: there is no room, by the bound and Stop, or on the disk.
	ErrFull = errors.New("the spool is full")
)

// Spool is an open folder. It is safe for concurrent use.
type Spool struct {
	dir  string
	opt  Options
	lock *os.File
	wake chan struct{}

	mu      sync.Mutex // guards the rest
	waiting []entry    // the earliest window first
	bytes   int64
	counts  counts
}

type entry struct {
	id   sensorwire.BatchID
	size int64
}

// counts are kept in the folder: they say what a spool has lost since it was made.
type counts struct {
	GivenUp uint64 `json:"given_up"`
	Damaged uint64 `json:"damaged"`
	Refused uint64 `json:"refused"`
}

// Open locks a folder, which it makes if it is not there, removes what a killed
// process left half-written, and puts torn batches aside.
func Open(dir string, opt Options) (*Spool, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Policy == "" {
		opt.Policy = DropOldest
	}
	if opt.Policy != DropOldest && opt.Policy != Stop || opt.MaxBytes < 0 || opt.MaxAge < 0 {
		return nil, fmt.Errorf("open spool: policy %q, %d bytes, %s", opt.Policy, opt.MaxBytes, opt.MaxAge)
	}
	if err := os.MkdirAll(filepath.Join(dir, asideDir), 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{dir: dir, opt: opt, lock: lock, wake: make(chan struct{}, 1)}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s, nil
}

// Close gives the folder back. It unlocks it first: a program that is being started
// at this moment has the file, too, until it runs.
func (s *Spool) Close() error {
	return errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
}

// Wake gets a value when a batch was put.
func (s *Spool) Wake() <-chan struct{} { return s.wake }

func (s *Spool) load() error {
	if b, err := os.ReadFile(filepath.Join(s.dir, countsFile)); err == nil {
		_ = json.Unmarshal(b, &s.counts) // a damaged file begins again at 0
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := f.Name()
		switch {
		case strings.HasPrefix(name, "."): // from a write that did not end
			if err := os.Remove(s.path(name)); err != nil {
				return err
			}
			continue
		case f.IsDir() || !strings.HasSuffix(name, suffix):
			continue
		}
		id, err := sensorwire.ParseBatchID(strings.TrimSuffix(name, suffix))
		if err != nil {
			continue // not ours: it stays, and nobody is told of it
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		if info.Size() < bare {
			if err := s.aside(id, "the file has %d bytes", info.Size()); err != nil {
				return err
			}
			continue
		}
		s.waiting = append(s.waiting, entry{id, info.Size()})
		s.bytes += info.Size()
	}
	slices.SortFunc(s.waiting, byWindow)
	return nil
}

func byWindow(a, b entry) int {
	if c := a.id.Window.Compare(b.id.Window); c != 0 {
		return c
	}
	if c := a.id.Seq - b.id.Seq; c != 0 {
		return c
	}
	return a.id.Seconds - b.id.Seconds
}

func (s *Spool) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Spool) file(id sensorwire.BatchID) string { return s.path(id.String() + suffix) }

// Put keeps a batch, of which write writes the file. When it returns without an
// error, the batch is on disk under its name. The error wraps ErrFull where there
// is no room; what waits already stays.
func (s *Spool) Put(id sensorwire.BatchID, write func(io.Writer) error) error {
	hidden := s.path("." + id.String())
	size, err := writeFile(hidden, write)
	if err == nil {
		err = s.keep(id, hidden, size)
	}
	if err != nil {
		_ = os.Remove(hidden) // if it was written at all
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("spool batch %s: %w", id, err)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	c := &counting{w: f}
	err = write(c)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return c.n, err
}

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// keep makes room for a written file and gives it its name.
func (s *Spool) keep(id sensorwire.BatchID, hidden string, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.waiting, func(e entry) bool { return e.id == id })
	had := int64(0)
	if at >= 0 {
		had = s.waiting[at].size
	}
	if err := s.room(size-had, id); err != nil {
		return err
	}
	if err := os.Rename(hidden, s.file(id)); err != nil {
		return err
	}
	if err := syncFolder(s.dir); err != nil {
		return err
	}
	// room may have taken the earliest away.
	s.waiting = slices.DeleteFunc(s.waiting, func(e entry) bool { return e.id == id })
	s.waiting = append(s.waiting, entry{id, size})
	s.bytes += size - had
	slices.SortFunc(s.waiting, byWindow)
	return nil
}

// room gives batches up until size bytes more fit, or says that they do not.
func (s *Spool) room(size int64, but sensorwire.BatchID) error {
	limit := s.opt.MaxBytes
	if limit > 0 && size > limit {
		return fmt.Errorf("%w: a batch of %d bytes, the bound is %d", ErrFull, size, limit)
	}
	old := func(e entry) bool {
		return s.opt.MaxAge > 0 && s.opt.Now().Sub(e.id.Window) > s.opt.MaxAge
	}
	if s.opt.Policy == Stop {
		if limit > 0 && s.bytes+size > limit {
			return fmt.Errorf("%w: %d bytes wait, the bound is %d", ErrFull, s.bytes, limit)
		}
		return nil
	}
	for len(s.waiting) > 0 && s.waiting[0].id != but && (limit > 0 && s.bytes+size > limit || old(s.waiting[0])) {
		e := s.waiting[0]
		if err := remove(s.file(e.id)); err != nil {
			return err
		}
		s.waiting, s.bytes = s.waiting[1:], s.bytes-e.size
		s.counts.GivenUp++
		if err := s.save(); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a file that may be gone already.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Batch is a batch that waits, open to be read.
type Batch struct {
	*os.File
	ID   sensorwire.BatchID
	Size int64
}

// Oldest opens the batch of the earliest window; io.EOF if none waits. A batch that
// cannot be opened is put aside.
func (s *Spool) Oldest() (*Batch, error) {
	for {
		s.mu.Lock()
		if len(s.waiting) == 0 {
			s.mu.Unlock()
			return nil, io.EOF
		}
		e := s.waiting[0]
		f, err := os.Open(s.file(e.id))
		s.mu.Unlock()
		if err == nil {
			return &Batch{File: f, ID: e.id, Size: e.size}, nil
		}
		if err := s.putAside(e.id, "it cannot be opened: "+err.Error(), &s.counts.Damaged); err != nil {
			return nil, err
		}
	}
}

// Done removes a batch that was taken.
func (s *Spool) Done(id sensorwire.BatchID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := remove(s.file(id)); err != nil {
		return fmt.Errorf("remove batch %s: %w", id, err)
	}
	s.forget(id)
	return nil
}

func (s *Spool) forget(id sensorwire.BatchID) {
	if i := slices.IndexFunc(s.waiting, func(e entry) bool { return e.id == id }); i >= 0 {
		s.bytes -= s.waiting[i].size
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

// Refuse puts a batch aside that is not taken, with the reason.
func (s *Spool) Refuse(id sensorwire.BatchID, reason string) error {
	return s.putAside(id, reason, &s.counts.Refused)
}

func (s *Spool) putAside(id sensorwire.BatchID, reason string, count *uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	*count++
	if err := s.move(id, reason); err != nil {
		return err
	}
	s.forget(id)
	return s.save()
}

// aside is putAside of Open, which has the folder for itself.
func (s *Spool) aside(id sensorwire.BatchID, format string, args ...any) error {
	s.counts.Damaged++
	if err := s.move(id, fmt.Sprintf(format, args...)); err != nil {
		return err
	}
	return s.save()
}

// maxAside bounds the batches that are kept aside; the earliest goes.
const maxAside = 100

func (s *Spool) move(id sensorwire.BatchID, reason string) error {
	to := filepath.Join(s.dir, asideDir, id.String())
	if err := os.WriteFile(to+".why", []byte(reason+"\n"), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("put batch %s aside: %w", id, err)
	}
	if err := os.Rename(s.file(id), to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put batch %s aside: %w", id, err)
	}
	names, err := filepath.Glob(filepath.Join(s.dir, asideDir, "*"+suffix))
	if err != nil || len(names) <= maxAside {
		return err
	}
	slices.Sort(names)
	for _, n := range names[:len(names)-maxAside] {
		if err := errors.Join(remove(n), remove(strings.TrimSuffix(n, suffix)+".why")); err != nil {
			return fmt.Errorf("put batch %s aside: %w", id, err)
		}
	}
	return nil
}

// save keeps the counts. On a full disk they are kept in memory only.
func (s *Spool) save() error {
	b, err := json.Marshal(s.counts)
	if err != nil {
		return err
	}
	hidden := s.path("." + countsFile)
	_, err = writeFile(hidden, func(w io.Writer) error { _, err := w.Write(b); return err })
	if err == nil {
		err = os.Rename(hidden, s.path(countsFile))
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	return err
}

// Stats says what waits, and what was lost.
func (s *Spool) Stats() sensorwire.Spool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := sensorwire.Spool{Batches: len(s.waiting), Bytes: s.bytes, GivenUp: s.counts.GivenUp, Damaged: s.counts.Damaged, Refused: s.counts.Refused}
	if len(s.waiting) > 0 {
		oldest := s.waiting[0].id.Window
		st.Oldest = &oldest
	}
	return st
}

// List returns the batches that wait, the earliest window first, with their sizes.
func (s *Spool) List() (ids []sensorwire.BatchID, sizes []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.waiting {
		ids, sizes = append(ids, e.id), append(sizes, e.size)
	}
	return ids, sizes
}

// syncFolder makes a rename last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// Waiting is a batch that waits.
type Waiting struct {
	ID   sensorwire.BatchID
	Size int64
}

// Look says what waits in a folder, and what it has lost, without locking it.
func Look(dir string) (list []Waiting, lost sensorwire.Spool, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, lost, fmt.Errorf("look into spool: %w", err)
	}
	for _, f := range files {
		id, err := sensorwire.ParseBatchID(strings.TrimSuffix(f.Name(), suffix))
		if err != nil || !strings.HasSuffix(f.Name(), suffix) {
			continue
		}
		if info, err := f.Info(); err == nil { // it may have been delivered meanwhile
			list = append(list, Waiting{id, info.Size()})
		}
	}
	slices.SortFunc(list, func(a, b Waiting) int { return byWindow(entry{a.ID, a.Size}, entry{b.ID, b.Size}) })
	var c counts
	if b, err := os.ReadFile(filepath.Join(dir, countsFile)); err == nil {
		_ = json.Unmarshal(b, &c) // a damaged file says nothing
	}
	return list, sensorwire.Spool{GivenUp: c.GivenUp, Damaged: c.Damaged, Refused: c.Refused}, nil
}
