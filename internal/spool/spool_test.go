package spool_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/sensorwire"
	"teiten/internal/soak"
	"teiten/internal/spool"
)

var start = time.Date(2026, 5, 20, 15, 0, 0, 0, time.UTC)

func batch(n int) sensorwire.BatchID {
	return sensorwire.BatchID{Window: start.Add(time.Duration(n) * 10 * time.Minute), Seconds: 600}
}

func content(n, size int) string { return strings.Repeat(fmt.Sprintf("%012d", n), max(1, size/12)) }

func put(s *spool.Spool, n, size int) error {
	return s.Put(batch(n), func(w io.Writer) error { _, err := io.WriteString(w, content(n, size)); return err })
}

func open(t interface {
	Fatal(args ...any)
}, dir string, opt spool.Options) *spool.Spool {
	s, err := spool.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// waits returns the numbers of the batches that wait.
func waits(s *spool.Spool) []int {
	ids, _ := s.List()
	var out []int
	for _, id := range ids {
		out = append(out, int(id.Window.Sub(start)/(10*time.Minute)))
	}
	return out
}

// TestSpool compares random sequences with a plain model: what was put and not
// taken is there in order, whole, and after each new start.
func TestSpool(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "spool")
		if err != nil {
			r.Fatal(err)
		}
		opt := spool.Options{MaxBytes: rapid.SampledFrom([]int64{0, 1200}).Draw(r, "bound"), Policy: rapid.SampledFrom([]spool.Policy{spool.DropOldest, spool.Stop}).Draw(r, "policy")}
		s := open(r, dir, opt)
		model, taken := map[int]int{}, 0
		sum := func() (n int64) {
			for _, size := range model {
				n += int64(size)
			}
			return n
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"put", "put", "put", "take", "refuse", "again"}).Draw(r, "step") {
			case "put":
				n, size := rapid.IntRange(0, 20).Draw(r, "batch"), 12*rapid.IntRange(1, 40).Draw(r, "size")
				err := put(s, n, size)
				had := int64(model[n])
				if opt.Policy == spool.Stop && opt.MaxBytes > 0 && sum()-had+int64(size) > opt.MaxBytes {
					if !errors.Is(err, spool.ErrFull) {
						r.Fatalf("got %v", err)
					}
					continue
				}
				if err != nil {
					r.Fatal(err)
				}
				for opt.MaxBytes > 0 && sum()-had+int64(size) > opt.MaxBytes {
					earliest := slices.Min(slices.Collect(maps.Keys(model)))
					if earliest == n {
						break
					}
					delete(model, earliest)
				}
				model[n] = size
			case "take", "refuse":
				takeEarliest(r, s, model, &taken)
			case "again":
				s.Close()
				s = open(r, dir, opt)
			}
			if got := waits(s); !slices.Equal(got, slices.Sorted(maps.Keys(model))) {
				r.Fatalf("wait %v, want %v", got, slices.Sorted(maps.Keys(model)))
			}
			if st := s.Stats(); st.Bytes != sum() || st.Batches != len(model) {
				r.Fatalf("%+v for %v", st, model)
			}
		}
		s.Close()
	})
}

// takeEarliest takes or refuses, in turns, the batch that must be the next.
func takeEarliest(r *rapid.T, s *spool.Spool, model map[int]int, taken *int) {
	b, err := s.Oldest()
	if len(model) == 0 {
		if !errors.Is(err, io.EOF) {
			r.Fatalf("got %v", err)
		}
		return
	}
	n := slices.Min(slices.Collect(maps.Keys(model)))
	if err != nil || b.ID != batch(n) {
		r.Fatalf("got %+v, %v, want %s", b, err, batch(n))
	}
	text, err := io.ReadAll(b)
	if err != nil || string(text) != content(n, model[n]) || b.Size != int64(len(text)) {
		r.Fatalf("batch %d has %d bytes, %v", n, len(text), err)
	}
	b.Close()
	if *taken++; *taken%2 == 0 {
		err = s.Done(b.ID)
	} else {
		err = s.Refuse(b.ID, "no")
	}
	if err != nil {
		r.Fatal(err)
	}
	delete(model, n)
}

// TestTwoProcesses: a folder is of one process.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	if _, err := spool.Open(dir, spool.Options{}); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("got %v", err)
	}
	s.Close()
	open(t, dir, spool.Options{}).Close()
}

