// Package config has the settings that the operator makes before the start.
package config

import (
	"time"

	"teiten/internal/casedb"
)

// Config is everything an operator sets before the start. What coordinators
// change while teiten runs (rule modes, the stop switch, the allowlist) are
// rows in the database instead. A value comes from, in rising order, the
// default, the file, the environment, the command line.
type Config struct {
	Database struct {
		URL    string `toml:"url" secret:"true" help:"PostgreSQL server to use; empty: the embedded one. Give sslmode."`
		Dir    string `toml:"dir" help:"Folder of the embedded PostgreSQL's data; empty: /var/lib/teiten/pg as root, else ~/.local/share/teiten/pg. With url: the folder for the mark by which a restored database is noticed."`
		BinDir string `toml:"bin_dir" help:"Folder of PostgreSQL's programs; empty: searched for."`
	} `toml:"database"`
	Web struct {
		Listen         string   `toml:"listen" help:"Address of the web UI."`
		BaseURL        string   `toml:"base_url" help:"URL under which people reach the web UI, for links in mails; empty: from listen."`
		TrustedProxies []string `toml:"trusted_proxies" help:"Reverse proxies (prefixes) whose X-Forwarded-For header is trusted; needed behind a proxy, or all users share its login limits."`
		MetricsToken   string   `toml:"metrics_token" secret:"true" help:"Bearer token with which other machines read /metrics; empty: only this machine reads it, not through a proxy."`
		Researchers    bool     `toml:"researchers" help:"Let researchers register their scanners on public pages."`
	} `toml:"web"`
	Organisation struct {
		NameJA  string `toml:"name_ja" help:"Name of our organisation in Japanese."`
		NameEN  string `toml:"name_en" help:"Name of our organisation in English."`
		Email   string `toml:"email" help:"Mail address at which a person can be reached."`
		Phone   string `toml:"phone" help:"Telephone number, as it is written in mails."`
		Website string `toml:"website" help:"Page that explains the observation."`
		// What letters say about us; the Japanese ones and the English ones.
		AuthorityJA string `toml:"authority_ja" help:"Who we are and by which authority we write, one sentence in Japanese letters; empty: a sentence that claims none."`
		AuthorityEN string `toml:"authority_en" help:"The same in English letters."`
		CheckJA     string `toml:"check_ja" help:"How a recipient checks us by a way that is not in the letter, one sentence in Japanese letters: an official list that names us, a switchboard; empty: to look our name up."`
		CheckEN     string `toml:"check_en" help:"The same in English letters."`
	} `toml:"organisation"`
	Mail struct {
		Domain                    string        `toml:"domain" help:"Our mail domain: sender addresses and Message-IDs."`
		Transport                 string        `toml:"transport" help:"mailbox: the built-in mailbox, nothing leaves; smtp: the smarthost."`
		Smarthost                 string        `toml:"smarthost" help:"host:port of the smarthost."`
		TLS                       string        `toml:"tls" help:"starttls, implicit, optional or none."`
		CAFile                    string        `toml:"ca_file" help:"PEM file of certificate authorities to trust in addition to the system's."`
		Username                  string        `toml:"username" help:"User name at the smarthost."`
		Password                  string        `toml:"password" secret:"true" help:"Password at the smarthost."`
		HELO                      string        `toml:"helo" help:"Name we greet with; empty: the mail domain."`
		TLP                       string        `toml:"tlp" help:"Label of letters and cases by FIRST's TLP 2.0, where a case has none of its own: TLP:CLEAR, TLP:GREEN, TLP:AMBER, TLP:AMBER+STRICT or TLP:RED."`
		Evidence                  string        `toml:"evidence" help:"Form of the evidence in letters: csv, or xarf where X-ARF can express it (one source, no ICMP)."`
		Connections               int           `toml:"connections" help:"Connections to the smarthost at once, each used for many mails."`
		DKIMDomain                string        `toml:"dkim_domain" help:"Domain that signs: that of the From address, or one above it; empty: the mail domain."`
		DKIMKeys                  []string      `toml:"dkim_keys" help:"Keys that sign, each SELECTOR=FILE (teiten dkim keygen makes them); none: mail is not signed."`
		PGPKey                    string        `toml:"pgp_key" secret:"true" help:"Private PGP key in ASCII armour that signs mail (better TEITEN_MAIL_PGP_KEY_FILE); empty: mail is not signed so."`
		PGPPassphrase             string        `toml:"pgp_passphrase" secret:"true" help:"Passphrase of pgp_key."`
		InboundListen             string        `toml:"inbound_listen" help:"Address of the SMTP server that takes answers and bounces; empty: none."`
		LMTPListen                string        `toml:"lmtp_listen" help:"Address of an additional LMTP server, so that a mail server on this machine can hand mail over; empty: none."`
		InboundCert               string        `toml:"inbound_cert" help:"PEM file with the certificate chain for STARTTLS of incoming mail, read again when it changes; empty: no STARTTLS."`
		InboundKey                string        `toml:"inbound_key" help:"PEM file with the key of inbound_cert."`
		InboundRelays             []string      `toml:"inbound_relays" help:"Our own mail servers on other machines (prefixes) that hand mail over: they are not limited, and their Authentication-Results count. One on this machine is always among them."`
		InboundAuthserv           string        `toml:"inbound_authserv" help:"Name (authserv-id) under which our own mail servers write Authentication-Results, after they removed those of others with that name (RFC 8601, 5); shown with the mail; empty: none is believed."`
		InboundMiBHour            int           `toml:"inbound_mib_per_hour" help:"Maximum MiB that one address (IPv6: /64) may send in an hour; this machine is not limited."`
		InboundTotalMiBHour       int           `toml:"inbound_total_mib_per_hour" help:"Maximum MiB that all addresses together may send in an hour."`
		InboundFreeMiB            int           `toml:"inbound_free_mib" help:"Incoming mail is refused for now (452) while the disk of the embedded database or of inbound_spool has less free; 0: not checked."`
		InboundSpool              string        `toml:"inbound_spool" help:"Folder of large mails while they come in; empty: the one for temporary files."`
		PerHour                   int           `toml:"per_hour" help:"Maximum number of mails an hour in total, confirmations of registrations not counted."`
		PerContactDay             int           `toml:"per_contact_day" help:"Maximum number of mails in 24 hours to one address."`
		PerDomainDay              int           `toml:"per_domain_day" help:"Maximum number of mails in 24 hours to one recipient domain; 0: no such limit."`
		PerASDay                  int           `toml:"per_as_day" help:"Maximum number of mails in 24 hours about the networks of one AS; 0: no such limit."`
		ConfirmationsPerHour      int           `toml:"confirmations_per_hour" help:"Maximum number of confirmations of registrations an hour; they go to addresses that strangers enter, and count for no other limit."`
		ConfirmationsPerDomainDay int           `toml:"confirmations_per_domain_day" help:"Maximum number of confirmations of registrations in 24 hours to one recipient domain. One address gets one in 24 hours."`
		FirstRetry                time.Duration `toml:"first_retry" help:"Wait after the first failed attempt; it doubles each time."`
	} `toml:"mail"`
	Notify struct {
		Kinds        []string      `toml:"kinds" help:"Kinds of sources that open cases: infected, backscatter (victims of attacks), misconfigured, scanner (not acknowledged ones)."`
		StillActive  []string      `toml:"still_active" help:"Times after the last notification at which an owner is reminded of sources that are still seen; after the last there is none."`
		Recovered    bool          `toml:"recovered" help:"Tell every owner once when the sensors saw nothing of a case's sources for follow.quiet, before the case ends; otherwise only if the owner or a coordinator asked for it."`
		FirstContact string        `toml:"first_contact" help:"approve: the first mail to a contact is always approved; gate: only where the contact's gate asks for it."`
		Escalate     time.Duration `toml:"escalate_after" help:"How long after the last letter, when all reminders were sent and the owner did not answer, the next contact is written to: that of the owner, of the surrounding network, of the country; 0: never. A lead switches the rule escalation on, too."`
		QuietHours   string        `toml:"quiet_hours" help:"Hours of the recipient's day in which no mail is sent automatically, such as 22:00-07:00; empty: none."`
		DigestAt     string        `toml:"digest_at" help:"Time of the recipient's day (UTC where a country keeps several) at which contacts with one mail a day in the directory receive it."`
	} `toml:"notify"`
	RDAP struct {
		Mode    string `toml:"mode" help:"recorded: the recorded answers that come with teiten, nothing leaves; live: ask the registries; url: ask the server in url."`
		URL     string `toml:"url" help:"Base URL of an RDAP server for mode url."`
		Contact string `toml:"contact" help:"Address named to registries in the User-Agent."`
	} `toml:"rdap"`
	Owners struct {
		ASFile              string        `toml:"as_file" help:"File that says which AS announces a prefix: MMDB (GeoLite2-ASN), pfx2as, or lines of prefix, AS number and name; empty: only what registries say."`
		Placeholders        []string      `toml:"placeholders" help:"Addresses, @domains and handles of registries that never belong to an owner, in addition to the built-in ones."`
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
		Share    float64  `toml:"share" help:"Share (0 to 0.5) of first letters of low severity that wait at random as a control group, so that the effect of the mails can be measured; 0: none. docs/effect.md has the method."`
		Days     int      `toml:"days" help:"Days for which a letter of the control group waits."`
		Rules    []string `toml:"rules" help:"Rules of low severity whose cases may be drawn: worm445, slammer, persistent, broadcast or one for scanners; never Mirai or victims."`
		Critical []string `toml:"critical" help:"Prefixes of critical networks, whose cases are never drawn."`
		Seed     string   `toml:"seed" help:"Seed of the draws; empty: one that was made once."`
	} `toml:"control"`
	Attribution struct {
		LookBack              time.Duration `toml:"look_back" help:"How far back a source's profile reaches."`
		MaxAge                time.Duration `toml:"max_age" help:"Sources last seen longer ago than this open no case."`
		TimeZone              string        `toml:"time_zone" help:"Time zone of the days in TSUBAME's definition."`
		ScannerPorts          int           `toml:"scanner_ports_per_day" help:"Ports within one day that make a scanner (TSUBAME's definition)."`
		ScannerAddresses      int           `toml:"scanner_addresses" help:"Addresses on one port that make a scanner (Durumeric et al. 2014)."`
		ScannerBlockPorts     int           `toml:"scanner_block_ports" help:"Ports, on scanner_block_addresses each, that make a block scan."`
		ScannerBlockAddresses int           `toml:"scanner_block_addresses" help:"See scanner_block_ports."`
		ScannerProtocols      int           `toml:"scanner_protocols" help:"IP protocols that make a protocol scan."`
	} `toml:"attribution"`
	Report struct {
		TimeZone string `toml:"time_zone" help:"Time zone of the days of reports. Windows of captures are cut at its midnight, so a change holds for what is imported later."`
	} `toml:"report"`
	Retention struct {
		Observations  time.Duration `toml:"observations" help:"How long observations are kept."`
		UnmatchedMail time.Duration `toml:"unmatched_mail" help:"How long incoming mail is kept that belongs to no case; then only the fact that it came is kept."`
	} `toml:"retention"`
	Log struct {
		Level  string `toml:"level" help:"debug, info, warn or error."`
		Format string `toml:"format" help:"text or json."`
	} `toml:"log"`

	origin map[string]string // where each key's value comes from
}

