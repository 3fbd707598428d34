package localpg_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"teiten/internal/localpg"
	"teiten/internal/soak"
)

const db = localpg.DefaultDatabase

func TestFirstStartAndRestartKeepTheData(t *testing.T) {
	t.Parallel()
	cfg := localpg.Config{DataDir: filepath.Join(folder(t), "pg")}
	first := startHere(t, cfg)
	address := first.URL(db)
	if !first.Owner() {
		t.Error("the only process is not the owner")
	}
	for statement, want := range map[string]string{
		`show data_checksums;`:   "on",
		`show lc_collate;`:       "C",
		`show server_encoding;`:  "UTF8",
		`show listen_addresses;`: "",
		`show timezone;`:         "UTC",
		`show fsync;`:            "on",
		`select string_agg(x, '' order by x collate "ja-x-icu") from (values ('ん'), ('あ'), ('カ')) v(x);`: "あカん",
	} {
		if got := query(t, address, statement); got != want {
			t.Errorf("got %q for %s, want %q", got, statement, want)
		}
	}
	query(t, address, `create table kept as select 42 as n;`)
	stopHere(t, first)
	if _, err := tryQuery(address, `select 1;`); err == nil {
		t.Error("the server answers after Stop")
	}
	second := startHere(t, cfg)
	if second.URL(db) != address {
		t.Errorf("got URL %s after the restart, want %s", second.URL(db), address)
	}
	if got := query(t, address, `select n from kept;`); got != "42" {
		t.Errorf("got %q, want the row of the first start", got)
	}
}

func TestOnlyTheServersUserEntersTheSocketFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "pg")
	startHere(t, localpg.Config{DataDir: dir, Throwaway: true})
	for _, name := range []string{"run", "data"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o700 {
			t.Errorf("got mode %o of %s, want 700", got, name)
		}
	}
}

func TestSecondProcessJoinsAndTakesOver(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := run(t, "hold", dir, 0)
	owner, address := first.ready()
	if !owner {
		t.Fatal("the first process is not the owner")
	}
	second := run(t, "hold", dir, 0)
	owner, joined := second.ready()
	if owner || joined != address {
		t.Fatalf("got owner %v and %s, want a client of %s", owner, joined, address)
	}
	third := run(t, "hold", dir, 0)
	third.ready()
	third.kill()
	query(t, address, `create table kept as select 42 as n;`)
	first.kill()
	if got := eventually(t, address, `select n from kept;`); got != "42" {
		t.Errorf("got %q from the second process's server, want 42", got)
	}
	if err := second.terminate(); err != nil {
		t.Errorf("got %v, want a clean end of the second process", err)
	}
}

