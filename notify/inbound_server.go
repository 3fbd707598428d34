package notify

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
)

// InboundConfig says which mail an InboundServer takes.
type InboundConfig struct {
	Tokens *Tokens
	// Accept lists local parts that are taken at our domain besides tokens;
	// "postmaster" always is (RFC 5321, 4.5.1).
	Accept []string
	// PerMinute is how many mails one address may send in a minute; zero: 60,
	// and as many as it likes for a mail server on this machine.
	PerMinute int
	// LMTP speaks RFC 2033 instead of SMTP: a mail server on this machine hands
	// its mail over, and keeps what we do not take.
	LMTP bool
	// TLS offers STARTTLS with its certificates; nil: no TLS.
	TLS *tls.Config
	// MaxBytes is the size of the largest mail; zero: 10 MiB.
	MaxBytes int64
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
	// Wake is told of every stored mail. It may be nil.
	Wake chan<- struct{}
}

// InboundServer takes mail in over SMTP and stores it raw, before it tells the
// sender that we have it. It makes nothing of it: InboundWorker does.
type InboundServer struct {
	db     *casedb.DB
	config InboundConfig
	server *server
}

// NewInboundServer returns a server that stores in db.
func NewInboundServer(db *casedb.DB, config InboundConfig) *InboundServer {
	if config.MaxBytes <= 0 {
		config.MaxBytes = maxMailBytes
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &InboundServer{db: db, config: config}
	s.server = newServer(s, config.Tokens.domain, config.Logger)
	s.server.visitors = newVisitors(config.PerMinute)
	s.server.MaxMessageBytes = config.MaxBytes
	s.server.LMTP = config.LMTP
	s.server.TLSConfig = config.TLS
	return s
}

// Serve takes connections on the listener until Shutdown.
func (s *InboundServer) Serve(l net.Listener) error { return s.server.serve(l) }

// Shutdown stops listening and lets mails under way end until ctx is done.
func (s *InboundServer) Shutdown(ctx context.Context) error { return s.server.stop(ctx) }

// Close stops immediately.
func (s *InboundServer) Close() error { return s.server.Close() }

// NewSession implements smtp.Backend.
func (s *InboundServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &inboundSession{server: s, conn: c.Conn(), visitor: visitor(c.Conn().RemoteAddr())}, nil
}

type inboundSession struct {
	server  *InboundServer
	conn    net.Conn
	visitor string
	from    string
	to      []string
}

// Reset implements smtp.Session.
func (s *inboundSession) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *inboundSession) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *inboundSession) Mail(from string, _ *smtp.MailOptions) error {
	if !s.server.server.visitors.mail(s.visitor, s.server.config.Now()) {
		return smtpError(451, 4, 7, 1, "too many mails, come again later")
	}
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *inboundSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !s.server.config.Tokens.Ours(to) {
		return smtpError(550, 5, 7, 1, "we do not relay")
	}
	local, _, _ := cutAddress(strings.ToLower(to))
	if _, ok := ParseToken(to); !ok && local != "postmaster" && !slices.ContainsFunc(s.server.config.Accept, func(a string) bool {
		return strings.EqualFold(a, local)
	}) {
		return smtpError(550, 5, 1, 1, "no such address here")
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session. It answers 250 only when the mail is
// committed: one row per token of ours, or one for all if there is none.
func (s *inboundSession) Data(r io.Reader) error {
	// A mail takes longer than a command does (RFC 5321, 4.5.3.2), but not for ever.
	_ = s.conn.SetReadDeadline(time.Now().Add(mailTimes * s.server.server.ReadTimeout))
	raw, err := readMail(r, s.server.config.MaxBytes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	now := s.server.config.Now()
	err = s.server.db.InTx(ctx, func(tx *casedb.Tx) error {
		for _, to := range s.server.leads(s.to) {
			if _, err := tx.StoreInbound(ctx, s.from, to, raw, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.server.config.Logger.Error("inbound mail not stored", "err", err)
		return smtpError(451, 4, 3, 0, "cannot store mail now, come again later")
	}
	if s.server.config.Wake != nil {
		select {
		case s.server.config.Wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// leads returns the recipients that lead to different messages, or the first
// recipient if none does: a made-up recipient does not store a mail twice.
func (s *InboundServer) leads(to []string) []string {
	var chosen []string
	seen := map[int64]bool{}
	for _, address := range to {
		if t, ok := ParseToken(address); ok && s.config.Tokens.Verify(t) && !seen[t.Message] {
			seen[t.Message] = true
			chosen = append(chosen, address)
		}
	}
	if len(chosen) == 0 && len(to) > 0 {
		chosen = to[:1]
	}
	return chosen
}
