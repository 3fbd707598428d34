// Command withpg runs another command beside a throw-away PostgreSQL server and names that server to it in
// TEITEN_TEST_DATABASE_URL, so that all packages of one test run share it:
//
//	withpg go test ./...
//
// When the variable is set already, withpg only runs the command. It ends with the command's exit code, 1 when
// the server cannot be started, 2 when no command is given.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"teiten/internal/pgtest"
)

// stopPatience is how long the server may take to stop; nothing in it is worth more.
const stopPatience = 5 * time.Second

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(command []string) int {
	if len(command) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg COMMAND [ARGUMENT]...")
		return 2
	}
	// Ctrl-C reaches the command too, as part of the terminal's process group; withpg waits for its end.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	if os.Getenv(pgtest.URLVariable) == "" {
		cluster, err := pgtest.Throwaway(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, "withpg:", err)
			return 1
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
			defer cancel()
			if err := cluster.Stop(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "withpg:", err)
			}
		}()
		if err := os.Setenv(pgtest.URLVariable, cluster.URL("postgres")); err != nil {
			fmt.Fprintln(os.Stderr, "withpg:", err)
			return 1
		}
	}

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return 1
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				fmt.Fprintln(os.Stderr, "withpg:", err)
			}
		case err := <-ended:
			return exitCode(err)
		}
	}
}

// exitCode is the command's own, or 128 and the signal's number as shells have it.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
