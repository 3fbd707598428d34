// Package localpg runs the PostgreSQL server that teiten uses when it is given no database of its own: it
// finds Debian's binaries, creates the data folder, starts the server for this process, starts it again when
// it dies, and stops it at the end.
//
// The server listens on a Unix socket in a folder only its user can enter, and nowhere else. One process owns
// it, by a lock on the folder; processes started later use the same server as clients, and the first of them
// that notices the owner's end becomes the owner itself. When the owner is killed, the kernel asks the server
// to stop, so no server outlives the programs that need it.
//
// It reads and writes the folder of [Config.DataDir] (see docs/operations.md) and reads /proc; it runs on Linux
// only, as root (the server then gets an unprivileged user) or as an ordinary user.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
)

// DefaultDatabase is the database that Start creates when Config names none.
const DefaultDatabase = "teiten"

// superuser is the only role of a new cluster; the socket folder's mode is what protects it.
const superuser = "teiten"

// ErrNoBinaries says that no usable PostgreSQL is installed.
var ErrNoBinaries = errors.New("PostgreSQL 15 or newer is not installed: " +
	"run `make run` as root, or `apt-get install --no-install-recommends postgresql`, or give a database URL")

// Config says where the server lives. The zero value is usable.
type Config struct {
	// DataDir is the folder that holds everything: the cluster, its socket, its log and the lock. Empty means
	// [DefaultDataDir].
	DataDir string
	// BinDir is the folder of initdb, postgres and psql. Empty means the version that made the data folder, or
	// the newest under /usr/lib/postgresql, or the one in PATH.
	BinDir string
	// Database is created when it is absent. Empty means DefaultDatabase.
	Database string
	// Settings are server settings that win over those in postgresql.conf.
	Settings map[string]string
	// Throwaway gives up durability for speed: nothing is flushed to disk. For tests.
	Throwaway bool
	// KeepDown leaves a server that died unexpectedly dead, instead of starting it again. For tests.
	KeepDown bool
	// Logger gets starts, stops and deaths of the server. Nil means silence; the server's own log is a file in
	// DataDir.
	Logger *slog.Logger
}

// Cluster is a running server, owned by this process or shared with its owner.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	bin     binaries
	folders folders
	account account

	stop  chan struct{} // closed by Stop
	hurry chan struct{} // closed when Stop's context ends first
	done  chan struct{} // closed when run returns

	stopOnce, hurryOnce sync.Once

	mu        sync.Mutex // guards the fields below
	owner     bool
	pid       int
	socketDir string
	stopErr   error
}

// Start makes the server available: it creates the cluster on first use, starts the server or joins the
// process that runs it already, and creates the database. It returns when the server answers. ctx limits the
// start only; the server runs until [Cluster.Stop] or the end of this process.
//
// The error is [ErrNoBinaries] when nothing is installed; other errors name the folder and end with the last
// lines of the server's log.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{
		cfg:   cfg,
		log:   cfg.Logger,
		stop:  make(chan struct{}),
		hurry: make(chan struct{}),
		done:  make(chan struct{}),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.cfg.Database == "" {
		c.cfg.Database = DefaultDatabase
	}
	if c.cfg.DataDir == "" {
		dir, err := DefaultDataDir()
		if err != nil {
			return nil, err
		}
		c.cfg.DataDir = dir
	}
	dir, err := filepath.Abs(c.cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("locate the data folder: %w", err)
	}
	c.folders = foldersIn(dir)
	if c.bin, err = findBinaries(c.cfg.BinDir, c.folders.data); err != nil {
		return nil, err
	}
	if c.account, err = chooseAccount(os.Geteuid(), c.folders.data); err != nil {
		return nil, err
	}
	if err := c.folders.create(c.account); err != nil {
		return nil, err
	}

	started := make(chan error, 1)
	go c.run(started)
	select {
	case err = <-started:
	case <-ctx.Done():
		err = fmt.Errorf("start PostgreSQL in %s: %w", dir, ctx.Err())
	}
	if err == nil {
		err = c.ensureDatabase(ctx)
	}
	if err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer cancel()
		return nil, errors.Join(err, c.Stop(stopping))
	}
	return c, nil
}

// URL returns the address of a database of this server, for lib/pq, psql and goose alike. It stays the same
// while the server is started again.
func (c *Cluster) URL(dbname string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := url.URL{Scheme: "postgres", Path: "/" + dbname, RawQuery: url.Values{
		"host":    {c.socketDir},
		"port":    {socketPort},
		"user":    {superuser},
		"sslmode": {"disable"},
	}.Encode()}
	return u.String()
}

// Owner reports whether this process runs the server, rather than using another process's.
func (c *Cluster) Owner() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owner
}

// PID returns the process id of the server, or 0 while there is none or another process owns it.
func (c *Cluster) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// Stop ends this process's use of the server. The owner stops the server: it lets running transactions be
// rolled back and writes a checkpoint; after 20 seconds, or when ctx ends, it stops at once and the next start
// replays the log, which is the error Stop then returns. Nothing committed is lost either way. Calling it again
// does no harm.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { close(c.stop) })
	select {
	case <-c.done:
	case <-ctx.Done():
		c.hurryOnce.Do(func() { close(c.hurry) })
		<-c.done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopErr
}
