package app

import (
	"runtime/debug"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/config"
	"teiten/notify"
	"teiten/web"
)

// startWeb starts the desk.
func (a *App) startWeb(composer *notify.Composer) error {
	l, err := a.listen("web.listen", a.Cfg.Web.Listen)
	if err != nil {
		return err
	}
	a.WebAddr = l.Addr().String()
	base := a.Cfg.Web.BaseURL
	if base == "" {
		base = "http://" + a.WebAddr
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	location, err := time.LoadLocation(a.Cfg.Attribution.TimeZone)
	if err != nil {
		l.Close()
		return err
	}
	server, err := web.New(web.Config{
		DB: a.Db, Logger: a.Log,
		Organisation: map[string]string{"ja": a.Cfg.Organisation.NameJA, "en": a.Cfg.Organisation.NameEN},
		Contact:      a.Cfg.Organisation.Email, BaseURL: base, MailDomain: a.Cfg.Mail.Domain, Version: version,
		Mailbox: a.Cfg.Mail.Transport == "mailbox", TrustedProxies: config.Prefixes(a.Cfg.Web.TrustedProxies), Rules: append(casework.NotifyingRules(a.Cfg.CaseKinds()...), casedb.RuleEscalation),
		NotOwners: a.Cfg.ContactConfig().PlaceholderEmails, Registry: a.registry,
		// In the default world every address is a documentation address.
		Registration: web.RegistrationLimits{AllowDocumentation: a.Cfg.RDAP.Mode == "recorded", Closed: !a.Cfg.Web.Researchers},
		Countries:    a.Cfg.Constituency.Countries, Prefixes: config.Prefixes(a.Cfg.Constituency.Prefixes), Location: location,
		Notify: func() { wake(a.mailers) }, Composer: composer,
		Planner: &notify.Planner{DB: a.Db, Limits: a.Cfg.SendLimits(), Quiet: a.Cfg.QuietHours(), DigestAt: a.Cfg.DigestAt(), Control: a.control},
	})
	if err != nil {
		l.Close()
		return err
	}
	a.serveHTTP("web", l, server)
	return nil
}
