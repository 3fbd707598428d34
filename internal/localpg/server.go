package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// pollEvery is how often files and processes of the server are looked at while something is awaited.
	pollEvery = 20 * time.Millisecond
	// takeOverEvery is how often a client tries to become the owner.
	takeOverEvery = 200 * time.Millisecond
	// stopPatience is how long a server may take to stop cleanly.
	stopPatience = 20 * time.Second
	// quitPatience is how long a server may take to stop at once.
	quitPatience = 5 * time.Second
	// zombiePatience is how long we wait for the parent of a dead server to take note of its end.
	zombiePatience = time.Second
	// unfinishedPatience is how long we try to remove a cluster that a killed initdb left.
	unfinishedPatience = 3 * time.Second
	// inUsePatience is how long a first start waits for the remains of an earlier server to go away.
	inUsePatience = 30 * time.Second
	// restartMin and restartMax bound the pause between two starts of a server that dies.
	restartMin = 50 * time.Millisecond
	restartMax = 5 * time.Second
)

// errStopped ends run's steps when Stop was called.
var errStopped = errors.New("stopped")

// initialSettings are appended to a new cluster's postgresql.conf, where an operator may change them.
const initialSettings = `
# Chosen by teiten when it created this cluster; change them as you like.
shared_buffers = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_compression = on
random_page_cost = 1.1
max_connections = 100
`

// run owns or joins the server until Stop is called. It sends the outcome of the start once. It stays on one
// operating system thread because the kernel stops the server when the thread that started it ends.
func (c *Cluster) run(started chan<- error) {
	defer close(c.done)
	runtime.LockOSThread()
	reported := false
	report := func(err error) {
		if !reported {
			reported = true
			started <- err
		}
	}
	lock, err := c.acquire(report)
	if err != nil {
		report(err)
		return
	}
	defer func() {
		if err := lock.Close(); err != nil {
			c.log.Error("unlock the data folder", "err", err)
		}
	}()
	c.mu.Lock()
	c.owner = true
	c.mu.Unlock()

	pause, begun := restartMin, time.Now()
	for {
		err := c.prepare()
		if err == nil {
			err = c.serve(func() { pause = restartMin; report(nil) })
		}
		if errors.Is(err, errStopped) {
			report(err)
			return
		}
		var inUse inUseError
		mayWait := errors.As(err, &inUse) && time.Since(begun) < inUsePatience
		if !reported && !mayWait {
			report(err)
			return
		}
		if reported {
			c.log.Error("the database server ended unexpectedly", "err", err)
			if c.cfg.KeepDown {
				<-c.stop
				return
			}
		}
		if c.sleep(pause) {
			report(errStopped)
			return
		}
		pause = min(2*pause, restartMax)
	}
}

// acquire returns the lock of the owner. While another process has it, acquire reports success as soon as that
// process's server is ready, and keeps trying: when the owner ends, we are the next.
func (c *Cluster) acquire(report func(error)) (*os.File, error) {
	every := pollEvery
	for {
		lock, err := c.folders.tryLock()
		if lock != nil || err != nil {
			return lock, err
		}
		p, ok := readPidFile(c.folders.data)
		if every == pollEvery && ok && p.ready && stateOf(p.pid) == processAlive {
			c.setSocketDir(p.socketDir)
			report(nil)
			every = takeOverEvery
		}
		if c.sleep(every) {
			return nil, errStopped
		}
	}
}

// prepare creates what a start needs: the cluster, the socket folder, and a data folder that no earlier server
// holds.
func (c *Cluster) prepare() error {
	if _, err := os.Stat(c.folders.data); errors.Is(err, os.ErrNotExist) {
		if err := c.initialize(); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if known := c.socketFolder(); known == "" {
		dir, err := c.folders.makeSocketDir(c.account)
		if err != nil {
			return err
		}
		c.setSocketDir(dir)
	} else if err := makePrivate(known, c.account); err != nil {
		return fmt.Errorf("create the socket folder: %w", err)
	}
	if err := c.clearEarlier(); err != nil {
		return err
	}
	// No server is left, and the folder is ours alone: whatever process the socket's lock names is another one.
	socketLock := filepath.Join(c.socketFolder(), socketFile+".lock")
	if err := os.Remove(socketLock); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket's lock: %w", err)
	}
	return nil
}

