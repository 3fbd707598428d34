package localpg_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"teiten/internal/localpg"
)

// roleVariable makes this test binary play a program that uses the package, so that tests can kill it.
const roleVariable = "LOCALPG_TEST_ROLE"

const patience = time.Minute

func TestMain(m *testing.M) {
	roles := map[string]func(dir string, arg int) error{
		"hold":   hold,
		"insert": insertFrom,
		"orphan": startBesideZombie,
	}
	role, isRole := roles[os.Getenv(roleVariable)]
	if !isRole {
		os.Exit(m.Run())
	}
	arg, _ := strconv.Atoi(os.Getenv("LOCALPG_TEST_ARG")) // absent means 0
	if err := role(os.Getenv("LOCALPG_TEST_DIR"), arg); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// hold keeps a server until SIGTERM.
func hold(dir string, _ int) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	c, err := localpg.Start(ctx, localpg.Config{DataDir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	fmt.Printf("ready %v %s\n", c.Owner(), c.URL(localpg.DefaultDatabase))
	<-ctx.Done()
	stopping, cancelStop := context.WithTimeout(context.Background(), patience)
	defer cancelStop()
	return c.Stop(stopping)
}

// insertFrom inserts number after number and prints each one the server has acknowledged, over all deaths of
// the server, until it is killed.
func insertFrom(dir string, n int) error {
	c, err := localpg.Start(context.Background(), localpg.Config{DataDir: dir})
	if err != nil {
		return err
	}
	for {
		s, err := openSession(c.URL(localpg.DefaultDatabase))
		if err != nil {
			return err
		}
		_, err = s.ask(`create table if not exists acked (n int primary key);`)
		for err == nil {
			if _, err = s.ask(fmt.Sprintf(`insert into acked values (%d) on conflict do nothing;`, n)); err == nil {
				fmt.Println(n)
				n++
			}
		}
		s.close()
		time.Sleep(20 * time.Millisecond)
	}
}

// startBesideZombie kills a program and its server in a way that leaves the dead server unburied, as in a
// container whose first process reaps no children, and starts a server on the same folder.
func startBesideZombie(dir string, _ int) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=hold")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		return fmt.Errorf("got %q and %v, want ready", line, err)
	}
	pid, err := serverPID(dir)
	if err != nil {
		return err
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	if err := cmd.Wait(); err == nil {
		return errors.New("the killed program ended well")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(stat), ") Z ") {
			break
		}
		if err != nil || time.Now().After(deadline) {
			// Somebody else has taken the server in: the start below is still worth a look.
			fmt.Fprintf(os.Stderr, "no zombie: %q, %v\n", stat, err)
			break
		}
	}
	return hold(dir, 0)
}

// program is this test binary in one of its roles.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	ended chan error
}

// run starts a program; it is killed with the test.
func run(t *testing.T, role, dir string, arg int) *program {
	t.Helper()
	return start(t, exec.Command(os.Args[0]), role, dir, arg)
}

func start(t *testing.T, cmd *exec.Cmd, role, dir string, arg int) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, lines: make(chan string, 1<<16), ended: make(chan error, 1)}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, roleVariable+"="+role, "LOCALPG_TEST_DIR="+dir, "LOCALPG_TEST_ARG="+strconv.Itoa(arg))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := p.ended
	go func() {
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		if p.ended != nil {
			p.kill()
		}
	})
	return p
}

// line returns the next line the program prints.
func (p *program) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatal("the program has ended")
		}
		return line
	case <-time.After(patience):
		p.t.Fatal("the program says nothing")
	}
	return ""
}

// ready waits for a holder and returns whether it is the owner, and its URL.
func (p *program) ready() (owner bool, address string) {
	p.t.Helper()
	var word string
	line := p.line()
	if _, err := fmt.Sscan(line, &word, &owner, &address); err != nil || word != "ready" {
		p.t.Fatalf("got %q, want ready", line)
	}
	return owner, address
}

// kill ends the program with SIGKILL and returns what it had printed before.
func (p *program) kill() (printed []string) {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	for line := range p.lines {
		printed = append(printed, line)
	}
	<-p.ended
	p.ended = nil
	return printed
}

// terminate ends the program with SIGTERM and returns how it ended.
func (p *program) terminate() error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	ended := p.ended
	p.ended = nil
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		p.t.Fatal("the program does not end")
	}
	return nil
}

// session is a psql that acknowledges each statement.
type session struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func openSession(address string) (*session, error) {
	paths, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil {
		return nil, err
	}
	psql := "psql"
	if len(paths) > 0 {
		psql = paths[len(paths)-1]
	}
	s := &session{cmd: exec.Command(psql, "-XAtq", "-v", "ON_ERROR_STOP=1", address)}
	s.cmd.Dir = "/"
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	s.cmd.Stderr = s.cmd.Stdout
	return s, s.cmd.Start()
}

// ask runs one statement and returns what it prints.
func (s *session) ask(statement string) (string, error) {
	if _, err := io.WriteString(s.in, statement+"\n\\echo .\n"); err != nil {
		return "", err
	}
	var answer []string
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, strings.Join(append(answer, line), " "))
		}
		if line = strings.TrimSpace(line); line == "." {
			return strings.Join(answer, "\n"), nil
		}
		answer = append(answer, line)
	}
}

func (s *session) close() {
	_ = s.in.Close() // psql may be gone
	_ = s.cmd.Wait() // its failure has been seen by ask
}

// query runs one statement on a connection of its own.
func query(t *testing.T, address, statement string) string {
	t.Helper()
	answer, err := tryQuery(address, statement)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func tryQuery(address, statement string) (string, error) {
	s, err := openSession(address)
	if err != nil {
		return "", err
	}
	defer s.close()
	return s.ask(statement)
}

// serverPID reads the server's process id from its data folder.
func serverPID(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// folder returns an empty folder that the server's user can enter; t.TempDir is closed to others.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A server whose owner was killed may still be writing its last files.
		for range 50 {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error(err)
	})
	return dir
}

// startHere starts a server in this process and stops it with the test.
func startHere(t *testing.T, cfg localpg.Config) *localpg.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := localpg.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopHere(t, c) })
	return c
}

func stopHere(t *testing.T, c *localpg.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
}
