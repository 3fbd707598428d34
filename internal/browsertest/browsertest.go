// Package browsertest gives tests, and the command that takes the picture of the
// README, a browser.
package browsertest

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ErrNoBrowser says that Chromium is not installed.
var ErrNoBrowser = errors.New("no Chromium here: `make test` as root installs it")

// Open opens a headless browser that reaches this machine and nothing else, or
// skips the test where there is none. Its context is for chromedp.
func Open(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, closeBrowser, err := Start(ctx, t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(closeBrowser)
	return ctx
}

// Start starts the browser with the folder dir for its files. It ends with the
// returned function or ctx.
func Start(ctx context.Context, dir string) (context.Context, func(), error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return nil, nil, ErrNoBrowser
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.UserDataDir(dir))
	ctx, stopBrowser := chromedp.NewExecAllocator(ctx, opts...)
	ctx, stopTab := chromedp.NewContext(ctx)
	return ctx, func() { stopTab(); stopBrowser() }, nil
}
