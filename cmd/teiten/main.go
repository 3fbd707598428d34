// Command teiten turns unwanted packets into cleaned-up machines: captures of
// unused addresses in, per-source statistics, verdicts, cases and mails to the
// owners of infected hosts out, and their answers back into the case.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"teiten/internal/sensorcli"
)

// The exit codes, as docs and scripts know them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// commands is the command line; each field is a command in a file of its own.
type commands struct {
	Serve     serveCmd     `cmd:"" help:"Run everything: web, workers, incoming mail."`
	Stats     statsCmd     `cmd:"" help:"Captures in, one row per observation out. Needs no database."`
	Attribute attributeCmd `cmd:"" help:"Captures in, one verdict per source out. Needs no database."`
	Evaluate  evaluateCmd  `cmd:"" help:"Compare verdicts with what captures are known to hold. Needs no database."`
	Lookup    lookupCmd    `cmd:"" help:"Find the owner of an address and the contact to write to."`
	Import    importCmd    `cmd:"" help:"Captures into the case database, each exactly once."`
	Inbound   inboundCmd   `cmd:"" help:"Classify mails that came back. Needs no database."`
	Rejudge   rejudgeCmd   `cmd:"" help:"Judge stored observations again; list the changes."`
	Report    reportCmd    `cmd:"" help:"Statistics for publication."`
	Case      caseCmd      `cmd:"" help:"List cases, show one."`
	Mail      mailCmd      `cmd:"" help:"Outgoing mail: what will be sent."`
	DKIM      dkimCmd      `cmd:"" name:"dkim" help:"Keys that sign outgoing mail."`
	Contact   contactCmd   `cmd:"" help:"The directory of contacts, used before those of registries."`
	Scanner   scannerCmd   `cmd:"" help:"The allowlist of acknowledged scanners."`
	Sensor    sensorCmd    `cmd:"" help:"The sensors."`
	User      userCmd      `cmd:"" help:"Users who may log in."`
	Config    configCmd    `cmd:"" help:"Print the effective configuration and where each value comes from."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the database schema up to date."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// program is what a command may use of the world around it.
type program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Environ()}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run parses args, runs the command and returns the exit code.
func (p *program) run(ctx context.Context, args []string) (code int) {
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("teiten"), kong.Writers(p.Stdout, p.Stderr),
		kong.Description("Fixed-point observation: from unwanted packets to cleaned-up machines."),
		kong.Exit(func(n int) { exited = n; panic(exitPanic{}) }), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, Summary: false}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(p, &sensorcli.World{Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr, Version: version()}))
	if err != nil {
		fmt.Fprintln(p.Stderr, "teiten:", err)
		return exitFailure
	}
	// Kong ends --help by calling Exit; unwinding keeps run testable.
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exitPanic); !ok {
				panic(r)
			}
			code = exited
		}
	}()
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(p.Stderr, "teiten:", err)
		fmt.Fprintln(p.Stderr, "Try:", helpFor(err))
		return exitUsage
	}
	err = k.Run()
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.Is(err, sensorcli.ErrUsage):
		fmt.Fprintln(p.Stderr, "teiten:", err)
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailure
	}
	fmt.Fprintln(p.Stderr, "teiten:", err)
	return exitFailure
}

// exitPanic unwinds from kong's --help.
type exitPanic struct{}

// errReported is a failure whose lines stand on standard error already.
var errReported = errors.New("failed")

// helpFor is the command line whose help explains a wrong one: that of the
// command it named, if it named one.
func helpFor(err error) string {
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil {
		if node := wrong.Context.Selected(); node != nil {
			return node.FullPath() + " --help"
		}
	}
	return "teiten --help"
}
