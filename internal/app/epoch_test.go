package app

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/config"
	"teiten/internal/pgtest"
)

// restoreTest is a database with a mark beside it, and a clock.
type restoreTest struct {
	t    *testing.T
	url  string
	db   *casedb.DB
	cfg  *config.Config
	time time.Time
}

func newRestoreTest(t *testing.T) *restoreTest {
	t.Helper()
	r := &restoreTest{t: t, url: pgtest.New(t), cfg: &config.Config{}, time: time.Date(2026, 5, 20, 9, 0, 0, 0, time.UTC)}
	r.cfg.Database.URL, r.cfg.Database.Dir = r.url, t.TempDir()
	db, err := casedb.Open(r.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r.db = db
	return r
}

// start is a process that begins to work with the database.
func (r *restoreTest) start() *epoch {
	e := newEpoch(r.cfg, r.db, slog.New(slog.DiscardHandler))
	e.now = func() time.Time { return r.time }
	return e
}

func (r *restoreTest) keep(e *epoch, stopped bool) {
	r.t.Helper()
	r.time = r.time.Add(epochEvery)
	if err := e.keep(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	stop, err := r.db.SendStop(r.t.Context())
	if err != nil || (stop != nil) != stopped {
		r.t.Fatalf("stopped is %+v, want %v (%v)", stop, stopped, err)
	}
	if stop != nil && (stop.Reason != casedb.StopRestored || stop.Actor != casedb.ActorSystem) {
		r.t.Errorf("got %+v", stop)
	}
}

// run runs a program of PostgreSQL on the database.
func (r *restoreTest) run(name string, args ...string) {
	r.t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		found = []string{name} // in PATH
	}
	cmd := exec.Command(found[len(found)-1], append(args, "-d", r.url)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// ids gives numbers to a message and a case, as the program does.
func (r *restoreTest) ids() (message, number int64) {
	r.t.Helper()
	for query, to := range map[string]*int64{
		`select nextval(pg_get_serial_sequence('message', 'id'))`:                                                              &message,
		`insert into case_number values (2026, 1) on conflict (year) do update set last = case_number.last + 1 returning last`: &number,
	} {
		if err := r.db.SQL().QueryRow(query).Scan(to); err != nil {
			r.t.Fatal(err)
		}
	}
	return message, number
}

// TestRestoreIsNoticed (docs/operations.md, "Backup"): dump, go on, restore. Mail is
// stopped by itself, and no number of a row or case is given a second time.
func TestRestoreIsNoticed(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		t.Run(map[bool]string{true: "while it runs", false: "while it is stopped"}[running], func(t *testing.T) {
			t.Parallel()
			r := newRestoreTest(t)
			e := r.start()
			r.keep(e, false)
			r.ids()
			dump := filepath.Join(t.TempDir(), "teiten.dump")
			r.run("pg_dump", "-Fc", "-f", dump)
			r.keep(e, false)
			var message, number int64
			for range 30 {
				message, number = r.ids()
			}
			cmdArgs := []string{"--clean", "--if-exists", "--no-owner", dump}
			r.run("pg_restore", cmdArgs...)
			if again, n := r.ids(); again > message || n > number {
				t.Fatalf("the restore gives %d and %d: it goes back to nothing", again, n)
			}
			if !running {
				e = r.start()
			}
			r.keep(e, true)
			if again, n := r.ids(); again <= message || n <= number {
				t.Errorf("numbers %d and %d are given again: %d, %d", message, number, again, n)
			}
			// It is noticed once: a lead starts mail again, and it stays on.
			if err := r.db.SetSendStopped(t.Context(), false, "lead", "checked", r.time); err != nil {
				t.Fatal(err)
			}
			r.keep(e, false)
			r.keep(r.start(), false)
			at, err := r.db.RestoredAt(t.Context())
			if err != nil || at.IsZero() {
				t.Errorf("restored at %s, %v", at, err)
			}
		})
	}
}

// TestNoRestoreNoStop: what happens every day stops no mail.
func TestNoRestoreNoStop(t *testing.T) {
	t.Parallel()
	r := newRestoreTest(t)
	first, second := r.start(), r.start() // two processes of one machine
	for range 3 * 20 {
		r.keep(first, false)
		r.keep(second, false)
	}
	for range 50 { // one of them did nothing for a long time
		r.keep(first, false)
	}
	r.keep(second, false)
	r.cfg.Database.Dir = t.TempDir() // another machine joins, or the folder was lost
	r.keep(r.start(), false)
	r.keep(first, false)
	if err := os.WriteFile(first.file, nil, 0o600); err != nil { // cut in a crash
		t.Fatal(err)
	}
	r.keep(r.start(), false)
	if seen, err := r.db.RestoredAt(t.Context()); err != nil || !seen.IsZero() {
		t.Errorf("restored at %s, %v", seen, err)
	}
}

// TestNoMarkNoMail: while the mark cannot be kept nothing is sent, and the program
// is not ready.
func TestNoMarkNoMail(t *testing.T) {
	t.Parallel()
	r := newRestoreTest(t)
	e := r.start()
	r.keep(e, false)
	if err := e.ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	e.file = filepath.Join(r.cfg.Database.Dir, "gone", "epoch")
	r.time = r.time.Add(epochEvery)
	if err := e.keep(t.Context()); err == nil || e.ready(t.Context()) == nil {
		t.Errorf("kept without a place: %v", err)
	}
}

// TestReadyWithASilentServer: a server that takes connections and says nothing, as
// one that was stopped does, keeps no page waiting.
func TestReadyWithASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u := url.URL{Scheme: "postgres", Host: l.Addr().String(), Path: "/x", RawQuery: "sslmode=disable"}
	db, err := casedb.Open(u.String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- db.Ping(ctx) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a silent server is well")
		}
	case <-time.After(20 * time.Second):
		t.Error("the question waits for ever")
	}
}

// TestLimitedDatabase: a page's statement ends by itself, and so does the wait for a
// server that has fallen silent.
func TestLimitedDatabase(t *testing.T) {
	t.Parallel()
	r := newRestoreTest(t)
	limited, err := r.db.Limited()
	if err != nil {
		t.Fatal(err)
	}
	defer limited.Close()
	var says [2]string
	for i, db := range []*casedb.DB{limited, r.db} {
		if err := db.SQL().QueryRow(`show statement_timeout`).Scan(&says[i]); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(says[:], " ") != "30s 1h" {
		t.Errorf("time-outs %q", says)
	}
	var log bytes.Buffer
	e := newEpoch(&config.Config{}, limited, slog.New(slog.NewTextHandler(&log, nil)))
	if e.file != "" && !strings.HasSuffix(e.file, "epoch") {
		t.Errorf("file %s", e.file)
	}
}
