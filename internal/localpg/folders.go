package localpg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	socketPort = "5432"
	socketFile = ".s.PGSQL." + socketPort
	// maxSocketPath is the longest path a Unix socket can have: sun_path without its closing zero.
	maxSocketPath = 107
	// maxLogBytes is the size at which a start puts the server's log aside.
	maxLogBytes = 16 << 20
	// newDataPattern names clusters that initdb has not finished.
	newDataPattern = "data.new-*"
)

// DefaultDataDir returns /var/lib/teiten/pg for root and teiten/pg below $XDG_DATA_HOME, or below
// ~/.local/share, for anybody else.
func DefaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/teiten/pg", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "teiten", "pg"), nil
	}
	home := os.Getenv("HOME")
	if home == "" {
		if u, err := user.Current(); err == nil {
			home = u.HomeDir
		}
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("no folder for the database: set HOME, XDG_DATA_HOME or the data folder")
	}
	return filepath.Join(home, ".local", "share", "teiten", "pg"), nil
}

// folders are the paths of one cluster.
type folders struct {
	base string // the configured folder
	data string // the cluster, made by initdb
	lock string // held by the owner
	log  string // what the server says
}

func foldersIn(base string) folders {
	return folders{
		base: base,
		data: filepath.Join(base, "data"),
		lock: filepath.Join(base, "lock"),
		log:  filepath.Join(base, "postgres.log"),
	}
}

// create makes the base folder and checks that the account can reach it.
func (f folders) create(a account) error {
	mode := fs.FileMode(0o700)
	if a.drop {
		mode = 0o711 // the server's user passes through, and reads nothing
	}
	_, err := os.Stat(f.base)
	isNew := errors.Is(err, os.ErrNotExist)
	parents := fs.FileMode(0o755)
	if !a.drop {
		parents = 0o700
	}
	if err := os.MkdirAll(f.base, parents); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	if isNew {
		if err := os.Chmod(f.base, mode); err != nil {
			return fmt.Errorf("protect the data folder: %w", err)
		}
	}
	if !a.drop {
		return nil
	}
	return reachable(f.base, a)
}

// reachable returns an error that names the first folder on the way to dir that the account may not enter.
func reachable(dir string, a account) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("look at the data folder: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !mayEnter(info.Mode(), st, a) {
			return fmt.Errorf("PostgreSQL runs as user %s, who cannot enter %s: choose another data folder than %s, or `chmod o+x %s`",
				a.name, at, dir, at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func mayEnter(mode fs.FileMode, st *syscall.Stat_t, a account) bool {
	switch {
	case int(st.Uid) == a.uid:
		return mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// makeSocketDir creates the folder of the socket, mode 0700 and owned by the account: in the data folder, or
// where that path does not do for a socket, in the system's place for such things.
func (f folders) makeSocketDir(a account) (string, error) {
	sum := sha256.Sum256([]byte(f.base))
	short := fmt.Sprintf("teiten-%d-%x", os.Geteuid(), sum[:6])
	candidates := []string{filepath.Join(f.base, "run")}
	if a.drop {
		candidates = append(candidates, filepath.Join("/run", short))
	} else {
		candidates = append(candidates, filepath.Join("/run/user", strconv.Itoa(a.uid), short))
	}
	candidates = append(candidates, filepath.Join(os.TempDir(), short), filepath.Join("/tmp", short))
	var failed []error
	for _, dir := range candidates {
		if len(filepath.Join(dir, socketFile)) > maxSocketPath {
			failed = append(failed, fmt.Errorf("%s: longer than %d bytes", dir, maxSocketPath))
			continue
		}
		if strings.Contains(dir, ",") { // in a database URL a comma separates hosts
			failed = append(failed, fmt.Errorf("%s: holds a comma", dir))
			continue
		}
		err := makePrivate(dir, a)
		if err == nil {
			return dir, nil
		}
		failed = append(failed, err)
	}
	return "", fmt.Errorf("no folder for the database socket: %w", errors.Join(failed...))
}

// makePrivate creates dir for the account alone, or takes it over when it is ours already. A folder that
// another user put there is refused: trust on the socket rests on this folder.
func makePrivate(dir string, a account) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || (int(st.Uid) != os.Geteuid() && int(st.Uid) != a.uid) {
		return fmt.Errorf("%s is not a folder of our own", dir)
	}
	if err := a.own(dir); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// openLog opens the server's log for appending and puts a long one aside first.
func (f folders) openLog() (*os.File, error) {
	if info, err := os.Stat(f.log); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(f.log, f.log+".1"); err != nil {
			return nil, fmt.Errorf("put the old server log aside: %w", err)
		}
	}
	file, err := os.OpenFile(f.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server log: %w", err)
	}
	return file, nil
}

// tryLock takes the lock that makes this process the owner. It returns nil when another process has it.
func (f folders) tryLock() (*os.File, error) {
	file, err := os.OpenFile(f.lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	if closeErr := file.Close(); closeErr != nil {
		return nil, fmt.Errorf("close the lock of the data folder: %w", closeErr)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", f.lock, err)
}
