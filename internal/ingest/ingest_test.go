package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/internal/soak"
)

// writeCapture makes a capture of raw IPv4 (link type 101): SYNs of n packets
// over the hours, from 400 sources to a few ports.
func writeCapture(t *testing.T, n, hours int) string {
	t.Helper()
	var b bytes.Buffer
	le := binary.LittleEndian
	head := make([]byte, 24)
	le.PutUint32(head, 0xa1b2c3d4)
	le.PutUint16(head[4:], 2)
	le.PutUint16(head[6:], 4)
	le.PutUint32(head[16:], 65535)
	le.PutUint32(head[20:], 101)
	b.Write(head)
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 1, 15, 12, 0, 0, 7000, time.UTC).UnixMicro() // no packet on a full second
	for i := range n {
		at := start + int64(i)*int64(hours)*3600e6/int64(n)
		p := make([]byte, 16+40)
		le.PutUint32(p, uint32(at/1e6))
		le.PutUint32(p[4:], uint32(at%1e6))
		le.PutUint32(p[8:], 40)
		le.PutUint32(p[12:], 40)
		ip := p[16:]
		ip[0], ip[3], ip[8], ip[9] = 0x45, 40, 50, 6
		copy(ip[12:], []byte{198, 51, byte(100 + r.IntN(2)), byte(r.IntN(200))})
		copy(ip[16:], []byte{192, 0, 2, byte(r.IntN(256))})
		tcp := ip[20:]
		binary.BigEndian.PutUint16(tcp, uint16(1024+r.IntN(60000)))
		binary.BigEndian.PutUint16(tcp[2:], []uint16{22, 23, 80, 443, 445, 8080}[r.IntN(6)])
		binary.BigEndian.PutUint32(tcp[4:], r.Uint32())
		tcp[12], tcp[13], tcp[14] = 0x50, 0x02, 0x20
		b.Write(p)
	}
	name := filepath.Join(t.TempDir(), "capture.pcap")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func openImportTest(t *testing.T, url string) *casedb.DB {
	t.Helper()
	db, err := casedb.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func importOnce(t *testing.T, db *casedb.DB, opt Options, files ...string) []FileResult {
	t.Helper()
	r, err := Files(t.Context(), db, files, "s1", opt, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// contents tells two databases with the same observations from all others: the
// number of batches, rows and packets, and a sum of hashes of the rows.
func contents(t *testing.T, db *casedb.DB) string {
	t.Helper()
	var s string
	err := db.SQL().QueryRowContext(t.Context(), `select concat_ws(' ', (select count(*) from batch), (select sum(packets) from batch),
		count(*), sum(packets), sum(hashtextextended(concat_ws(' ', window_start, source, proto, port, class, packets, bytes,
			destinations, destination, first_at, last_at, marks, fingerprints, samples), 0))) from observation`).Scan(&s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// undisturbed returns the contents after one import in peace.
func undisturbed(t *testing.T, opt Options, file string) string {
	t.Helper()
	db := openImportTest(t, pgtest.New(t))
	importOnce(t, db, opt, file)
	return contents(t, db)
}

func TestImportTwice(t *testing.T) {
	t.Parallel()
	db := openImportTest(t, pgtest.New(t))
	file := writeCapture(t, 20000, 5)
	first := importOnce(t, db, Options{}, file)[0]
	if first.Err != nil || first.Known || first.Packets != 20000 || first.Written != 5 || first.Repeated != 0 {
		t.Fatalf("got %+v", first)
	}
	before := contents(t, db)
	second := importOnce(t, db, Options{Window: time.Minute}, file)[0]
	if second.Err != nil || !second.Known || second.Packets != 20000 || second.Written != 0 {
		t.Errorf("got %+v", second)
	}
	// The same packets by another way: compressed, then as a stream.
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".gz", packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range importOnce(t, db, Options{Stdin: bytes.NewReader(raw)}, file+".gz", "-") {
		if r.Err != nil || r.Known || r.Packets != 20000 || r.Written != 0 || r.Repeated != 5 {
			t.Errorf("got %+v", r)
		}
	}
	if after := contents(t, db); after != before {
		t.Errorf("the database changed from %s to %s", before, after)
	}
}

func TestImportOfBadFiles(t *testing.T) {
	t.Parallel()
	db := openImportTest(t, pgtest.New(t))
	dir := t.TempDir()
	garbage, empty := filepath.Join(dir, "garbage"), filepath.Join(dir, "empty")
	for name, text := range map[string]string{garbage: strings.Repeat("no capture ", 100), empty: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := writeCapture(t, 1000, 2)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.pcap")
	if err := os.WriteFile(cut, whole[:24+56*500+20], 0o600); err != nil {
		t.Fatal(err)
	}
	results := importOnce(t, db, Options{}, garbage, empty, filepath.Join(dir, "none"), dir, good, cut)
	for _, r := range results[:4] {
		if r.Err == nil {
			t.Errorf("%s was read: %+v", r.File, r)
		}
	}
	if r := results[4]; r.Err != nil || r.Packets != 1000 || r.Truncated {
		t.Errorf("got %+v", r)
	}
	if r := results[5]; r.Err != nil || r.Packets != 500 || !r.Truncated || r.Warning == "" {
		t.Errorf("got %+v", r)
	}
	imports, err := db.Imports(t.Context(), 0, 10)
	if err != nil || len(imports) != 2 || !imports[0].Truncated || imports[0].Packets != 500 || imports[0].CompletedAt == nil {
		t.Errorf("got %+v, %v", imports, err)
	}
	if _, err := Files(t.Context(), db, []string{good}, "s1", Options{Window: time.Millisecond}, nil); err == nil {
		t.Error("a window of 1 ms was taken")
	}
}

func TestImportOfOneFileTwiceAtOnce(t *testing.T) {
	t.Parallel()
	// Windows in parts, so that one window has several batches.
	opt := Options{KeyLimit: 700}
	file := writeCapture(t, 60000, 12)
	want := undisturbed(t, opt, file)
	db := openImportTest(t, pgtest.New(t))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			r, err := Files(t.Context(), db, []string{file}, "s1", opt, nil)
			if err != nil || r[0].Err != nil {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
	wg.Wait()
	if got := contents(t, db); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestImportOfWindowsTooLargeToHold(t *testing.T) {
	t.Parallel()
	file := writeCapture(t, 30000, 3)
	want := undisturbed(t, Options{}, file)
	db := openImportTest(t, pgtest.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Files(ctx, db, []string{file}, "s1", Options{textLimit: 1}, func(_ string, read, size int64) {
		if read > size/2 {
			cancel()
		}
	})
	cancel()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want canceled", err)
	}
	last := importOnce(t, db, Options{textLimit: 1}, file)[0]
	if got := contents(t, db); got != want || last.Written == 0 || last.Written+last.Repeated != 3 {
		t.Errorf("got %s, want %s, with %+v", got, want, last)
	}
}

func TestImportCanceledGoesOn(t *testing.T) {
	t.Parallel()
	file := writeCapture(t, 60000, 24)
	want := undisturbed(t, Options{}, file)
	db := openImportTest(t, pgtest.New(t))
	for round := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Files(ctx, db, []string{file}, "s1", Options{}, func(_ string, read, size int64) {
			if read > size*int64(round+1)/5 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want canceled", err)
		}
	}
	last := importOnce(t, db, Options{Window: time.Minute, KeyLimit: 100}, file)[0]
	if got := contents(t, db); got != want || last.Repeated == 0 {
		t.Errorf("got %s, want %s, with %d batches repeated", got, want, last.Repeated)
	}
}

// childVariable makes TestImportChild import: "URL FILE".
const childVariable = "TEITEN_TEST_IMPORT_CHILD"

// TestImportChild is the process that TestImportKilled kills.
func TestImportChild(t *testing.T) {
	url, file, ok := strings.Cut(os.Getenv(childVariable), " ")
	if !ok {
		t.Skip("runs only as another test's child")
	}
	importOnce(t, openImportTest(t, url), Options{KeyLimit: 1500}, file)
}

func TestImportKilled(t *testing.T) {
	t.Parallel()
	importKilled(t, 1, 3)
}

func TestSoakImportKilled(t *testing.T) {
	soak.Start(t)
	importKilled(t, soak.Size(2, 20), 5)
}

func importKilled(t *testing.T, rounds, kills int) {
	file := writeCapture(t, 40000, 48)
	opt := Options{KeyLimit: 1500}
	want := undisturbed(t, opt, file)
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			db := openImportTest(t, url)
			for kill := range kills {
				child := exec.Command(os.Args[0], "-test.run", "^TestImportChild$")
				child.Env = append(os.Environ(), childVariable+"="+url+" "+file)
				if err := child.Start(); err != nil {
					t.Fatal(err)
				}
				// Some batches further, at a random moment, mostly within one.
				for deadline := time.Now().Add(time.Minute); batches(t, db) < 8*(kill+1) && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(rand.N(20 * time.Millisecond))
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				if child.Wait() == nil {
					t.Fatal("the child ended before it was killed")
				}
			}
			last := importOnce(t, db, opt, file)[0]
			if last.Written == 0 || last.Repeated < 8*kills || last.Packets != 40000 {
				t.Errorf("at last %d batches written, %d repeated, %d packets", last.Written, last.Repeated, last.Packets)
			}
			if got := contents(t, db); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// batches returns how many batches the ledger has.
func batches(t *testing.T, db *casedb.DB) (n int) {
	t.Helper()
	if err := db.SQL().QueryRowContext(t.Context(), `select count(*) from batch`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestImportWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	file := writeCapture(t, 80000, 48)
	want := undisturbed(t, Options{}, file)
	cluster := pgtest.NewCluster(t)
	db := openImportTest(t, cluster.URL())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	reached := make(chan int64, 100)
	type outcome struct {
		results []FileResult
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := Files(ctx, db, []string{file}, "s1", Options{}, func(_ string, read, size int64) {
			select {
			case reached <- read * 100 / size:
			default:
			}
		})
		done <- outcome{r, err}
	}()
	for _, at := range []int64{10, 40, 70} {
		for p := range reached {
			if p >= at {
				break
			}
		}
		if at == 40 {
			cluster.Kill()
		} else {
			cluster.Stop()
		}
		cluster.Start() // the server is away as long as it takes to start
	}
	o := <-done
	if o.err != nil || len(o.results) != 1 || o.results[0].Err != nil || o.results[0].Packets != 80000 {
		t.Fatalf("got %+v, %v", o.results, o.err)
	}
	if got := contents(t, db); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