// TestTornFiles: what a crash or a bad disk leaves is put aside, and the rest goes on.
func TestTornFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Options{})
	for n := range 3 {
		if err := put(s, n, 120); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	name := func(n int) string { return filepath.Join(dir, batch(n).String()+".parquet") }
	for file, text := range map[string]string{name(0): "", filepath.Join(dir, "."+batch(9).String()): "half", filepath.Join(dir, "notes.txt"): "mine",
		filepath.Join(dir, "x.parquet"): "what is this?"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, spool.Options{})
	defer s.Close()
	if got := waits(s); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("wait %v", got)
	}
	if err := os.Remove(name(1)); err != nil { // by a person, while it runs
		t.Fatal(err)
	}
	b, err := s.Oldest()
	if err != nil || b.ID != batch(2) {
		t.Fatalf("got %+v, %v", b, err)
	}
	b.Close()
	if st := s.Stats(); st.Damaged != 2 || st.Batches != 1 || st.Bytes != 120 {
		t.Errorf("got %+v", st)
	}
	if _, err := os.Stat(filepath.Join(dir, "aside", batch(0).String()+".why")); err != nil {
		t.Errorf("no reason: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "."+batch(9).String())); !os.IsNotExist(err) {
		t.Errorf("half a file stays: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("a file of somebody's is gone: %v", err)
	}
}

// TestOldBatches: what is older than the bound is given up when something new comes.
func TestOldBatches(t *testing.T) {
	t.Parallel()
	now := start.Add(time.Hour)
	s := open(t, t.TempDir(), spool.Options{MaxAge: 2 * time.Hour, Now: func() time.Time { return now }})
	defer s.Close()
	for n := range 3 {
		if err := put(s, n, 120); err != nil {
			t.Fatal(err)
		}
	}
	now = start.Add(2*time.Hour + 15*time.Minute)
	if err := put(s, 12, 120); err != nil {
		t.Fatal(err)
	}
	if got, st := waits(s), s.Stats(); !slices.Equal(got, []int{2, 12}) || st.GivenUp != 2 || !st.Oldest.Equal(batch(2).Window) {
		t.Errorf("wait %v, %+v", got, st)
	}
}

// TestFullDisk: a disk without room loses nothing that is there, and says so.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a small file system can be mounted by root only")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	s := open(t, dir, spool.Options{})
	defer s.Close()
	var kept []int
	for n := range 20 {
		err := put(s, n, 12<<10)
		switch {
		case err == nil:
			kept = append(kept, n)
		case !errors.Is(err, spool.ErrFull) || !errors.Is(err, syscall.ENOSPC):
			t.Fatalf("got %v", err)
		}
	}
	if got := waits(s); len(kept) < 2 || len(kept) == 20 || !slices.Equal(got, kept) {
		t.Fatalf("wait %v, kept %v", got, kept)
	}
	b, err := s.Oldest()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(b); err != nil || string(text) != content(kept[0], 12<<10) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	b.Close()
	if err := s.Done(b.ID); err != nil {
		t.Fatal(err)
	}
	if err := put(s, 30, 12<<10); err != nil {
		t.Errorf("after one was taken: %v", err)
	}
}

// TestKilled: whatever Put has acknowledged is there and whole after kill -9.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("TEITEN_SPOOL_CHILD"); dir != "" {
		writeForEver(dir)
		return
	}
	t.Parallel()
	killTimes(t, 10)
}

func TestSoakKilled(t *testing.T) {
	soak.Start(t)
	killTimes(t, soak.Size(30, 100))
}

func killTimes(t *testing.T, times int) {
	dir, next := t.TempDir(), 0
	for range times {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "TEITEN_SPOOL_CHILD="+dir, fmt.Sprint("TEITEN_SPOOL_FROM=", next))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		acknowledged := next
		kill := func() { _ = cmd.Process.Kill() }
		stop := time.AfterFunc(time.Minute, kill)
		for lines.Scan() {
			if acknowledged == next { // it has begun
				stop.Reset(time.Duration(1+next%30) * time.Millisecond)
			}
			if _, err := fmt.Sscanf(lines.Text(), "put %d", &acknowledged); err == nil {
				acknowledged++
			}
		}
		stop.Stop()
		_ = cmd.Wait() // killed
		s := open(t, dir, spool.Options{})
		ids, sizes := s.List()
		if len(ids) < acknowledged {
			t.Fatalf("%d of %d batches are there", len(ids), acknowledged)
		}
		for i, id := range ids {
			raw, err := os.ReadFile(filepath.Join(dir, id.String()+".parquet"))
			if err != nil || id != batch(i) || string(raw) != content(i, 600) || sizes[i] != int64(len(raw)) {
				t.Fatalf("batch %d is %s with %d bytes, %v", i, id, len(raw), err)
			}
		}
		next = len(ids)
		s.Close()
	}
	if next == 0 {
		t.Error("nothing was written")
	}
}

func writeForEver(dir string) {
	s, err := spool.Open(dir, spool.Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	n := 0
	if _, err := fmt.Sscan(os.Getenv("TEITEN_SPOOL_FROM"), &n); err != nil {
		os.Exit(1)
	}
	for ; ; n++ {
		if err := put(s, n, 600); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("put", n)
	}
}
