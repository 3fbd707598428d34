package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"teiten/attribution"
	"teiten/internal/casedb"
	"teiten/notify"
)

// config is everything an operator sets before the start. What coordinators
// change while teiten runs (rule modes, the stop switch, the allowlist) are
// rows in the database instead. A value comes from, in rising order, the
// default, the file, the environment, the command line.
type config struct {
	Database struct {
		URL    string `toml:"url" secret:"true" help:"PostgreSQL server to use; empty: the embedded one. Give sslmode."`
		Dir    string `toml:"dir" help:"Folder of the embedded PostgreSQL's data; empty: /var/lib/teiten/pg as root, else ~/.local/share/teiten/pg."`
		BinDir string `toml:"bin_dir" help:"Folder of PostgreSQL's programs; empty: found."`
	} `toml:"database"`
	Web struct {
		Listen         string   `toml:"listen" help:"Address of the web UI."`
		BaseURL        string   `toml:"base_url" help:"URL under which people reach the web UI, for links in mails; empty: from listen."`
		TrustedProxies []string `toml:"trusted_proxies" help:"Reverse proxies (prefixes) whose X-Forwarded-For is believed; needed behind one, or all users share its login limits."`
		Researchers    bool     `toml:"researchers" help:"Let researchers register their scanners on public pages."`
	} `toml:"web"`
	Organisation struct {
		NameJA  string `toml:"name_ja" help:"Who we are, in Japanese."`
		NameEN  string `toml:"name_en" help:"Who we are, in English."`
		Email   string `toml:"email" help:"Address at which people reach a person."`
		Phone   string `toml:"phone" help:"Telephone number, as it stands in mails."`
		Website string `toml:"website" help:"Page that explains the observation."`
	} `toml:"organisation"`
	Mail struct {
		Domain        string        `toml:"domain" help:"Our mail domain: sender addresses and Message-IDs."`
		Transport     string        `toml:"transport" help:"mailbox: the built-in mailbox, nothing leaves; smtp: the smarthost."`
		Smarthost     string        `toml:"smarthost" help:"host:port of the smarthost."`
		TLS           string        `toml:"tls" help:"starttls, implicit, optional or none."`
		CAFile        string        `toml:"ca_file" help:"PEM file of certificate authorities to trust beside the system's."`
		Username      string        `toml:"username" help:"User name at the smarthost."`
		Password      string        `toml:"password" secret:"true" help:"Password at the smarthost."`
		HELO          string        `toml:"helo" help:"Name we greet with; empty: the mail domain."`
		Evidence      string        `toml:"evidence" help:"Form of the evidence in letters: csv, or xarf where X-ARF can express it (one source, no ICMP)."`
		Connections   int           `toml:"connections" help:"Connections to the smarthost at once, each used for many mails."`
		DKIMDomain    string        `toml:"dkim_domain" help:"Domain that signs: that of the From address, or one above it; empty: the mail domain."`
		DKIMKeys      []string      `toml:"dkim_keys" help:"Keys that sign, each SELECTOR=FILE (teiten dkim keygen makes them); none: mail is not signed."`
		PGPKey        string        `toml:"pgp_key" secret:"true" help:"Private PGP key in ASCII armour that signs mail (better TEITEN_MAIL_PGP_KEY_FILE); empty: mail is not signed so."`
		PGPPassphrase string        `toml:"pgp_passphrase" secret:"true" help:"Passphrase of pgp_key."`
		InboundListen string        `toml:"inbound_listen" help:"Address of the SMTP server that takes answers and bounces; empty: none."`
		LMTPListen    string        `toml:"lmtp_listen" help:"Address of an LMTP server beside it, so that a mail server on this machine can hand mail over; empty: none."`
		PerHour       int           `toml:"per_hour" help:"At most so many mails an hour in total."`
		PerContactDay int           `toml:"per_contact_day" help:"At most so many mails in 24 hours to one address."`
		PerDomainDay  int           `toml:"per_domain_day" help:"At most so many mails in 24 hours to one recipient domain; 0: no such limit."`
		PerASDay      int           `toml:"per_as_day" help:"At most so many mails in 24 hours about the networks of one AS; 0: no such limit."`
		FirstRetry    time.Duration `toml:"first_retry" help:"Wait after the first failed attempt; it doubles each time."`
	} `toml:"mail"`
	Notify struct {
		Kinds        []string      `toml:"kinds" help:"Kinds of sources that open cases: infected, backscatter (victims of attacks), misconfigured, scanner (not acknowledged ones)."`
		StillActive  []string      `toml:"still_active" help:"Times after the last notification at which an owner is reminded of sources that are still seen; after the last there is none."`
		Recovered    bool          `toml:"recovered" help:"Tell every owner once when the sensors saw nothing of a case's sources for follow.quiet, before the case ends; else only where the owner or a coordinator asked for it."`
		FirstContact string        `toml:"first_contact" help:"approve: the first mail to a contact is always approved; gate: only where the contact's gate asks for it."`
		Escalate     time.Duration `toml:"escalate_after" help:"How long after the last letter, when all reminders were sent and nobody answered, the next contact is written to: of the owner, of the network around, of the country; 0: never. A lead switches the rule escalation on, too."`
		QuietHours   string        `toml:"quiet_hours" help:"Hours of the recipient's day in which nothing goes out on its own, such as 22:00-07:00; empty: none."`
		DigestAt     string        `toml:"digest_at" help:"Time of the recipient's day (UTC where a country keeps several) at which contacts that the directory says want one mail a day get it."`
	} `toml:"notify"`
	RDAP struct {
		Mode    string `toml:"mode" help:"recorded: the recorded answers that come with teiten, nothing leaves; live: ask the registries; url: ask the server in url."`
		URL     string `toml:"url" help:"Base URL of an RDAP server for mode url."`
		Contact string `toml:"contact" help:"Address named to registries in the User-Agent."`
	} `toml:"rdap"`
	Owners struct {
		ASFile              string        `toml:"as_file" help:"File that says which AS announces a prefix: MMDB (GeoLite2-ASN), pfx2as, or lines of prefix, AS number and name; empty: only what registries say."`
		Placeholders        []string      `toml:"placeholders" help:"Addresses, @domains and handles of registries that are never an owner's, beside the built-in ones."`
		BuiltinPlaceholders bool          `toml:"builtin_placeholders" help:"Use the built-in list of registries' addresses and handles, too."`
		RegistryNetworks    []string      `toml:"registry_networks" help:"Prefixes, names or handles of networks that registries run themselves: their addresses are the right ones there."`
		JPNICWhois          string        `toml:"jpnic_whois" help:"host:port of JPNIC's WHOIS, whois.nic.ad.jp:43, asked where RDAP names no contact; empty: not asked."`
		KRNICWhois          string        `toml:"krnic_whois" help:"host:port of KRNIC's WHOIS, whois.kisa.or.kr:43, asked where RDAP names no contact; empty: not asked."`
		WhoisEvery          time.Duration `toml:"whois_every" help:"Shortest time between two questions to one WHOIS server."`
	} `toml:"owners"`
	Constituency struct {
		Countries []string `toml:"countries" help:"Countries (ISO 3166) whose infected hosts open cases."`
		Prefixes  []string `toml:"prefixes" help:"Prefixes whose infected hosts open cases, whatever the country."`
	} `toml:"constituency"`
	Follow struct {
		Quiet        time.Duration `toml:"quiet" help:"How long the sensors must have worked without seeing a source before it counts as quiet; a case whose sources are all quiet ends."`
		ReopenWithin time.Duration `toml:"reopen_within" help:"How long after that a case is reopened when a source comes back; later a new case is opened."`
	} `toml:"follow"`
	Control struct {
		Share    float64  `toml:"share" help:"Share (0 to 0.5) of first letters of low severity that wait at random as a control group, so that the effect of the mails can be told; 0: none. docs/effect.md has the method."`
		Days     int      `toml:"days" help:"Days that a control waits."`
		Rules    []string `toml:"rules" help:"Rules of low severity whose cases may be drawn: worm445, slammer, persistent, broadcast or one for scanners; never Mirai or victims."`
		Critical []string `toml:"critical" help:"Prefixes of critical networks, whose cases are never drawn."`
		Seed     string   `toml:"seed" help:"Seed of the draws; empty: one that was made once."`
	} `toml:"control"`
	Attribution struct {
		LookBack              time.Duration `toml:"look_back" help:"How far back a source's profile reaches."`
		MaxAge                time.Duration `toml:"max_age" help:"Sources last seen longer ago than this open no case."`
		TimeZone              string        `toml:"time_zone" help:"Zone whose days TSUBAME's definition counts."`
		ScannerPorts          int           `toml:"scanner_ports_per_day" help:"Ports within one day that make a scanner (TSUBAME's definition)."`
		ScannerAddresses      int           `toml:"scanner_addresses" help:"Addresses on one port that make a scanner (Durumeric et al. 2014)."`
		ScannerBlockPorts     int           `toml:"scanner_block_ports" help:"Ports, on scanner_block_addresses each, that make a block scan."`
		ScannerBlockAddresses int           `toml:"scanner_block_addresses" help:"See scanner_block_ports."`
		ScannerProtocols      int           `toml:"scanner_protocols" help:"IP protocols that make a protocol scan."`
	} `toml:"attribution"`
	Retention struct {
		Observations time.Duration `toml:"observations" help:"How long observations are kept."`
	} `toml:"retention"`
	Log struct {
		Level  string `toml:"level" help:"debug, info, warn or error."`
		Format string `toml:"format" help:"text or json."`
	} `toml:"log"`

	origin map[string]string // where each key's value comes from
}