// initialize makes the cluster under a temporary name and renames it, so that a data folder is complete or
// absent whenever we are killed.
func (c *Cluster) initialize() error {
	c.removeUnfinished()
	fresh, err := os.MkdirTemp(c.folders.base, newDataPattern)
	if err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	if err := c.account.own(fresh); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	args := []string{"-D", fresh, "-U", superuser, "--auth=trust", "--locale=C", "-E", "UTF8", "--data-checksums", "--no-instructions"}
	if c.cfg.Throwaway {
		args = append(args, "--no-sync")
	}
	begun := time.Now()
	cmd := c.command("initdb", fresh, syscall.SIGKILL, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run initdb: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-c.stop:
		// The group may be gone already; Wait tells.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return errors.Join(errStopped, <-ended, os.RemoveAll(fresh))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("initdb: %w: %s", err, lastLines(output.String())), os.RemoveAll(fresh))
	}
	if err := appendTo(filepath.Join(fresh, "postgresql.conf"), initialSettings); err != nil {
		return fmt.Errorf("write the server's settings: %w", err)
	}
	if err := os.Rename(fresh, c.folders.data); err != nil {
		return fmt.Errorf("put the data folder in place: %w", err)
	}
	if err := syncDir(c.folders.base); err != nil {
		return fmt.Errorf("put the data folder in place: %w", err)
	}
	c.log.Info("database cluster created", "dir", c.folders.data, "took", time.Since(begun).Round(time.Millisecond))
	return nil
}

// removeUnfinished removes clusters that a kill left half made. The last programs of that initdb may still be
// writing, so it tries for a while; what stays takes room and does no other harm.
func (c *Cluster) removeUnfinished() {
	leftovers, err := filepath.Glob(filepath.Join(c.folders.base, newDataPattern))
	if err != nil {
		c.log.Warn("look for unfinished data folders", "err", err)
	}
	for _, dir := range leftovers {
		begun := time.Now()
		for {
			err := os.RemoveAll(dir)
			if err == nil {
				break
			}
			if time.Since(begun) > unfinishedPatience || c.sleep(pollEvery) {
				c.log.Warn("remove an unfinished data folder", "err", err)
				break
			}
		}
	}
}

// clearEarlier sees to it that no earlier server holds the data folder. The lock is ours, so a server that is
// still there has lost its owner and has been told to stop, or is dead and only its number is left.
func (c *Cluster) clearEarlier() error {
	begun := time.Now()
	signalled := syscall.Signal(0)
	for {
		p, ok := readPidFile(c.folders.data)
		if !ok {
			return nil
		}
		waited := time.Since(begun)
		switch stateOf(p.pid) {
		case processGone:
			return nil // the server itself overwrites such a file
		case processZombie:
			// Its parent does not take note (a container's first process may never): the server would take the
			// number for a live server.
			if waited > zombiePatience && !anyoneWorksIn(c.folders.data) {
				return c.removePidFile(p.pid)
			}
		case processAlive:
			if !worksIn(p.pid, c.folders.data) {
				return c.removePidFile(p.pid)
			}
			signal := syscall.SIGINT
			switch {
			case waited > stopPatience+quitPatience:
				signal = syscall.SIGKILL
			case waited > stopPatience:
				signal = syscall.SIGQUIT
			}
			if signal != signalled {
				c.log.Info("stopping the server of an earlier run", "pid", p.pid, "signal", signal.String())
				if err := syscall.Kill(p.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("stop the earlier server %d: %w", p.pid, err)
				}
				signalled = signal
			}
		}
		if c.sleep(pollEvery) {
			return errStopped
		}
	}
}

func (c *Cluster) removePidFile(pid int) error {
	c.log.Warn("removing the pid file of a dead server", "pid", pid)
	if err := os.Remove(filepath.Join(c.folders.data, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the pid file of a dead server: %w", err)
	}
	return nil
}

// inUseError says that the server refused to start because of what an earlier one left, which passes.
type inUseError struct{ log string }

func (e inUseError) Error() string {
	return "the data folder is still in use: " + e.log
}

// serve runs the server until it dies or Stop is called, and calls ready when it answers.
func (c *Cluster) serve(ready func()) error {
	logFile, err := c.folders.openLog()
	if err != nil {
		return err
	}
	logStart, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(fmt.Errorf("open the server log: %w", err), logFile.Close())
	}
	cmd := c.command("postgres", c.folders.data, syscall.SIGINT, c.serverArgs()...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	begun := time.Now()
	err = cmd.Start()
	if closeErr := logFile.Close(); closeErr != nil {
		c.log.Warn("close the server log", "err", closeErr)
	}
	if err != nil {
		return fmt.Errorf("run postgres: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	c.setPID(cmd.Process.Pid)
	defer c.setPID(0)

	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return c.explain(err, logStart)
		case <-c.stop:
			return c.shutDown(cmd.Process, ended)
		case <-tick.C:
			if p, ok := readPidFile(c.folders.data); ok && p.pid == cmd.Process.Pid && p.ready {
				tick.Stop()
				c.log.Info("database server ready", "dir", c.folders.base, "took", time.Since(begun).Round(time.Millisecond))
				ready()
			}
		}
	}
}

func (c *Cluster) serverArgs() []string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_permissions": "0700",
		"port":                    socketPort,
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if c.cfg.Throwaway {
		for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			settings[name] = "off"
		}
		for _, name := range []string{"checkpoint_flush_after", "bgwriter_flush_after", "backend_flush_after"} {
			settings[name] = "0" // nor is the kernel asked to begin with it
		}
	}
	for name, value := range c.cfg.Settings {
		settings[name] = value
	}
	// The value is a list of folders, so one with a comma or a blank needs quotes.
	args := []string{"-D", c.folders.data, "-k", `"` + strings.ReplaceAll(c.socketFolder(), `"`, `""`) + `"`}
	for _, name := range sortedKeys(settings) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// shutDown stops the server: cleanly, then at once, then by force.
