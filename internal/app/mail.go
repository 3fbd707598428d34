package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"teiten/internal/config"
	"teiten/internal/localpg"
	"teiten/notify"
)

// mailServer is what the inbound server and the mailbox have in common.
type mailServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// serveMail serves s on l until stop.
func (a *App) serveMail(name string, l net.Listener, s mailServer) {
	a.log.Info("mail server listens", "server", name, "address", l.Addr().String())
	done := make(chan struct{})
	stopping := make(chan struct{})
	go func() {
		defer close(done)
		err := s.Serve(l)
		select {
		case <-stopping:
		default:
			a.fatal <- fmt.Errorf("%s server ended: %w", name, err)
		}
	}()
	a.undo = append(a.undo, func() {
		close(stopping)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			a.log.Debug("mail server did not stop in time", "server", name, "err", err)
		}
		_ = l.Close() // a server that was stopped before it began to serve does not know it
		<-done
	})
}

// startInbound starts the server for answers and bounces, if one is wanted.
func (a *App) startInbound(composer *notify.Composer, wakeInbound chan<- struct{}) error {
	var accept []string
	if local, domain, ok := strings.Cut(a.cfg.Organisation.Email, "@"); ok && strings.EqualFold(domain, a.cfg.Mail.Domain) {
		accept = append(accept, local)
	}
	config, err := a.inboundConfig()
	if err != nil {
		return err
	}
	config.Tokens, config.Accept, config.Wake = composer.Tokens(), accept, wakeInbound
	if a.cfg.Mail.InboundListen != "" {
		l, err := a.listen("mail.inbound_listen", a.cfg.Mail.InboundListen)
		if err != nil {
			return err
		}
		a.InboundAddr = l.Addr().String()
		a.serveMail("inbound mail", l, notify.NewInboundServer(a.DB, config))
	}
	if a.cfg.Mail.LMTPListen != "" {
		l, err := a.listen("mail.lmtp_listen", a.cfg.Mail.LMTPListen)
		if err != nil {
			return err
		}
		config.LMTP = true
		a.serveMail("inbound mail (LMTP)", l, notify.NewInboundServer(a.DB, config))
	}
	return nil
}

// inboundConfig says how much incoming mail is taken, and how.
func (a *App) inboundConfig() (notify.InboundConfig, error) {
	const mib = 1 << 20
	m := a.cfg.Mail
	in := notify.InboundConfig{Logger: a.log, PerHour: int64(m.InboundMiBHour) * mib, TotalPerHour: int64(m.InboundTotalMiBHour) * mib,
		Spool: m.InboundSpool, Relays: config.Prefixes(m.InboundRelays), Authserv: m.InboundAuthserv}
	if in.Spool == "" {
		in.Spool = notify.SpoolDir()
	}
	if m.InboundFreeMiB > 0 {
		space := &notify.FreeSpace{Dirs: []string{in.Spool}, Min: uint64(m.InboundFreeMiB) * mib}
		if a.cfg.Database.URL == "" {
			dir, err := a.databaseDir()
			if err != nil {
				return in, err
			}
			space.Dirs = append(space.Dirs, dir)
		}
		in.Room = space.Room
	}
	if m.InboundCert != "" {
		var err error
		if in.TLS, err = notify.ServerTLS(m.InboundCert, m.InboundKey, a.log); err != nil {
			return in, fmt.Errorf("mail.inbound_cert: %w", err)
		}
	}
	return in, nil
}

// databaseDir returns the folder of the embedded database.
func (a *App) databaseDir() (string, error) {
	if a.cfg.Database.Dir != "" {
		return a.cfg.Database.Dir, nil
	}
	return localpg.DefaultDataDir()
}

// transport returns the way mail leaves. The built-in mailbox is a real SMTP
// server on loopback, so that the real client runs.
func (a *App) transport() (*notify.SMTPTransport, error) {
	m := a.cfg.Mail
	helo := m.HELO
	if helo == "" {
		helo = m.Domain
	}
	if m.Transport == "mailbox" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("built-in mailbox: %w", err)
		}
		a.serveMail("mailbox", l, notify.NewMailboxServer(a.DB, nil, a.log))
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