func defaultConfig() *config {
	c := &config{origin: map[string]string{}}
	c.Web.Listen = "127.0.0.1:8080"
	c.Web.Researchers = true
	c.Organisation.NameJA = "Example CSIRT"
	c.Organisation.NameEN = "Example CSIRT"
	c.Organisation.Email = "csirt@teiten.example"
	c.Mail.Domain = "teiten.example"
	c.Mail.Transport = "mailbox"
	c.Mail.TLS = "starttls"
	c.Mail.Connections = 1
	c.Mail.Evidence = "csv"
	c.Mail.InboundListen = "127.0.0.1:2525"
	c.Mail.PerHour = 200
	c.Mail.PerContactDay = 10
	c.Mail.PerDomainDay, c.Mail.PerASDay = 50, 50
	c.Mail.FirstRetry = 450 * time.Second
	c.Notify.Kinds = []string{string(casedb.KindInfected)}
	c.Notify.StillActive = []string{"14d", "30d"}
	c.Notify.FirstContact = "approve"
	c.Notify.DigestAt = "09:00"
	c.Notify.Escalate = 14 * 24 * time.Hour
	c.RDAP.Mode = "recorded"
	c.Owners.BuiltinPlaceholders = true
	c.Owners.WhoisEvery = 6 * time.Second
	c.Constituency.Countries = []string{"JP"}
	c.Follow.Quiet, c.Follow.ReopenWithin = 7*24*time.Hour, 30*24*time.Hour
	c.Control.Days = 14
	c.Attribution.LookBack = 14 * 24 * time.Hour
	c.Attribution.MaxAge = 14 * 24 * time.Hour
	c.Attribution.TimeZone = "Asia/Tokyo"
	c.Attribution.ScannerPorts, c.Attribution.ScannerAddresses = 10, 100
	c.Attribution.ScannerBlockPorts, c.Attribution.ScannerBlockAddresses = 3, 20
	c.Attribution.ScannerProtocols = 10
	c.Retention.Observations = 400 * 24 * time.Hour
	c.Log.Level = "info"
	c.Log.Format = "text"
	return c
}

