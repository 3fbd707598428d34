package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/notify"
)

// faults collects what does not fit together.
type faults struct{ found []error }

func (f *faults) add(format string, args ...any) {
	f.found = append(f.found, fmt.Errorf(format, args...))
}

// oneOf wants value to be one of values.
func (f *faults) oneOf(key, value string, values ...string) {
	if !slices.Contains(values, value) {
		f.add("%s: %q is none of %s", key, value, strings.Join(values, ", "))
	}
}

// check tells what does not fit together, all of it at once.
func (c *Config) check() error {
	var f faults
	c.checkMail(&f)
	c.checkNotify(&f)
	c.checkOwners(&f)
	c.checkControl(&f)
	c.checkLists(&f)
	c.checkAttribution(&f)
	f.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	f.oneOf("log.format", c.Log.Format, "text", "json")
	return errors.Join(f.found...)
}

func (c *Config) checkMail(f *faults) {
	f.oneOf("mail.transport", c.Mail.Transport, "mailbox", "smtp")
	f.oneOf("mail.tls", c.Mail.TLS, "starttls", "implicit", "optional", "none")
	f.oneOf("mail.evidence", c.Mail.Evidence, "csv", "xarf")
	if !casedb.TLP(c.Mail.TLP).Valid() {
		f.add("mail.tlp: %q is not one of %v", c.Mail.TLP, casedb.TLPs())
	}
	if c.Mail.Transport == "smtp" && c.Mail.Smarthost == "" {
		f.add("mail.transport is smtp, so mail.smarthost must be set")
	}
	if c.Mail.Password != "" && c.Mail.TLS == "none" {
		f.add("mail.password would be sent in the clear: mail.tls must not be none")
	}
	if c.Mail.Connections < 1 || c.Mail.Connections > 20 {
		f.add("mail.connections must be between 1 and 20")
	}
	if len(c.Mail.DKIMKeys) > 0 {
		if err := notify.CheckAligned(c.DKIMDomain(), c.Organisation.Email); err != nil {
			f.add("mail.dkim_domain: %w", err)
		}
	}
	if c.Mail.Domain == "" || strings.ContainsAny(c.Mail.Domain, "@ <>\r\n") {
		f.add("mail.domain: %q is not a domain", c.Mail.Domain)
	}
	if (c.Mail.InboundCert == "") != (c.Mail.InboundKey == "") {
		f.add("mail.inbound_cert and mail.inbound_key must be set together")
	}
	const most = 1 << 30 // MiB
	if c.Mail.InboundMiBHour < 20 || c.Mail.InboundMiBHour > most || c.Mail.InboundTotalMiBHour < c.Mail.InboundMiBHour || c.Mail.InboundTotalMiBHour > most {
		f.add("mail.inbound_mib_per_hour must be at least 20, and mail.inbound_total_mib_per_hour no less")
	}
	if c.Mail.InboundFreeMiB < 0 || c.Mail.InboundFreeMiB > most {
		f.add("mail.inbound_free_mib must not be negative")
	}
	if c.Mail.PerHour < 1 || c.Mail.PerContactDay < 1 {
		f.add("mail.per_hour and mail.per_contact_day must be at least 1; the stop switch on the settings page stops all mail")
	}
	if c.Mail.ConfirmationsPerHour < 1 || c.Mail.ConfirmationsPerDomainDay < 1 {
		f.add("mail.confirmations_per_hour and mail.confirmations_per_domain_day must be at least 1; web.researchers = false closes the registration")
	}
	if c.Mail.PerDomainDay < 0 || c.Mail.PerASDay < 0 {
		f.add("mail.per_domain_day and mail.per_as_day must not be negative")
	}
}

