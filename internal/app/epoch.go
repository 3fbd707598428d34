package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/config"
	"teiten/internal/localpg"
	"teiten/notify"
)

// epochEvery is how often the mark moves while mail can leave: a backup that is
// older than the last letter by more than this is noticed when it is restored.
const epochEvery = 10 * time.Second

// epoch notices that the database was restored from a backup. It keeps a random
// mark in the database and then in a file beside it, and moves both from time to
// time: a mark that stands in the file and not in the database was written after
// the backup that the database now comes from (docs/decisions/0040-restore.md).
type epoch struct {
	db   *casedb.DB
	file string // empty: there is no place for it
	host string
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex // guards the rest
	mark  string
	moved time.Time
	err   error // of the last call
}

// newEpoch says where the file is: beside the embedded database's data, or in the
// same folder under a name of its own for each foreign database.
func newEpoch(cfg *config.Config, db *casedb.DB, log *slog.Logger) *epoch {
	e := &epoch{db: db, now: time.Now, log: log}
	e.host, _ = os.Hostname() // only to tell the marks of hosts apart
	dir, name := cfg.Database.Dir, "epoch"
	switch {
	case cfg.Database.URL == "" && dir == "":
		var err error
		if dir, err = localpg.DefaultDataDir(); err != nil {
			return e
		}
	case cfg.Database.URL != "" && dir == "":
		log.Warn("database.dir is not set, so a database that is restored while teiten is stopped is not noticed: stop all mail by hand after a restore")
		return e
	case cfg.Database.URL != "":
		h := fnv.New64a()
		if u, err := url.Parse(cfg.Database.URL); err == nil && u.Host != "" {
			fmt.Fprint(h, u.Host, u.Path) // the password may change
		} else {
			fmt.Fprint(h, cfg.Database.URL)
		}
		name = fmt.Sprintf("epoch-%016x", h.Sum64())
	}
	e.file = filepath.Join(dir, name)
	return e
}

// keep looks whether the database still is the one that this process knows, and
// moves the mark if it is time. Nothing may be sent if it fails.
func (e *epoch) keep(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = e.look(ctx)
	return e.err
}

func (e *epoch) look(ctx context.Context) error {
	there, err := e.known(ctx)
	if err != nil {
		return err
	}
	now := e.now()
	if !there {
		e.log.Error("the database was restored from a backup: all mail is stopped, and a coordinator decides about mail that was on its way", "file", e.file)
		if err := e.db.NoteRestore(ctx, now); err != nil {
			return err
		}
	}
	if there && now.Sub(e.moved) < epochEvery {
		return nil
	}
	return e.move(ctx, now)
}

// known reports whether the database has the mark of this process, or of another one
// of this machine that has moved it since. Without any mark there is nothing to
// compare with.
func (e *epoch) known(ctx context.Context) (bool, error) {
	if e.mark != "" {
		if there, err := e.db.HasEpoch(ctx, e.mark); there || err != nil {
			return there, err
		}
	}
	if e.file == "" {
		return e.mark == "", nil
	}
	b, err := os.ReadFile(e.file)
	mark := strings.TrimSpace(string(b))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && mark == "":
		return e.mark == "", nil
	case err != nil:
		return false, fmt.Errorf("read the mark of the database: %w", err)
	}
	return e.db.HasEpoch(ctx, mark)
}

// move writes a new mark into the database, and then into the file.
func (e *epoch) move(ctx context.Context, now time.Time) error {
	mark := strings.ToLower(rand.Text())
	if err := e.db.InTx(ctx, func(tx *casedb.Tx) error { return tx.AddEpoch(ctx, mark, e.host, now) }); err != nil {
		return err
	}
	if e.file != "" {
		if err := replaceFile(e.file, mark+"\n"); err != nil {
			return fmt.Errorf("keep the mark of the database: %w", err)
		}
	}
	e.mark, e.moved = mark, now
	return nil
}

// replaceFile writes a file so that a reader finds the old content or the new one,
// also after a power cut.
func replaceFile(name, content string) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there under this name after the rename
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// leastFree is the room below which the program is not ready: PostgreSQL needs some
// to go on, and a mail is refused before that.
const leastFree = 64 << 20

// ready says what is wrong: the last mark could not be written, or the disk with the
// embedded database is full.
func (e *epoch) ready(ctx context.Context) error {
	// A mark that is being written to a stopped database must not keep the answer.
	if e.mu.TryLock() {
		err := e.err
		e.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if e.file == "" {
		return nil
	}
	dir := filepath.Dir(e.file)
	space := notify.FreeSpace{Dirs: []string{dir}, Min: leastFree}
	if room, err := space.Room(ctx); err != nil {
		return err
	} else if !room {
		return fmt.Errorf("fewer than %d bytes are free in %s", leastFree, dir)
	}
	return nil
}
