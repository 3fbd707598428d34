package pgtest

import (
	"context"
	"fmt"
	"os"
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
	config.Throwaway = false
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

func kill(c *localpg.Cluster) error {
	pid := c.PID()
	if pid == 0 {
		return fmt.Errorf("the server is down already")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the test server: %w", err)
	}
	for deadline := time.Now().Add(patience); c.PID() == pid; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the test server %d survives SIGKILL", pid)
		}
	}
	return nil
}
