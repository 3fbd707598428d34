package main

import (
	"context"
	"runtime/debug"
	"time"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/notify"
	"teiten/web"
)

// startWeb starts the desk.
func (a *app) startWeb(composer *notify.Composer) error {
	l, err := a.listen("web.listen", a.cfg.Web.Listen)
	if err != nil {
		return err
	}
	a.webAddr = l.Addr().String()
	base := a.cfg.Web.BaseURL
	if base == "" {
		base = "http://" + a.webAddr
	}
	rules := make([]string, 0, 16)
	for _, r := range attribution.Rules() {
		rules = append(rules, r.Name())
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	server, err := web.New(web.Config{
		DB: a.db, Logger: a.log,
		Organisation: map[string]string{"ja": a.cfg.Organisation.NameJA, "en": a.cfg.Organisation.NameEN},
		Contact:      a.cfg.Organisation.Email, BaseURL: base, MailDomain: a.cfg.Mail.Domain, Version: version,
		Mailbox: a.cfg.Mail.Transport == "mailbox", Rules: rules, Registry: a.registry,
		Notify: func() { wake(a.mailers) },
		Compose: func(ctx context.Context, m casedb.Message) (web.Mail, error) {
			return previewMail(ctx, a.db, composer, m)
		},
	})
	if err != nil {
		l.Close()
		return err
	}
	a.serveHTTP("web", l, server)
	return nil
}

// previewMail shows a message as it would go out now.
func previewMail(ctx context.Context, db *casedb.DB, composer *notify.Composer, m casedb.Message) (web.Mail, error) {
	d, err := composer.Preview(ctx, db, m, time.Now())
	if err != nil {
		return web.Mail{}, err
	}
	mail := web.Mail{From: d.From, To: d.To, Subject: d.Subject, Body: d.Body}
	if len(d.CSV) > 0 {
		mail.Attachments = []web.Attachment{{Name: d.CSVName, Type: "text/csv", SizeBytes: len(d.CSV), Text: string(d.CSV)}}
	}
	return mail, nil
}