// option is one configuration value.
type option struct {
	Key    string // "mail.domain"
	Env    string // "TEITEN_MAIL_DOMAIN"
	Help   string
	Secret bool
	value  reflect.Value
}

// options lists every value in the order of the struct.
func (c *config) options() []option {
	var out []option
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		section := v.Type().Field(i)
		if !section.IsExported() {
			continue
		}
		for j := range section.Type.NumField() {
			f := section.Type.Field(j)
			key := section.Tag.Get("toml") + "." + f.Tag.Get("toml")
			out = append(out, option{
				Key: key, Env: "TEITEN_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")),
				Help: f.Tag.Get("help"), Secret: f.Tag.Get("secret") != "", value: v.Field(i).Field(j),
			})
		}
	}
	return out
}

// String returns the value as it is written in the environment.
func (o option) String() string {
	switch v := o.value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case time.Duration:
		return formatDuration(v)
	default:
		return fmt.Sprint(v)
	}
}

// formatDuration writes whole days as days: 400d reads better than 9600h0m0s.
func formatDuration(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return d.String()
}

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 100*366 {
			return 0, fmt.Errorf("bad duration %q", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

// set parses s into the value.
func (o option) set(s string) error {
	switch p := o.value.Addr().Interface().(type) {
	case *string:
		*p = s
	case *bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%s: %q is neither true nor false", o.Key, s)
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("%s: %q is not a number", o.Key, s)
		}
		*p = n
	case *float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is not a number", o.Key, s)
		}
		*p = f
	case *time.Duration:
		d, err := parseDuration(s)
		if err != nil {
			return fmt.Errorf("%s: %q is not a duration such as 90m or 14d", o.Key, s)
		}
		*p = d
	case *[]string:
		*p = nil
		for f := range strings.SplitSeq(s, ",") {
			if f = strings.TrimSpace(f); f != "" {
				*p = append(*p, f)
			}
		}
	default:
		return fmt.Errorf("%s: values of type %T cannot be set", o.Key, p)
	}
	return nil
}