func (c *Config) checkNotify(f *faults) {
	if len(c.Notify.Kinds) == 0 {
		f.add("notify.kinds must name a kind")
	}
	for _, k := range c.CaseKinds() {
		if !slices.Contains(casework.CaseKinds, k) {
			f.add("notify.kinds: %q opens no case; those that can: %v", k, casework.CaseKinds)
		}
	}
	if _, err := c.Reminders(); err != nil {
		f.add("%w", err)
	}
	if c.Notify.Escalate != 0 && c.Notify.Escalate < 24*time.Hour {
		f.add("notify.escalate_after must be a day or more, or 0")
	}
	f.oneOf("notify.first_contact", c.Notify.FirstContact, "approve", "gate")
	if _, err := notify.ParseQuietHours(c.Notify.QuietHours); err != nil {
		f.add("notify.quiet_hours: %w", err)
	}
	if _, err := notify.ParseDigestTime(c.Notify.DigestAt); err != nil {
		f.add("notify.digest_at: %w", err)
	}
}

func (c *Config) checkOwners(f *faults) {
	f.oneOf("rdap.mode", c.RDAP.Mode, "recorded", "live", "url")
	if c.RDAP.Mode == "url" && c.RDAP.URL == "" {
		f.add("rdap.mode is url, so rdap.url must be set")
	}
	for key, server := range map[string]string{"owners.jpnic_whois": c.Owners.JPNICWhois, "owners.krnic_whois": c.Owners.KRNICWhois} {
		if server == "" {
			continue
		}
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
			f.add("%s: %q is not host:port", key, server)
		}
		if c.RDAP.Mode == "recorded" {
			f.add("%s would ask over the network, so rdap.mode must not be recorded", key)
		}
	}
	for key, list := range map[string][]string{"owners.placeholders": c.Owners.Placeholders, "owners.registry_networks": c.Owners.RegistryNetworks} {
		for _, entry := range list {
			if strings.ContainsAny(entry, " \t\r\n") {
				f.add("%s: %q has blanks in it", key, entry)
			}
		}
	}
}

func (c *Config) checkLists(f *faults) {
	for key, list := range map[string][]string{"constituency.prefixes": c.Constituency.Prefixes, "control.critical": c.Control.Critical, "web.trusted_proxies": c.Web.TrustedProxies, "mail.inbound_relays": c.Mail.InboundRelays} {
		for _, p := range list {
			if _, err := netip.ParsePrefix(p); err != nil {
				f.add("%s: %q is not a prefix", key, p)
			}
		}
	}
	for _, cc := range c.Constituency.Countries {
		if len(cc) != 2 || cc != strings.ToUpper(cc) {
			f.add("constituency.countries: %q is not a country code such as JP", cc)
		}
	}
}

func (c *Config) checkControl(f *faults) {
	if !(c.Control.Share >= 0 && c.Control.Share <= 0.5) {
		f.add("control.share must be between 0 and 0.5")
	}
	if c.Control.Days < 1 || c.Control.Days > 90 {
		f.add("control.days must be between 1 and 90")
	}
	if c.Control.Share > 0 && len(c.Control.Rules) == 0 {
		f.add("control.share is above 0, so control.rules must name the rules of low severity")
	}
	for _, r := range c.Control.Rules {
		if !slices.Contains(casework.ControlRules(), r) {
			f.add("control.rules: %q is no rule of low severity; those that can be: %v", r, casework.ControlRules())
		}
	}
}

func (c *Config) checkAttribution(f *faults) {
	at := c.Attribution
	if min(at.ScannerPorts, at.ScannerAddresses, at.ScannerBlockPorts, at.ScannerBlockAddresses, at.ScannerProtocols) < 2 {
		f.add("attribution.scanner_ numbers must be at least 2: one port or address does not make a scanner")
	}
	if _, err := time.LoadLocation(at.TimeZone); err != nil {
		f.add("attribution.time_zone: %w", err)
	}
	if _, err := time.LoadLocation(c.Report.TimeZone); err != nil {
		f.add("report.time_zone: %w", err)
	}
	for key, d := range map[string]time.Duration{"follow.quiet": c.Follow.Quiet, "follow.reopen_within": c.Follow.ReopenWithin,
		"attribution.look_back": at.LookBack, "attribution.max_age": at.MaxAge, "retention.observations": c.Retention.Observations, "retention.unmatched_mail": c.Retention.UnmatchedMail,
		"mail.first_retry": c.Mail.FirstRetry, "owners.whois_every": c.Owners.WhoisEvery} {
		if d <= 0 {
			f.add("%s must be positive", key)
		}
	}
}
