package notify_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/notify"
)

// sendOne hands over one small mail.
func sendOne(t *testing.T, tr *notify.SMTPTransport, to string) error {
	t.Helper()
	_, err := tr.Send(t.Context(), notify.Envelope{From: "b@teiten.example", To: to, ID: "x", Size: 20}, strings.NewReader("Subject: x\r\n\r\nx\r\n"))
	return err
}

// peers counts the connections over which a server got its mails.
func peers(mails []receivedMail) int {
	seen := map[string]bool{}
	for _, m := range mails {
		seen[m.peer] = true
	}
	return len(seen)
}

func TestOneConnectionForManyMails(t *testing.T) {
	t.Parallel()
	server := startServer(t, &testServer{rcpt: func(to string) error {
		if strings.HasPrefix(to, "no") {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		return nil
	}})
	tr := server.transport()
	for i := range 20 {
		// A refused recipient leaves the connection good for the next mail.
		to, refused := fmt.Sprintf("abuse@net%d.example", i), i == 7 || i == 12
		if refused {
			to = "no" + to
		}
		if err := sendOne(t, tr, to); (err != nil) != refused {
			t.Fatalf("mail %d: %v", i, err)
		}
	}
	mails := server.received()
	if len(mails) != 18 || peers(mails) != 1 {
		t.Errorf("%d mails over %d connections, want 18 over one", len(mails), peers(mails))
	}
}

// TestConnectionLostWhileIdle cuts the kept connection between two mails: the
// second goes out over another, and nothing is reported as failed.
func TestConnectionLostWhileIdle(t *testing.T) {
	t.Parallel()
	conns := make(chan net.Conn, 10)
	server := startServer(t, &testServer{data: func(_ receivedMail, c net.Conn) error { conns <- c; return nil }})
	tr := server.transport()
	for i := range 3 {
		if err := sendOne(t, tr, "abuse@isp.example"); err != nil {
			t.Fatalf("mail %d: %v", i, err)
		}
		if err := (<-conns).Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
	if mails := server.received(); len(mails) != 3 || peers(mails) != 3 {
		t.Errorf("%d mails over %d connections, want 3 over 3", len(mails), peers(mails))
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := startServer(t, &testServer{logout: func() { close(ended) }})
	tr := server.transport()
	tr.IdleTime = 50 * time.Millisecond
	if err := sendOne(t, tr, "abuse@isp.example"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the connection is still there")
	}
}

// TestTooLargeForTheServer wants the limit that the server declares honoured
// without a command (RFC 1870, 6).
func TestTooLargeForTheServer(t *testing.T) {
	t.Parallel()
	server := startServer(t, &testServer{maxSize: 1000})
	tr := server.transport()
	_, err := tr.Send(t.Context(), notify.Envelope{From: "b@teiten.example", To: "abuse@isp.example", Size: 1001}, strings.NewReader("x"))
	var failed *notify.SendError
	if !errors.As(err, &failed) || !failed.Permanent || failed.Command != "MAIL" || failed.Enhanced != "5.3.4" {
		t.Errorf("got %v", err)
	}
	if err := sendOne(t, tr, "abuse@isp.example"); err != nil {
		t.Errorf("the next mail: %v", err)
	}
}