func (c *Cluster) shutDown(p *os.Process, ended <-chan error) error {
	begun := time.Now()
	steps := []struct {
		signal   syscall.Signal
		patience time.Duration
		hurry    <-chan struct{}
	}{
		{syscall.SIGINT, stopPatience, c.hurry},
		{syscall.SIGQUIT, quitPatience, nil},
		{syscall.SIGKILL, quitPatience, nil},
	}
	for i, step := range steps {
		if err := p.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			c.log.Error("signal the database server", "err", err)
		}
		timer := time.NewTimer(step.patience)
		select {
		case err := <-ended:
			timer.Stop()
			if i > 0 {
				c.setStopErr(fmt.Errorf("the database server did not stop within %s and was made to (%s); nothing committed is lost",
					time.Since(begun).Round(time.Second), step.signal))
			}
			took := time.Since(begun).Round(time.Millisecond)
			if err != nil {
				c.log.Warn("database server stopped", "took", took, "err", err)
			} else {
				c.log.Info("database server stopped", "took", took)
			}
			return errStopped
		case <-timer.C:
		case <-step.hurry:
			timer.Stop()
		}
	}
	c.setStopErr(fmt.Errorf("the database server %d survived SIGKILL", p.Pid))
	return errStopped
}

// explain turns the end of a server into an error with the last lines it wrote since offset.
func (c *Cluster) explain(waitErr error, offset int64) error {
	text, err := readFrom(c.folders.log, offset)
	if err != nil {
		text = err.Error()
	}
	last := lastLines(text)
	if strings.Contains(text, "still in use") || strings.Contains(text, `lock file "postmaster.pid" already exists`) ||
		strings.Contains(text, "Is another postmaster") {
		return inUseError{last}
	}
	if waitErr == nil {
		waitErr = errors.New("it was stopped from outside")
	}
	return fmt.Errorf("postgres in %s: %w: %s", c.folders.data, waitErr, last)
}

// command prepares a program of the server's account with a minimal environment and a working folder that the
// account can enter.
func (c *Cluster) command(program, dir string, onDeath syscall.Signal, args ...string) *exec.Cmd {
	cmd := exec.Command(c.bin.path(program), args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + c.bin.dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
	cmd.SysProcAttr = c.account.sysProcAttr(onDeath)
	return cmd
}

// ensureDatabase creates the configured database when it is absent.
func (c *Cluster) ensureDatabase(ctx context.Context) error {
	if _, err := c.psql(ctx, c.cfg.Database, "select 1"); err == nil {
		return nil
	}
	name := `"` + strings.ReplaceAll(c.cfg.Database, `"`, `""`) + `"`
	if out, err := c.psql(ctx, "postgres", "create database "+name); err != nil {
		// Two processes may do this at the same moment: what counts is that the database is there.
		if _, again := c.psql(ctx, c.cfg.Database, "select 1"); again != nil {
			return fmt.Errorf("create the database %s: %w: %s", c.cfg.Database, err, lastLines(out))
		}
		return nil
	}
	c.log.Info("database created", "database", c.cfg.Database)
	return nil
}

func (c *Cluster) psql(ctx context.Context, dbname, statement string) (string, error) {
	cmd := exec.CommandContext(ctx, c.bin.path("psql"), "-XAtq", "-h", c.socketFolder(), "-p", socketPort,
		"-U", superuser, "-d", dbname, "-c", statement)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "PGCONNECT_TIMEOUT=20"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// sleep waits for d and reports whether Stop was called meanwhile.
func (c *Cluster) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c.stop:
		return true
	case <-timer.C:
		return false
	}
}

func (c *Cluster) socketFolder() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socketDir
}

func (c *Cluster) setSocketDir(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socketDir = dir
}

func (c *Cluster) setPID(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid = pid
}

func (c *Cluster) setStopErr(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopErr = err
	c.log.Warn("database server stopped badly", slog.Any("err", err))
}
