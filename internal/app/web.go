package app

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/config"
	"teiten/internal/hub"
	"teiten/notify"
	"teiten/web"
)

// startWeb starts the desk.
func (a *App) startWeb(composer *notify.Composer) error {
	l, err := a.listen("web.listen", a.cfg.Web.Listen)
	if err != nil {
		return err
	}
	a.WebAddr = l.Addr().String()
	base := a.cfg.Web.BaseURL
	if base == "" {
		base = "http://" + a.WebAddr
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	location, err := time.LoadLocation(a.cfg.Attribution.TimeZone)
	if err != nil {
		l.Close()
		return err
	}
	// People do not wait behind background work, nor for a server that does not answer.
	db, err := a.DB.Limited()
	if err != nil {
		l.Close()
		return err
	}
	a.undo = append(a.undo, func() { _ = db.Close() }) // nothing is under way any more
	contacts := a.cfg.ContactConfig()
	releaser := casework.Releaser{DB: a.DB, FirstContactByGate: a.cfg.Notify.FirstContact == "gate"}
	server, err := web.New(web.Config{
		DB: db, Logger: a.log, MetricsToken: a.cfg.Web.MetricsToken,
		Organisation: map[string]string{"ja": a.cfg.Organisation.NameJA, "en": a.cfg.Organisation.NameEN},
		Authority:    map[string]string{"ja": a.cfg.Organisation.AuthorityJA, "en": a.cfg.Organisation.AuthorityEN},
		Verify:       map[string]string{"ja": a.cfg.Organisation.CheckJA, "en": a.cfg.Organisation.CheckEN},
		TLP:          casedb.TLP(a.cfg.Mail.TLP),
		Contact:      a.cfg.Organisation.Email, BaseURL: base, MailDomain: a.cfg.Mail.Domain, Version: version,
		Mailbox: a.cfg.Mail.Transport == "mailbox", TrustedProxies: config.Prefixes(a.cfg.Web.TrustedProxies), Rules: append(casework.NotifyingRules(a.cfg.CaseKinds()...), casedb.RuleEscalation),
		NotAnOwner: func(address string) error { return owner.NotAnOwner(address, contacts, a.cfg.Mail.Domain) }, Registry: a.registry,
		// In the default world every address is a documentation address.
		Registration: web.RegistrationLimits{AllowDocumentation: a.cfg.RDAP.Mode == "recorded", Closed: !a.cfg.Web.Researchers},
		Countries:    a.cfg.Constituency.Countries, Prefixes: config.Prefixes(a.cfg.Constituency.Prefixes), Location: location,
		Notify: func() { wake(a.mailers) }, Composer: composer, Ready: a.epoch.ready,
		ReleaseHeld: func(ctx context.Context, rule, by string, now time.Time) (released, kept int, err error) {
			done, err := releaser.Release(ctx, rule, by, now)
			return done.Released, done.Kept, err
		},
		Planner: &notify.Planner{DB: a.DB, Limits: a.cfg.SendLimits(), Quiet: a.cfg.QuietHours(), DigestAt: a.cfg.DigestAt(), Control: a.control},
	})
	if err != nil {
		l.Close()
		return err
	}
	sensors, err := a.hub(context.Background())
	if err != nil {
		l.Close()
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", server)
	mux.Handle(hub.Path, sensors)
	a.serveHTTP("web", l, mux)
	return nil
}

// hub makes the part that sensors talk to.
func (a *App) hub(ctx context.Context) (*hub.Hub, error) {
	opt, err := ImportOptions(a.cfg)
	if err != nil {
		return nil, err
	}
	return hub.New(ctx, hub.Config{DB: a.DB, Ingest: opt, Zone: a.cfg.Report.TimeZone, Logger: a.log,
		Proxies: config.Prefixes(a.cfg.Web.TrustedProxies)})
}
