package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"teiten/notify"
)

// mailServer is what the inbound server and the mailbox have in common.
type mailServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// serveMail serves s on l until stop.
func (a *App) serveMail(name string, l net.Listener, s mailServer) {
	a.Log.Info("mail server listens", "server", name, "address", l.Addr().String())
	done := make(chan struct{})
	stopping := make(chan struct{})
	go func() {
		defer close(done)
		err := s.Serve(l)
		select {
		case <-stopping:
		default:
			a.Fatal <- fmt.Errorf("%s server ended: %w", name, err)
		}
	}()
	a.undo = append(a.undo, func() {
		close(stopping)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			a.Log.Debug("mail server did not stop in time", "server", name, "err", err)
		}
		<-done
	})
}

// startInbound starts the server for answers and bounces, if one is wanted.
func (a *App) startInbound(composer *notify.Composer, wakeInbound chan<- struct{}) error {
	var accept []string
	if local, domain, ok := strings.Cut(a.Cfg.Organisation.Email, "@"); ok && strings.EqualFold(domain, a.Cfg.Mail.Domain) {
		accept = append(accept, local)
	}
	config := notify.InboundConfig{Tokens: composer.Tokens(), Accept: accept, Logger: a.Log, Wake: wakeInbound}
	if a.Cfg.Mail.InboundListen != "" {
		l, err := a.listen("mail.inbound_listen", a.Cfg.Mail.InboundListen)
		if err != nil {
			return err
		}
		a.inboundAddr = l.Addr().String()
		a.serveMail("inbound mail", l, notify.NewInboundServer(a.Db, config))
	}
	if a.Cfg.Mail.LMTPListen != "" {
		l, err := a.listen("mail.lmtp_listen", a.Cfg.Mail.LMTPListen)
		if err != nil {
			return err
		}
		config.LMTP = true
		a.serveMail("inbound mail (LMTP)", l, notify.NewInboundServer(a.Db, config))
	}
	return nil
}

// transport returns the way mail leaves. The built-in mailbox is a real SMTP
// server on loopback, so that the real client runs.
func (a *App) transport() (*notify.SMTPTransport, error) {
	m := a.Cfg.Mail
	helo := m.HELO
	if helo == "" {
		helo = m.Domain
	}
	if m.Transport == "mailbox" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("built-in mailbox: %w", err)
		}
		a.serveMail("mailbox", l, notify.NewMailboxServer(a.Db, nil, a.Log))
		return &notify.SMTPTransport{Address: l.Addr().String(), TLS: notify.TLSNone, LocalName: helo}, nil
	}
	var cas *x509.CertPool
	if m.CAFile != "" {
		var err error
		if cas, err = notify.ReadCAs(m.CAFile); err != nil {
			return nil, err
		}
	}
	return &notify.SMTPTransport{Address: m.Smarthost, TLS: notify.TLSMode(m.TLS), CAs: cas, Username: m.Username,
		Password: m.Password, LocalName: helo}, nil
}