// eventually repeats a query until a server answers it.
func eventually(t *testing.T, address, statement string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		answer, err := tryQuery(address, statement)
		if err == nil {
			return answer
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestKilledServerIsStartedAgain(t *testing.T) {
	t.Parallel()
	c := startHere(t, localpg.Config{DataDir: folder(t)})
	query(t, c.URL(db), `create table kept (n int);`)
	for i := range 2 {
		query(t, c.URL(db), fmt.Sprintf(`insert into kept values (%d);`, i))
		if err := syscall.Kill(c.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got, want := eventually(t, c.URL(db), `select count(*) from kept;`), strconv.Itoa(i+1); got != want {
			t.Errorf("got %s rows, want %s", got, want)
		}
	}
}

func TestStartAfterTheOwnerWasKilled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for range 2 {
		p := run(t, "hold", dir, 0)
		if owner, _ := p.ready(); !owner {
			t.Fatal("the only process is not the owner")
		}
		p.kill()
	}
	startHere(t, localpg.Config{DataDir: dir})
}

func TestStartAfterAKillDuringTheFirstStart(t *testing.T) {
	t.Parallel()
	startAfterKills(t, 1)
}

func TestSoakStartAfterAKillDuringTheFirstStart(t *testing.T) {
	soak.Start(t)
	startAfterKills(t, soak.Size(5, 50))
}

func startAfterKills(t *testing.T, kills int) {
	for range kills {
		dir := folder(t)
		p := run(t, "hold", dir, 0)
		time.Sleep(rand.N(1200 * time.Millisecond)) // no condition to wait for: any moment is to be tried
		p.kill()
		c := startHere(t, localpg.Config{DataDir: dir})
		query(t, c.URL(db), `select 1;`)
		stopHere(t, c)
		left, err := filepath.Glob(filepath.Join(dir, "data.new-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("got %v and %v, want nothing left of the first start", left, err)
		}
	}
}

// TestNoAcknowledgedInsertIsLost kills the program, its server, or both, again and again while it inserts, and
// then looks for every row that was acknowledged.
func TestNoAcknowledgedInsertIsLost(t *testing.T) {
	t.Parallel()
	noInsertIsLost(t, 3) // one of each kind
}

func TestSoakNoAcknowledgedInsertIsLost(t *testing.T) {
	soak.Start(t)
	noInsertIsLost(t, soak.Size(9, 90))
}

func noInsertIsLost(t *testing.T, rounds int) {
	dir := folder(t)
	acked := 0
	read := func(line string) {
		n, err := strconv.Atoi(line)
		if err != nil || n != acked {
			t.Fatalf("got %q, want the acknowledgement of %d", line, acked)
		}
		acked++
	}
	for round := range rounds {
		p := run(t, "insert", dir, acked)
		for range 30 {
			read(p.line())
		}
		if round%3 > 0 {
			pid, err := serverPID(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if round%3 == 1 {
			for range 200 { // more than can wait in the pipe from before the kill
				read(p.line())
			}
		}
		for _, line := range p.kill() {
			read(line)
		}
	}
	c := startHere(t, localpg.Config{DataDir: dir})
	got := query(t, c.URL(db), fmt.Sprintf(`select count(*) from acked where n < %d;`, acked))
	if got != strconv.Itoa(acked) {
		t.Errorf("got %s rows, want all %d acknowledged ones", got, acked)
	}
	t.Logf("%d acknowledged inserts, %s found", acked, got)
}

func TestCleanStopOnSIGTERM(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	p := run(t, "hold", dir, 0)
	p.ready()
	begun := time.Now()
	if err := p.terminate(); err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("got a stop of %s, want less than 10 s", took)
	}
	if _, err := serverPID(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no pid file", err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil || !strings.Contains(string(log), "database system is shut down") {
		t.Errorf("got %v and a log without the shutdown:\n%s", err, log)
	}
}

func TestStopWithAnOpenTransactionIsPrompt(t *testing.T) {
	t.Parallel()
	c := startHere(t, localpg.Config{DataDir: folder(t)})
	s, err := openSession(c.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	if _, err := s.ask(`begin; create table never (n int);`); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	stopHere(t, c)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("got a stop of %s, want less than 10 s", took)
	}
}

func TestDeadServerThatNobodyBuriesIsNoObstacle(t *testing.T) {
	t.Parallel()
	p := run(t, "orphan", folder(t), 0)
	if owner, _ := p.ready(); !owner {
		t.Error("the only process is not the owner")
	}
	if err := p.terminate(); err != nil {
		t.Error(err)
	}
}

func TestPidFileOfAnotherProgramIsNoObstacle(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stopHere(t, startHere(t, localpg.Config{DataDir: dir}))
	text := fmt.Sprintf("%d\n%s/data\n1700000000\n5432\n%s/run\n\n  1 2\nready   \n", os.Getpid(), dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startHere(t, localpg.Config{DataDir: dir})
}

func TestLongPathAndStrangeNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		filepath.Join(strings.Repeat("n", 120), strings.Repeat("m", 120)),
		"a, b 'c' \"d\" %41 データ",
	} {
		dir := filepath.Join(folder(t), name)
		c := startHere(t, localpg.Config{DataDir: dir, Throwaway: true})
		query(t, c.URL(db), `select 1;`)
		joined := run(t, "hold", dir, 0)
		if owner, address := joined.ready(); owner || address != c.URL(db) {
			t.Errorf("got owner %v and %s, want a client of %s", owner, address, c.URL(db))
		}
	}
}

func TestOrdinaryUserHasAServerInTheHomeFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as an ordinary user already")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody")
	}
	uid, err := strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(folder(t), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, uid, uid); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(home), "program") // the test binary may lie where nobody cannot go
	copyExecutable(t, os.Args[0], program)
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	p := start(t, cmd, "hold", "", 0)
	owner, address := p.ready()
	if !owner {
		t.Error("the only process is not the owner")
	}
	if got := query(t, address, `select 1;`); got != "1" { // root may enter every folder
		t.Errorf("got %q, want 1", got)
	}
	if _, err := serverPID(filepath.Join(home, ".local/share/teiten/pg")); err != nil {
		t.Error(err)
	}
	if err := p.terminate(); err != nil {
		t.Error(err)
	}
}

func copyExecutable(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, in.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestUnreachableFolderIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root's server has another user")
	}
	closed := filepath.Join(folder(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := localpg.Start(t.Context(), localpg.Config{DataDir: filepath.Join(closed, "pg")})
	if err == nil || !strings.Contains(err.Error(), "cannot enter "+closed) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line that names %s", err, closed)
	}
}

func TestMissingBinariesAreOneClearLine(t *testing.T) {
	t.Parallel()
	_, err := localpg.Start(t.Context(), localpg.Config{DataDir: folder(t), BinDir: t.TempDir()})
	if !errors.Is(err, localpg.ErrNoBinaries) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want ErrNoBinaries in one line", err)
	}
}

func TestFolderOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stopHere(t, startHere(t, localpg.Config{DataDir: dir, Throwaway: true}))
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := localpg.Start(t.Context(), localpg.Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "postgresql-9") {
		t.Errorf("got %v, want an error that names the package to install", err)
	}
}

func TestBadSettingFailsTheStartWithTheServersReason(t *testing.T) {
	t.Parallel()
	_, err := localpg.Start(t.Context(), localpg.Config{
		DataDir:  folder(t),
		Settings: map[string]string{"max_connections": "none"},
	})
	if err == nil || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("got %v, want the server's reason", err)
	}
}
