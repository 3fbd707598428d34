// Package sensorcli has the commands that run on a sensor, for the program teiten and
// for the small one that sensors have.
package sensorcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"teiten/internal/sensor"
	"teiten/internal/spool"
)

// World is what a command may use of the world around it.
type World struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
}

// Commands are the commands of a sensor.
type Commands struct {
	Enrol enrolCmd `cmd:"" help:"On a sensor: get an identity from the hub, for a code of teiten sensor add."`
	Run   runCmd   `cmd:"" help:"On a sensor: capture, keep and deliver."`
	Spool spoolCmd `cmd:"" help:"On a sensor: what waits to be delivered."`
}

// ErrUsage is in the error about a wrong command line.
var ErrUsage = errors.New("wrong usage")

type enrolCmd struct {
	Hub   string `help:"Address of the hub." required:"" placeholder:"URL"`
	Code  string `help:"The code that teiten sensor add printed on the hub." required:""`
	State string `help:"Folder for the sensor's identity." required:"" type:"path" placeholder:"DIR"`
	CA    string `help:"Certificate authority of the hub (PEM), if it is not one of the system's." name:"ca" type:"path" placeholder:"FILE"`
	Again bool   `help:"Replace the identity that the folder has."`
}

// Help has an example.
func (*enrolCmd) Help() string {
	return `Example: teiten sensor enrol --hub https://hub.example --code ABCD-EFGH-IJKL-MNOP --state /var/lib/teiten-sensor

A code is good for 30 minutes and once. The folder then holds a secret: only its
user can read it.`
}

// Run enrols.
func (c *enrolCmd) Run(ctx context.Context, w *World) error {
	name, err := sensor.Enrol(ctx, sensor.Enrolment{Hub: c.Hub, Code: strings.TrimSpace(c.Code), State: c.State, CA: c.CA, Version: w.Version, Again: c.Again})
	if err != nil {
		return err
	}
	fmt.Fprintf(w.Stderr, "This is sensor %s now. Start it with: teiten sensor run --state %s --interface eth0\n", name, c.State)
	return nil
}

type runCmd struct {
	State     string        `help:"Folder of the sensor's identity." required:"" type:"path" placeholder:"DIR"`
	Interface []string      `help:"Interfaces to capture from." placeholder:"IF"`
	Input     string        `arg:"" optional:"" help:"- reads one capture from standard input."`
	Window    time.Duration `help:"Length of a window; by default what the hub says."`
	Once      bool          `help:"End when the input has ended and all is delivered; with --interface on SIGTERM."`

	SpoolDir    string        `help:"Folder of what waits; by default in the state folder." type:"path" placeholder:"DIR"`
	SpoolSize   int64         `help:"Bound of what waits, in MiB; 0: none." default:"1024" placeholder:"MIB"`
	SpoolAge    time.Duration `help:"Age from which on what waits is given up; 0: none." default:"720h"`
	SpoolPolicy string        `help:"When the spool is full: oldest gives up the oldest batches, stop the new ones." enum:"oldest,stop" default:"oldest"`
	Verbose     bool          `help:"Log each delivery." short:"v"`
}

// Help has an example.
func (*runCmd) Help() string {
	return `Examples:
  teiten sensor run --state /var/lib/teiten-sensor --interface eth0
  teiten sensor run --state /var/lib/teiten-sensor --once - < capture.pcap

A first SIGTERM closes the open windows and keeps them; with --once it also waits
until all is delivered, and a second one ends that.`
}

// Run runs the sensor.
func (c *runCmd) Run(ctx context.Context, w *World) error {
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(w.Stderr, &slog.HandlerOptions{Level: level}))
	input, err := c.input(w, log)
	if err != nil {
		return err
	}
	res, err := sensor.Run(ctx, sensor.Options{State: c.State, Input: input, Window: c.Window, Once: c.Once, SpoolDir: c.SpoolDir, SpoolBytes: c.SpoolSize << 20,
		SpoolAge: c.SpoolAge, SpoolPolicy: spool.Policy(c.SpoolPolicy), Version: w.Version, Log: log}, secondSignal(ctx))
	fmt.Fprintln(w.Stderr, res)
	return err
}

// input is where packets come from.
func (c *runCmd) input(w *World, log *slog.Logger) (sensor.Input, error) {
	switch {
	case (len(c.Interface) > 0) == (c.Input != ""):
		return nil, fmt.Errorf("%w: give one of --interface and -", ErrUsage)
	case c.Input != "" && c.Input != "-":
		return nil, fmt.Errorf("%w: %s: only - is read; teiten import reads files", ErrUsage, c.Input)
	case c.Window%time.Second != 0 || c.Window < 0 || c.Window > 24*time.Hour:
		return nil, fmt.Errorf("%w: --window %s is not a number of whole seconds up to a day", ErrUsage, c.Window)
	case c.Input == "-":
		return &sensor.Stream{Name: "-", In: w.Stdin}, nil
	}
	return &sensor.Interfaces{Names: c.Interface, Log: log}, nil
}

// secondSignal is closed by the next signal after ctx has ended by one.
func secondSignal(ctx context.Context) <-chan struct{} {
	second := make(chan struct{})
	signals := make(chan os.Signal, 1)
	go func() {
		<-ctx.Done()
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		<-signals
		close(second)
	}()
	return second
}

type spoolCmd struct {
	State    string `help:"Folder of the sensor's identity." required:"" type:"path" placeholder:"DIR"`
	SpoolDir string `help:"Folder of what waits, if it is not in the state folder." type:"path" placeholder:"DIR"`
}

// Help has an example.
func (*spoolCmd) Help() string { return `Example: teiten sensor spool --state /var/lib/teiten-sensor` }

// Run lists what waits, also while the sensor runs.
func (c *spoolCmd) Run(_ context.Context, w *World) error {
	dir := c.SpoolDir
	if dir == "" {
		dir = filepath.Join(c.State, "spool")
	}
	list, lost, err := spool.Look(dir)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "BATCH\tBYTES")
	for _, b := range list {
		fmt.Fprintf(t, "%s\t%d\n", b.ID, b.Size)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w.Stderr, "%d batches wait; given up %d, damaged %d, refused by the hub %d\n", len(list), lost.GivenUp, lost.Damaged, lost.Refused)
	return nil
}
