package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/notify"
)

// SendLimits bound how much mail leaves.
func (c *Config) SendLimits() casedb.SendLimits {
	return casedb.SendLimits{PerHour: c.Mail.PerHour, PerRecipientDay: c.Mail.PerContactDay, PerDomainDay: c.Mail.PerDomainDay,
		PerASDay: c.Mail.PerASDay, ConfirmationsPerHour: c.Mail.ConfirmationsPerHour, ConfirmationsPerDomainDay: c.Mail.ConfirmationsPerDomainDay}
}

// CaseKinds are the kinds of sources that open cases.
func (c *Config) CaseKinds() []casedb.Kind {
	kinds := make([]casedb.Kind, len(c.Notify.Kinds))
	for i, k := range c.Notify.Kinds {
		kinds[i] = casedb.Kind(k)
	}
	return kinds
}

// Reminders are the times at which owners are told again about active sources. A day between
// two letters is the least.
func (c *Config) Reminders() (casework.Reminders, error) {
	const least = 24 * time.Hour
	var r casework.Reminders
	for _, s := range c.Notify.StillActive {
		d, err := parseDuration(s)
		if err != nil || d < least {
			return r, fmt.Errorf("notify.still_active: %q is not a duration of a day or more, such as 14d", s)
		}
		r = append(r, d)
	}
	return r, nil
}

// DKIMDomain is the domain that signs mail.
func (c *Config) DKIMDomain() string {
	if c.Mail.DKIMDomain != "" {
		return c.Mail.DKIMDomain
	}
	return c.Mail.Domain
}

// QuietHours are the recipient's hours in which nothing goes out on its own.
func (c *Config) QuietHours() notify.QuietHours {
	q, _ := notify.ParseQuietHours(c.Notify.QuietHours) // check has found it good
	return q
}

// DigestAt is when contacts that want one mail a day get it.
func (c *Config) DigestAt() notify.DigestTime {
	t, _ := notify.ParseDigestTime(c.Notify.DigestAt) // check has found it good
	return t
}

// Prefixes parses prefixes that check has found good.
func Prefixes(list []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s).Masked())
	}
	return out
}

// ContactConfig says which addresses are registries' and not owners'.
func (c *Config) ContactConfig() owner.ContactConfig {
	base := owner.DefaultContactConfig()
	if !c.Owners.BuiltinPlaceholders {
		base.PlaceholderHandles, base.PlaceholderEmails = nil, nil
	}
	return owner.ExtendContactConfig(base, c.Owners.Placeholders, c.Owners.RegistryNetworks)
}

// WhoisConfig says which national registries are asked.
func (c *Config) WhoisConfig() owner.WhoisConfig {
	return owner.WhoisConfig{JPNIC: c.Owners.JPNICWhois, KRNIC: c.Owners.KRNICWhois, Every: c.Owners.WhoisEvery}
}

// ASTable reads the file that gives the AS of each prefix; nil without a file.
func (c *Config) ASTable() (*owner.ASTable, error) {
	if c.Owners.ASFile == "" {
		return nil, nil
	}
	t, err := owner.ReadASTable(c.Owners.ASFile)
	if err != nil {
		return nil, fmt.Errorf("owners.as_file: %w", err)
	}
	return t, nil
}

// Logger writes one event per line to standard error.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // checked by check
	opt := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// RDAPContact is the address that registries are told.
func (c *Config) RDAPContact() string {
	if c.RDAP.Contact != "" {
		return c.RDAP.Contact
	}
	return c.Organisation.Email
}
