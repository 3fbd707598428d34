// Command deskpicture takes the picture of the desk that the README shows: it
// runs a built teiten with the sample in a folder of its own, logs in with a
// browser and saves the page of a case:
//
//	deskpicture bin/teiten docs/desk.png
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"

	"teiten/internal/browsertest"
)

// The size of the picture in pixels.
const width, height = 1440, 1296

var (
	readyLine = regexp.MustCompile(`^teiten is ready at (http://\S+?)/$`)
	loginLine = regexp.MustCompile(`^Log in as (\S+) with the password (\S+)$`)
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: deskpicture PROGRAM PICTURE.png")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "deskpicture:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program, picture string) (err error) {
	dir, err := os.MkdirTemp("", "teiten-picture-*")
	if err != nil {
		return fmt.Errorf("folder for the database: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Under root the database runs as another user, who must be able to enter.
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("folder for the database: %w", err)
	}
	desk, err := start(ctx, program, filepath.Join(dir, "pg"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.stop()) }()
	png, err := shoot(ctx, desk, filepath.Join(dir, "browser"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(picture, png, 0o644); err != nil {
		return fmt.Errorf("save the picture: %w", err)
	}
	return nil
}

// desk is a running teiten.
type desk struct {
	cmd                 *exec.Cmd
	url, user, password string
}

// start runs teiten with the sample and returns when it says how to log in.
func start(ctx context.Context, program, database string) (*desk, error) {
	d := &desk{cmd: exec.CommandContext(ctx, program, "serve", "--sample", "--set", "web.listen=127.0.0.1:0",
		"--set", "mail.inbound_listen=127.0.0.1:0", "--set", "database.dir="+database, "--set", "log.level=warn")}
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(syscall.SIGTERM) }
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("run teiten: %w", err)
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run teiten: %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && d.password == "" {
		if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
			d.url = m[1]
		}
		if m := loginLine.FindStringSubmatch(lines.Text()); m != nil {
			d.user, d.password = m[1], m[2]
		}
	}
	if d.url == "" || d.password == "" {
		return nil, errors.Join(errors.New("teiten ended before it was ready"), d.stop())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // what it still says must not block it
	return d, nil
}

func (d *desk) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself; Wait says so
	if err := d.cmd.Wait(); err != nil {
		return fmt.Errorf("run teiten: %w", err)
	}
	return nil
}

// shoot logs in, waits until the sample has become cases, and takes the picture
// of the first case that waits.
func shoot(ctx context.Context, d *desk, profile string) ([]byte, error) {
	ctx, closeBrowser, err := browsertest.Start(ctx, profile)
	if err != nil {
		return nil, err
	}
	defer closeBrowser()
	if err := chromedp.Do(ctx,
		chromedp.EmulateViewport(width, height),
		chromedp.Navigate(d.url+"/login?lang=en"),
		chromedp.SendKeys(`input[name="name"]`, d.user),
		chromedp.SendKeys(`input[name="password"]`, d.password),
		chromedp.Click(`form[action="/login"] button`),
		chromedp.WaitVisible(`a[href="/outgoing"]`),
	); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	for {
		if err := chromedp.Do(ctx, chromedp.Navigate(d.url+"/cases?lang=en"), chromedp.WaitVisible("main")); err != nil {
			return nil, fmt.Errorf("open the queue: %w", err)
		}
		cases, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll('main a[href^="/cases/TT-"]').length`))
		if err != nil {
			return nil, fmt.Errorf("count cases: %w", err)
		}
		if cases >= 3 { // what the sample holds in Japan
			break
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
	}
	if err := chromedp.Do(ctx, chromedp.Click(`main a[href^="/cases/TT-"]`), chromedp.WaitVisible("main svg")); err != nil {
		return nil, fmt.Errorf("open the first case: %w", err)
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, fmt.Errorf("take the picture: %w", err)
	}
	return shrink(png)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
