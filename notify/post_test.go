package notify_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
	"teiten/notify"
)

// post is the mail side of a world: mailbox, inbound server and worker.
type post struct {
	*world
	sender  *notify.Sender
	mailbox *notify.Mailbox
	inbound string
	worker  *notify.InboundWorker
}

func newPost(t *testing.T, config notify.InboundConfig) *post {
	t.Helper()
	w := newWorld(t)
	config.Tokens, config.Accept, config.Now = w.composer.Tokens(), []string{"csirt"}, w.clock.now
	in := notify.NewInboundServer(w.db, config)
	box := notify.NewMailboxServer(w.db, w.clock.now, nil)
	p := &post{world: w, inbound: listen(t, in)}
	p.sender = w.sender(closed(t, &notify.SMTPTransport{Address: listen(t, box), TLS: notify.TLSNone, Timeout: 5 * time.Second}))
	p.mailbox = &notify.Mailbox{DB: w.db}
	p.worker = &notify.InboundWorker{DB: w.db, Tokens: w.composer.Tokens(), Now: w.clock.now}
	return p
}

type mailServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

func listen(t *testing.T, s mailServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// deliver sends a mail to our inbound server.
func (p *post) deliver(from, to, raw string) error {
	p.t.Helper()
	c, err := smtp.Dial(p.inbound)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SendMail(from, []string{to}, strings.NewReader(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
		return err
	}
	return c.Quit()
}

// take delivers a mail and processes it.
func (p *post) take(from, to, raw string) casedb.Inbound {
	p.t.Helper()
	if err := p.deliver(from, to, raw); err != nil {
		p.t.Fatal(err)
	}
	p.do(p.worker.Do)
	var id int64
	p.scan(`select max(id) from inbound`, &id)
	in, err := p.db.Inbound(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return in
}

// sentBox sends the world's message and returns it as the mailbox has it.
func (p *post) sentBox() casedb.BoxMail {
	p.t.Helper()
	p.do(p.sender.Do)
	list, err := p.mailbox.List(p.t.Context(), 0, 10)
	if err != nil || len(list) == 0 {
		p.t.Fatalf("mailbox %v, %v", list, err)
	}
	m, _, err := p.mailbox.Read(p.t.Context(), list[0].ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}
