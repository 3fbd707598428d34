package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	dir, err := os.MkdirTemp("", "teiten-pg-")
	if err != nil {
		return "", fmt.Errorf("create the test server's folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", fmt.Errorf("create the test server's folder: %w", err)
	}
	return dir, nil
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
