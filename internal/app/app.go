// Package app runs the parts of teiten together: it connects them to each other, the database and the network.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"teiten/attribution"
	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/config"
	"teiten/internal/work"
	"teiten/notify"
)

// StopWithin bounds a clean stop.
const StopWithin = 10 * time.Second

// App is the running program: everything is connected here and nowhere else.
type App struct {
	DB                   *casedb.DB
	WebAddr, InboundAddr string // where the desk and incoming mail are served; empty: not served

	cfg      *config.Config
	log      *slog.Logger
	registry *prometheus.Registry

	loops    []work.Loop
	epoch    *epoch
	mailers  chan struct{} // wakes the sender
	remind   func(context.Context) (int, error)
	escalate func(context.Context) (int, error)
	control  casework.Control
	fatal    chan error // a server that ended on its own
	undo     []func()   // clean-up, run in reverse
}

// Start opens the database and starts every part. Stop must be called in any
// case, also after an error.
func Start(ctx context.Context, cfg *config.Config, log *slog.Logger) (*App, error) {
	a := &App{cfg: cfg, log: log, mailers: make(chan struct{}, 1), fatal: make(chan error, 4)}
	db, closeDB, err := OpenDatabase(ctx, cfg, log, slog.LevelInfo)
	if err != nil {
		return a, err
	}
	a.DB = db
	a.undo = append(a.undo, func() {
		if err := closeDB(); err != nil {
			log.Warn("cannot close the database cleanly", "err", err)
		}
	})
	a.registry = newRegistry(db, log)
	a.epoch = newEpoch(cfg, db, log)
	if err := a.epoch.keep(ctx); err != nil {
		return a, err
	}
	for _, start := range []func(context.Context) error{a.startAttribution, a.startMail, a.startTasks, a.startLoops} {
		if err := start(ctx); err != nil {
			return a, err
		}
	}
	return a, nil
}

// Wait returns when ctx is done, or with the error of a server that ended.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.fatal:
		return err
	}
}

// Stop ends everything in the reverse order of its start.
func (a *App) Stop() {
	for i := len(a.undo) - 1; i >= 0; i-- {
		a.undo[i]()
	}
	a.undo = nil
}

// listen opens address. A port that another process uses is replaced by a free
// port unless the operator asked for exactly that port.
func (a *App) listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil && a.cfg.From(key) == "default" {
		host, _, _ := net.SplitHostPort(address)
		if free, e := net.Listen("tcp", net.JoinHostPort(host, "0")); e == nil {
			a.log.Warn("port is in use, took another", "setting", key, "wanted", address, "address", free.Addr().String())
			return free, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return l, nil
}

// serveHTTP serves h on l until stop.
func (a *App) serveHTTP(name string, l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.fatal <- fmt.Errorf("%s server: %w", name, err)
		}
	}()
	a.undo = append(a.undo, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // what is left is cut off
		}
		<-done
	})
}

func (a *App) loop(name string, every time.Duration, wake <-chan struct{}, do func(context.Context) (int, error)) {
	a.loops = append(a.loops, work.Loop{Name: name, Every: every, Wake: wake, Do: do, Logger: a.log})
}

// startAttribution sets up judging, owners and the opening of cases.
func (a *App) startAttribution(ctx context.Context) error {
	options, err := JudgeOptions(ctx, a.cfg, a.DB)
	if err != nil {
		return err
	}
	lookup, stop, err := OwnerLookup(a.cfg)
	if err != nil {
		return err
	}
	a.undo = append(a.undo, stop)
	as, err := a.cfg.ASTable()
	if err != nil {
		return err
	}
	covered := config.Prefixes(a.cfg.Constituency.Prefixes)
	judge := &attribution.Judge{DB: a.DB, Options: options, LookBack: a.cfg.Attribution.LookBack,
		Logger: a.log}
	owners := &owner.Worker{DB: a.DB, Lookup: lookup, Config: a.cfg.ContactConfig(), AS: as, Logger: a.log}
	reminders, err := a.cfg.Reminders()
	if err != nil {
		return err
	}
	opener := &casework.Opener{DB: a.DB, MailDomain: a.cfg.Mail.Domain, Countries: a.cfg.Constituency.Countries,
		Prefixes: covered, MaxAge: a.cfg.Attribution.MaxAge, ReopenWithin: a.cfg.Follow.ReopenWithin,
		FirstContactByGate: a.cfg.Notify.FirstContact == "gate", Kinds: a.cfg.CaseKinds(), Recovered: a.cfg.Notify.Recovered, Reminders: reminders, Logger: a.log}
	opener.Escalation = casework.Escalation{After: a.cfg.Notify.Escalate, NotTo: a.cfg.ContactConfig(),
		Own: []string{a.cfg.Organisation.Email, "@" + a.cfg.Mail.Domain}}
	a.remind, a.escalate = opener.Remind, opener.Escalate
	follower := &casework.Follower{DB: a.DB, Quiet: a.cfg.Follow.Quiet, Tell: opener.TellRecovered, Logger: a.log}
	a.loop("follow", time.Minute, nil, follower.Do)
	// Each stage wakes the next when it has done something.
	toOwners, toOpener := make(chan struct{}, 1), make(chan struct{}, 1)
	a.loop("judge", 2*time.Second, nil, andWake(judge.Do, toOwners, toOpener))
	a.loop("lookup", 3*time.Second, toOwners, andWake(owners.Do, toOpener))
	// The opener asks for the owners it misses even when it brings nothing in.
	a.loop("open", 10*time.Second, toOpener, func(ctx context.Context) (int, error) {
		n, err := andWake(opener.Do, a.mailers)(ctx)
		wake(toOwners)
		return n, err
	})
	return nil
}

