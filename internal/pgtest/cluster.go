package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"teiten/internal/localpg"
)

// Cluster is a server of one test's own, to be stopped, killed and started again while the test looks on. It
// keeps what was committed, as a real one does.
type Cluster struct {
	t       testing.TB
	config  localpg.Config
	current *localpg.Cluster
	url     string
}

// NewCluster starts a server for this test alone, with one migrated database. It is stopped and removed when
// the test ends.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	dir, err := makeFolder()
	if err != nil {
		t.Fatal(err)
	}
	if err := sweepLater(dir); err != nil {
		t.Fatal(err)
	}
	config := throwawayConfig(dir)
	config.Database = localpg.DefaultDatabase
	// What is committed must survive the server's death, but not the machine's.
	config.Throwaway = false
	config.Settings["fsync"] = "off"
	config.KeepDown = true
	c := &Cluster{t: t, config: config}
	t.Cleanup(func() {
		c.Stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test server: %v", err)
		}
	})
	c.Start()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := migrate(ctx, c.url); err != nil {
		t.Fatal(err)
	}
	return c
}

// URL returns the address of the migrated database. It stays the same over restarts.
func (c *Cluster) URL() string { return c.url }

// Start starts the server after Stop or Kill, and returns when it answers.
func (c *Cluster) Start() {
	c.t.Helper()
	c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	current, err := localpg.Start(ctx, c.config)
	if err != nil {
		c.t.Fatalf("start the test server: %v", err)
	}
	c.current = current
	c.url = current.URL(c.config.Database)
}

// Stop stops the server as an operator would: connections are ended, nothing is lost.
func (c *Cluster) Stop() {
	c.t.Helper()
	if c.current == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.current.Stop(ctx); err != nil {
		c.t.Errorf("stop the test server: %v", err)
	}
	c.current = nil
}

// Kill ends the server with SIGKILL and leaves it down until Start.
func (c *Cluster) Kill() {
	c.t.Helper()
	if c.current == nil {
		c.t.Fatal("kill a server that is down")
	}
	if err := kill(c.current); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends the server and all its processes: one that serves a connection would otherwise answer for a moment
// after the server's death.
func kill(c *localpg.Cluster) error {
	pid := c.PID()
	if pid == 0 {
		return errors.New("the server is down already")
	}
	// Stopped, it has no further children while we look for those it has.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("kill the test server: %w", err)
	}
	children, err := childrenOf(pid)
	if err != nil {
		return fmt.Errorf("kill the test server: %w", err)
	}
	for _, p := range append([]int{pid}, children...) {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill the test server: %w", err)
		}
	}
	deadline := time.Now().Add(patience)
	for c.PID() == pid || slices.ContainsFunc(children, isAlive) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the test server %d survives SIGKILL", pid)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// processStatus returns a process's state and parent.
func processStatus(pid int) (state string, parent int, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0, err
	}
	// The name in brackets may hold anything; the fields follow its last bracket.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return "", 0, fmt.Errorf("process %d: unknown status %q", pid, text)
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err
}

func childrenOf(pid int) (children []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, parent, err := processStatus(child); err == nil && parent == pid {
			children = append(children, child)
		}
	}
	return children, nil
}

func isAlive(pid int) bool {
	state, _, err := processStatus(pid)
	return err == nil && state != "Z" && state != "X"
}