// ownEnvironment are TEITEN_ variables that are not configuration.
var ownEnvironment = []string{"TEITEN_CONFIG", "TEITEN_CORPUS", "TEITEN_TEST_DATABASE_URL"}

// loadConfig reads the file (none if empty), the environment and the settings
// of the command line. Unknown names and bad combinations are errors that name
// them.
func loadConfig(file string, env, settings []string) (*config, error) {
	c := defaultConfig()
	byKey, byEnv := map[string]option{}, map[string]option{}
	for _, o := range c.options() {
		byKey[o.Key], byEnv[o.Env] = o, o
		c.origin[o.Key] = "default"
	}
	if file != "" {
		if err := c.loadFile(file, byKey); err != nil {
			return nil, err
		}
	}
	sort.Strings(env)
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "TEITEN_") || slices.Contains(ownEnvironment, name) {
			continue
		}
		o, ok := byEnv[name]
		if base, isFile := strings.CutSuffix(name, "_FILE"); !ok && isFile {
			if o, ok = byEnv[base]; ok {
				b, err := os.ReadFile(value)
				if err != nil {
					return nil, fmt.Errorf("environment: %s: %w", name, err)
				}
				value = strings.TrimRight(string(b), "\r\n")
			}
		}
		if !ok {
			return nil, fmt.Errorf("environment: no setting is named %s (teiten config lists them)", name)
		}
		if err := o.set(value); err != nil {
			return nil, fmt.Errorf("environment: %s: %w", name, err)
		}
		c.origin[o.Key] = "environment " + name
	}
	for _, kv := range settings {
		key, value, ok := strings.Cut(kv, "=")
		o, known := byKey[key]
		if !ok || !known {
			return nil, usagef("--set %s: want KEY=VALUE with a key that teiten config lists", kv)
		}
		if err := o.set(value); err != nil {
			return nil, usageError{err}
		}
		c.origin[key] = "command line"
	}
	return c, c.check()
}

// sendLimits bound how much mail leaves.
func (c *config) sendLimits() casedb.SendLimits {
	return casedb.SendLimits{PerHour: c.Mail.PerHour, PerRecipientDay: c.Mail.PerContactDay, PerDomainDay: c.Mail.PerDomainDay,
		PerASDay: c.Mail.PerASDay}
}

// caseKinds are the kinds of sources that open cases.
func (c *config) caseKinds() []casedb.Kind {
	kinds := make([]casedb.Kind, len(c.Notify.Kinds))
	for i, k := range c.Notify.Kinds {
		kinds[i] = casedb.Kind(k)
	}
	return kinds
}

// reminders say when owners hear again of what they were told. A day between
// two letters is the least.
func (c *config) reminders() (attribution.Reminders, error) {
	const least = 24 * time.Hour
	var r attribution.Reminders
	for _, s := range c.Notify.StillActive {
		d, err := parseDuration(s)
		if err != nil || d < least {
			return r, fmt.Errorf("notify.still_active: %q is not a duration of a day or more, such as 14d", s)
		}
		r = append(r, d)
	}
	return r, nil
}

// controlGroup says which first letters are drawn for the control group.
func (c *config) controlGroup(ctx context.Context, db *casedb.DB) (notify.Control, error) {
	k := c.Control
	group := notify.Control{Share: k.Share, Days: k.Days, Rules: k.Rules, Critical: prefixes(k.Critical), Seed: k.Seed}
	if group.Share == 0 || group.Seed != "" {
		return group, nil
	}
	var err error
	group.Seed, err = db.ControlSeed(ctx, time.Now())
	return group, err
}

// dkimDomain is the domain that signs mail.
func (c *config) dkimDomain() string {
	if c.Mail.DKIMDomain != "" {
		return c.Mail.DKIMDomain
	}
	return c.Mail.Domain
}

// quietHours are the recipient's hours in which nothing goes out on its own.
func (c *config) quietHours() notify.QuietHours {
	q, _ := notify.ParseQuietHours(c.Notify.QuietHours) // check has found it good
	return q
}