// andWake wakes others after work was done.
func andWake(do func(context.Context) (int, error), others ...chan struct{}) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		n, err := do(ctx)
		if n > 0 {
			for _, c := range others {
				wake(c)
			}
		}
		return n, err
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// startMail sets up composing, sending, the built-in mailbox and incoming mail,
// and the web UI that shows them.
func (a *App) startMail(ctx context.Context) error {
	key, err := a.DB.Secret(ctx, notify.SecretName, time.Now())
	if err != nil {
		return err
	}
	if a.control, err = ControlGroup(ctx, a.cfg, a.DB); err != nil {
		return err
	}
	o := a.cfg.Organisation
	register, pages := "", ""
	base := strings.TrimRight(a.cfg.Web.BaseURL, "/")
	if a.cfg.Mail.Transport == "mailbox" && base == "" && !strings.HasSuffix(a.cfg.Web.Listen, ":0") {
		pages = "http://" + a.cfg.Web.Listen + "/o/" // no mail leaves this machine
	}
	if base != "" {
		pages = base + "/o/"
		if a.cfg.Web.Researchers {
			register = base + "/register"
		}
	}
	pgp, err := notify.NewPGP(a.cfg.Mail.PGPKey, a.cfg.Mail.PGPPassphrase)
	if err != nil {
		return err
	}
	composer, err := notify.NewComposer(notify.Config{OrganisationJA: o.NameJA, OrganisationEN: o.NameEN, Email: o.Email,
		Phone: o.Phone, URL: o.Website, Register: register, Pages: pages, Domain: a.cfg.Mail.Domain, PGP: pgp, Format: notify.Format(a.cfg.Mail.Evidence),
		Authority: map[string]string{"ja": o.AuthorityJA, "en": o.AuthorityEN}, Verify: map[string]string{"ja": o.CheckJA, "en": o.CheckEN},
		TLP: casedb.TLP(a.cfg.Mail.TLP)}, key)
	if err != nil {
		return err
	}
	metrics, err := notify.NewMetrics(a.registry)
	if err != nil {
		return err
	}
	toInbound := make(chan struct{}, 1)
	if err := a.startInbound(composer, toInbound); err != nil {
		return err
	}
	transport, err := a.transport()
	if err != nil {
		return err
	}
	a.undo = append(a.undo, transport.Close)
	signer, err := notify.LoadDKIM(a.cfg.DKIMDomain(), a.cfg.Mail.DKIMKeys)
	if err != nil {
		return err
	}
	sender := &notify.Sender{DB: a.DB, Composer: composer, Transport: transport, DKIM: signer, Logger: a.log, Metrics: metrics,
		FirstRetry: a.cfg.Mail.FirstRetry, Parallel: a.cfg.Mail.Connections,
		Limits: a.cfg.SendLimits(), Quiet: a.cfg.QuietHours(), DigestAt: a.cfg.DigestAt(), Control: a.control}
	a.loop("send", 3*time.Second, a.mailers, func(ctx context.Context) (int, error) {
		if err := a.epoch.keep(ctx); err != nil {
			return 0, err
		}
		return sender.Do(ctx)
	})
	inbound := &notify.InboundWorker{DB: a.DB, Tokens: composer.Tokens(), Logger: a.log, Metrics: metrics}
	a.loop("inbound", 3*time.Second, toInbound, andWake(inbound.Do, a.mailers))
	return a.startWeb(composer)
}

func (a *App) startLoops(context.Context) error {
	metrics := work.NewMetrics(a.registry)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, l := range a.loops {
		l.Metrics = metrics
		wg.Go(func() { l.Run(ctx) })
	}
	a.undo = append(a.undo, func() {
		cancel()
		wg.Wait()
	})
	return nil
}
