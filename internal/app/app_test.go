package app_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"teiten/internal/app"
	"teiten/internal/config"
	"teiten/internal/pgtest"
)

// TestStartAndStop: the application serves the desk and takes mail on the ports
// that it says, and gives them back.
func TestStartAndStop(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("", nil, []string{"database.url=" + pgtest.New(t), "web.listen=127.0.0.1:0", "mail.inbound_listen=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	defer a.Stop()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + a.WebAddr + "/login")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), `name="password"`) {
		t.Errorf("the desk answers %s, %v", resp.Status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	mail, err := net.Dial("tcp", a.InboundAddr)
	if err != nil {
		t.Fatal(err)
	}
	mail.Close()
	if a.DB == nil {
		t.Error("the application has no database")
	}
	a.Stop()
	for name, address := range map[string]string{"desk": a.WebAddr, "mail": a.InboundAddr} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("the %s still takes connections", name)
		}
	}
}

// TestStartTellsWhatIsWrong: a start that fails can be stopped all the same.
func TestStartTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg, err := config.Load("", nil, []string{"database.url=" + pgtest.New(t), "web.listen=" + taken.Addr().String(), "mail.inbound_listen="})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "web.listen") {
		t.Errorf("got %v", err)
	}
	a.Stop()
}
