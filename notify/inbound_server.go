package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"teiten/internal/casedb"
)

// How long a mail waits for the database.
const (
	storeWithin = 30 * time.Second
	roomWithin  = 5 * time.Second
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
	// PerHour is how many bytes one address may send in an hour; zero: 100 MiB, and
	// as many as it likes for a mail server on this machine.
	PerHour int64
	// TotalPerHour is how many bytes all addresses may send in an hour; zero: ten
	// times PerHour.
	TotalPerHour int64
	// Room reports whether there is room for more mail; nil: there always is.
	Room func(context.Context) (bool, error)
	// Spool is the directory of large mails under way; empty: that for temporary files.
	Spool string
	// Relays are mail servers of ours on other machines: they are not limited, as one
	// on this machine is not.
	Relays []netip.Prefix
	// Authserv is the name under which our own mail servers say what they found about
	// the sender (RFC 8601); it counts only in mail that they hand over. Empty: none.
	Authserv string
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
	spool  *spool
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
	s := &InboundServer{db: db, config: config, spool: newSpool(config.Spool)}
	s.server = newServer(s, config.Tokens.domain, config.Logger)
	s.server.visitors = newVisitors(config.PerMinute, config.PerHour, config.TotalPerHour)
	s.server.visitors.relays = config.Relays
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
	from := c.Conn().RemoteAddr()
	return &inboundSession{server: s, conn: c.Conn(), visitor: s.server.visitors.of(from), ours: s.config.LMTP || ours(from, s.config.Relays)}, nil
}

type inboundSession struct {
	server  *InboundServer
	conn    net.Conn
	visitor string
	ours    bool // a mail server of ours hands the mail over
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
	if err := s.room(); err != nil {
		return err
	}
	s.from = from
	return nil
}

// room refuses mail for now while there is no room for it.
func (s *inboundSession) room() error {
	if s.server.config.Room == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), roomWithin)
	defer cancel()
	switch room, err := s.server.config.Room(ctx); {
	case err != nil:
		s.server.config.Logger.Error("cannot tell whether there is room for mail", "err", err)
		return errStorage()
	case !room:
		return errNoRoom()
	}
	return nil
}

func errNoRoom() error { return smtpError(452, 4, 3, 1, "no room for mail now, come again later") }

func errStorage() error { return smtpError(451, 4, 3, 0, "cannot store mail now, come again later") }

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
	m := &mailUnderWay{spool: s.server.spool}
	defer m.close()
	if err := s.receive(r, m); err != nil {
		return s.answer(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeWithin)
	defer cancel()
	err := m.use(ctx, func(raw []byte) error {
		now := s.server.config.Now()
		auth := ""
		if s.ours {
			auth = authVerdicts(raw, s.server.config.Authserv)
		}
		return s.server.db.InTx(ctx, func(tx *casedb.Tx) error {
			for _, to := range s.server.leads(s.to) {
				id, err := tx.StoreInbound(ctx, s.from, to, raw, now)
				if err != nil {
					return err
				}
				if auth == "" {
					continue
				}
				if err := tx.NoteAuth(ctx, id, auth); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return s.answer(err)
	}
	if s.server.config.Wake != nil {
		select {
		case s.server.config.Wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// answer turns what went wrong with a mail into a reply. What is not the mail's
// fault is for now.
func (s *inboundSession) answer(err error) error {
	if reply := (*smtp.SMTPError)(nil); errors.As(err, &reply) {
		return reply
	}
	if gone := (*cutOff)(nil); errors.As(err, &gone) {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			endConn(s.conn)
			return errTooSlow()
		}
		return err // there is nobody left to answer
	}
	s.server.config.Logger.Error("inbound mail not stored", "err", err)
	if errors.Is(err, syscall.ENOSPC) {
		return errNoRoom()
	}
	return errStorage()
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