// digestAt is when contacts that want one mail a day get it.
func (c *config) digestAt() notify.DigestTime {
	t, _ := notify.ParseDigestTime(c.Notify.DigestAt) // check has found it good
	return t
}

// prefixes parses prefixes that check has found good.
func prefixes(list []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s).Masked())
	}
	return out
}

func (c *config) loadFile(file string, byKey map[string]option) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var tree map[string]map[string]any
	if err := toml.Unmarshal(b, &tree); err != nil {
		return fmt.Errorf("configuration %s: %w", file, err)
	}
	for section, values := range tree {
		for name, value := range values {
			key := section + "." + name
			o, ok := byKey[key]
			if !ok {
				return fmt.Errorf("configuration %s: no setting is named %s (teiten config lists them)", file, key)
			}
			text := fmt.Sprint(value)
			if list, ok := value.([]any); ok {
				parts := make([]string, len(list))
				for i, e := range list {
					parts[i] = fmt.Sprint(e)
				}
				text = strings.Join(parts, ",")
			}
			if err := o.set(text); err != nil {
				return fmt.Errorf("configuration %s: %w", file, err)
			}
			c.origin[key] = "file " + filepath.Base(file)
		}
	}
	return nil
}

// check tells what does not fit together, all of it at once.
func (c *config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, value string, values ...string) {
		if !slices.Contains(values, value) {
			bad("%s: %q is none of %s", key, value, strings.Join(values, ", "))
		}
	}
	oneOf("mail.transport", c.Mail.Transport, "mailbox", "smtp")
	oneOf("mail.tls", c.Mail.TLS, "starttls", "implicit", "optional", "none")
	if len(c.Notify.Kinds) == 0 {
		bad("notify.kinds must name a kind")
	}
	for _, k := range c.caseKinds() {
		if !slices.Contains(attribution.CaseKinds, k) {
			bad("notify.kinds: %q opens no case; those that can: %v", k, attribution.CaseKinds)
		}
	}
	if _, err := c.reminders(); err != nil {
		bad("%w", err)
	}
	if c.Notify.Escalate != 0 && c.Notify.Escalate < 24*time.Hour {
		bad("notify.escalate_after must be a day or more, or 0")
	}
	oneOf("mail.evidence", c.Mail.Evidence, "csv", "xarf")
	oneOf("notify.first_contact", c.Notify.FirstContact, "approve", "gate")
	if _, err := notify.ParseQuietHours(c.Notify.QuietHours); err != nil {
		bad("notify.quiet_hours: %w", err)
	}
	if _, err := notify.ParseDigestTime(c.Notify.DigestAt); err != nil {
		bad("notify.digest_at: %w", err)
	}
	oneOf("rdap.mode", c.RDAP.Mode, "recorded", "live", "url")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	if c.Mail.Transport == "smtp" && c.Mail.Smarthost == "" {
		bad("mail.transport is smtp, so mail.smarthost must be set")
	}
	if c.Mail.Password != "" && c.Mail.TLS == "none" {
		bad("mail.password would be sent in the clear: mail.tls must not be none")
	}
	if c.Mail.Connections < 1 || c.Mail.Connections > 20 {
		bad("mail.connections must be between 1 and 20")
	}
	if len(c.Mail.DKIMKeys) > 0 {
		if err := notify.CheckAligned(c.dkimDomain(), c.Organisation.Email); err != nil {
			bad("mail.dkim_domain: %w", err)
		}
	}
	if c.RDAP.Mode == "url" && c.RDAP.URL == "" {
		bad("rdap.mode is url, so rdap.url must be set")
	}
	for key, server := range map[string]string{"owners.jpnic_whois": c.Owners.JPNICWhois, "owners.krnic_whois": c.Owners.KRNICWhois} {
		if server == "" {
			continue
		}
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
			bad("%s: %q is not host:port", key, server)
		}
		if c.RDAP.Mode == "recorded" {
			bad("%s would ask over the network, so rdap.mode must not be recorded", key)
		}
	}
	for key, list := range map[string][]string{"owners.placeholders": c.Owners.Placeholders, "owners.registry_networks": c.Owners.RegistryNetworks} {
		for _, entry := range list {
			if strings.ContainsAny(entry, " \t\r\n") {
				bad("%s: %q has blanks in it", key, entry)
			}
		}
	}
	if c.Mail.Domain == "" || strings.ContainsAny(c.Mail.Domain, "@ <>\r\n") {
		bad("mail.domain: %q is not a domain", c.Mail.Domain)
	}
	if c.Mail.PerHour < 1 || c.Mail.PerContactDay < 1 {
		bad("mail.per_hour and mail.per_contact_day must be at least 1; the stop switch on the settings page stops all mail")
	}
	if c.Mail.PerDomainDay < 0 || c.Mail.PerASDay < 0 {
		bad("mail.per_domain_day and mail.per_as_day must not be negative")
	}
	for key, list := range map[string][]string{"constituency.prefixes": c.Constituency.Prefixes, "control.critical": c.Control.Critical, "web.trusted_proxies": c.Web.TrustedProxies} {
		for _, p := range list {
			if _, err := netip.ParsePrefix(p); err != nil {
				bad("%s: %q is not a prefix", key, p)
			}
		}
	}
	for _, cc := range c.Constituency.Countries {
		if len(cc) != 2 || cc != strings.ToUpper(cc) {
			bad("constituency.countries: %q is not a country code such as JP", cc)
		}
	}
	if !(c.Control.Share >= 0 && c.Control.Share <= 0.5) {
		bad("control.share must be between 0 and 0.5")
	}
	if c.Control.Days < 1 || c.Control.Days > 90 {
		bad("control.days must be between 1 and 90")
	}
	if c.Control.Share > 0 && len(c.Control.Rules) == 0 {
		bad("control.share is above 0, so control.rules must name the rules of low severity")
	}
	for _, r := range c.Control.Rules {
		if !slices.Contains(attribution.ControlRules(), r) {
			bad("control.rules: %q is no rule of low severity; those that can be: %v", r, attribution.ControlRules())
		}
	}
	at := c.Attribution
	if min(at.ScannerPorts, at.ScannerAddresses, at.ScannerBlockPorts, at.ScannerBlockAddresses, at.ScannerProtocols) < 2 {
		bad("attribution.scanner_ numbers must be at least 2: one port or address makes nobody a scanner")
	}
	if _, err := time.LoadLocation(c.Attribution.TimeZone); err != nil {
		bad("attribution.time_zone: %w", err)
	}
	for key, d := range map[string]time.Duration{"follow.quiet": c.Follow.Quiet, "follow.reopen_within": c.Follow.ReopenWithin,
		"attribution.look_back": c.Attribution.LookBack,
		"attribution.max_age":   c.Attribution.MaxAge, "retention.observations": c.Retention.Observations, "mail.first_retry": c.Mail.FirstRetry,
		"owners.whois_every": c.Owners.WhoisEvery} {
		if d <= 0 {
			bad("%s must be positive", key)
		}
	}
	return errors.Join(errs...)
}