// From says where the value of a key comes from: "default", or the file, the
// variable or the command line that gave it.
func (c *Config) From(key string) string { return c.origin[key] }

// Default returns the configuration that holds without settings of the operator.
func Default() *Config {
	c := &Config{origin: map[string]string{}}
	c.Web.Listen = "127.0.0.1:8080"
	c.Web.Researchers = true
	c.Organisation.NameJA = "Example CSIRT"
	c.Organisation.NameEN = "Example CSIRT"
	c.Organisation.Email = "csirt@teiten.example"
	c.Mail.TLP = string(casedb.DefaultTLP)
	c.Mail.Domain = "teiten.example"
	c.Mail.Transport = "mailbox"
	c.Mail.TLS = "starttls"
	c.Mail.Connections = 1
	c.Mail.Evidence = "csv"
	c.Mail.InboundListen = "127.0.0.1:2525"
	c.Mail.InboundMiBHour, c.Mail.InboundTotalMiBHour, c.Mail.InboundFreeMiB = 100, 1000, 512
	c.Mail.PerHour = 200
	c.Mail.PerContactDay = 10
	c.Mail.PerDomainDay, c.Mail.PerASDay = 50, 50
	c.Mail.ConfirmationsPerHour, c.Mail.ConfirmationsPerDomainDay = 20, 5
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
	c.Report.TimeZone = "Asia/Tokyo"
	c.Retention.Observations = 400 * 24 * time.Hour
	c.Retention.UnmatchedMail = 180 * 24 * time.Hour
	c.Log.Level = "info"
	c.Log.Format = "text"
	return c
}
