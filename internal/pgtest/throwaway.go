package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"teiten/internal/localpg"
)

// maintenance is the database that every server has.
const maintenance = "postgres"

// sweeper waits until the program that started it is gone (its standard input then ends), however that came,
// and removes the folder once the server in it has stopped, which the kernel has told it to do.
const sweeper = `trap '' HUP INT TERM
cat >/dev/null
i=0
while [ -e "$1/data/postmaster.pid" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
rm -rf -- "$1"`

// Throwaway starts a server that forgets: nothing is flushed to disk, and its folder is removed when this
// process ends, even by SIGKILL. It serves one test binary, or one run of a command over many (see withpg).
func Throwaway(ctx context.Context) (*localpg.Cluster, error) {
	dir, err := makeFolder()
	if err != nil {
		return nil, err
	}
	if err := sweepLater(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return localpg.Start(ctx, throwawayConfig(dir))
}

func throwawayConfig(dir string) localpg.Config {
	return localpg.Config{
		DataDir:   dir,
		Database:  maintenance,
		Throwaway: true,
		Settings: map[string]string{
			"max_connections": "300",
			"shared_buffers":  "128MB",
			"autovacuum":      "off",
		},
	}
}

// makeFolder creates a folder for a server. When root runs the tests the server has another user, who must be
// able to pass: 0711 lets in who knows the name, and shows nothing.
func makeFolder() (string, error) {
	dir, err := os.MkdirTemp(folderParent(), "teiten-pg-")
	if err != nil {
		return "", fmt.Errorf("create the test server's folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", fmt.Errorf("create the test server's folder: %w", err)
	}
	return dir, nil
}

// plenty is the memory that must be to spare before a server's files are kept in it. All tests together need a
// part of it.
const plenty = 8 << 30

// folderParent returns where servers' folders are: in memory, if there is plenty, because to make and remove the
// files of a database is most of the work of a short test elsewhere; else, or if TMPDIR is set, where temporary
// files are.
func folderParent() string {
	const memory = "/dev/shm"
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil || fs.Bavail < plenty/uint64(max(fs.Bsize, 1)) {
		return ""
	}
	var available uint64 // KiB
	info, err := os.ReadFile("/proc/meminfo")
	if _, rest, ok := strings.Cut(string(info), "MemAvailable:"); err == nil && ok {
		_, _ = fmt.Sscan(rest, &available) // 0 where it is no number
	}
	if available < plenty>>10 {
		return ""
	}
	return memory
}

// sweepLater starts the sweeper. The pipe's writing end stays open until this process ends.
func sweepLater(dir string) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the sweeper: %w", err)
	}
	// A raw duplicate, so that no finalizer closes it before the end of the process.
	held, err := dupCloseOnExec(writer)
	if err != nil {
		return fmt.Errorf("start the sweeper: %w", err)
	}
	_ = held
	cmd := exec.Command("/bin/sh", "-c", sweeper, "sh", dir)
	cmd.Stdin = reader
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the sweeper: %w", err)
	}
	return errors.Join(reader.Close(), writer.Close(), cmd.Process.Release())
}

func dupCloseOnExec(file *os.File) (fd int, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(from uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		fd, err = syscall.Dup(int(from))
		if err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	return fd, errors.Join(err, controlErr)
}

// startThrowaway starts this test binary's server and returns the URL of its maintenance database.
func startThrowaway() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Throwaway(ctx)
	if err != nil {
		return "", err
	}
	return c.URL(maintenance), nil
}