// judgeOptions says how sources are judged: by the definitions of the
// configuration, and knowing which addresses are the sensors' own.
func (c *config) judgeOptions(ctx context.Context, db *casedb.DB) (opt attribution.Options, err error) {
	a := c.Attribution
	opt.Definitions = attribution.Definitions{PortsPerDay: a.ScannerPorts, Addresses: a.ScannerAddresses, BlockPorts: a.ScannerBlockPorts,
		BlockAddresses: a.ScannerBlockAddresses, Protocols: a.ScannerProtocols}
	if opt.Location, err = time.LoadLocation(a.TimeZone); err != nil {
		return opt, err
	}
	sensors, err := db.Sensors(ctx)
	if err != nil {
		return opt, err
	}
	for _, s := range sensors {
		opt.SensorNets = append(opt.SensorNets, prefixes(s.Networks)...)
	}
	return opt, nil
}

// contactConfig says which addresses are registries' and not owners'.
func (c *config) contactConfig() attribution.ContactConfig {
	base := attribution.DefaultContactConfig()
	if !c.Owners.BuiltinPlaceholders {
		base.PlaceholderHandles, base.PlaceholderEmails = nil, nil
	}
	return attribution.ExtendContactConfig(base, c.Owners.Placeholders, c.Owners.RegistryNetworks)
}

// whoisConfig says which national registries are asked.
func (c *config) whoisConfig() attribution.WhoisConfig {
	return attribution.WhoisConfig{JPNIC: c.Owners.JPNICWhois, KRNIC: c.Owners.KRNICWhois, Every: c.Owners.WhoisEvery}
}

// asTable reads the file that says which AS announces what; nil without one.
func (c *config) asTable() (*attribution.ASTable, error) {
	if c.Owners.ASFile == "" {
		return nil, nil
	}
	t, err := attribution.ReadASTable(c.Owners.ASFile)
	if err != nil {
		return nil, fmt.Errorf("owners.as_file: %w", err)
	}
	return t, nil
}
