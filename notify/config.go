package notify

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"

	"teiten/internal/casedb"
)

// Config names the sender in mails. All fields but Phone, URL, Register, Pages and From must be set.
type Config struct {
	OrganisationJA string // our name in Japanese letters
	OrganisationEN string // our name in English letters
	Email          string // where a person is reached
	Phone          string
	URL            string // our page, or the page about these mails
	Register       string // the page where researchers register scanners; empty: none
	Pages          string // URL under which owners see their evidence, "https://desk.example/o/"; empty: no such page
	Domain         string // our mail domain: tokens and Message-IDs are at it
	From           string // the From address; empty: Email
	PGP            *PGP   // signs mails; nil: mails are not signed
	Format         Format // of the evidence; empty: CSV

	Authority map[string]string // by language: who we are and by which authority we write; empty: a sentence that claims none
	Verify    map[string]string // by language: how to check us by a way that is not in the letter; empty: to look our name up
	TLP       casedb.TLP        // of letters about cases that have no label of their own; empty: casedb.DefaultTLP
}

// Check returns all faults of the configuration together.
func (c Config) Check() error {
	var errs []error
	if c.OrganisationJA == "" || c.OrganisationEN == "" {
		errs = append(errs, errors.New("the organisation has no name in Japanese or English"))
	}
	for name, address := range map[string]string{"contact address": c.Email, "From address": c.from()} {
		if err := checkAddress(address); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if c.Domain == "" || strings.ContainsAny(c.Domain, " @\r\n\t<>") {
		errs = append(errs, fmt.Errorf("mail domain %q is none", c.Domain))
	}
	for _, s := range []string{c.OrganisationJA, c.OrganisationEN, c.Phone, c.URL, c.Register, c.Pages,
		c.Authority["ja"], c.Authority["en"], c.Verify["ja"], c.Verify["en"]} {
		if strings.ContainsAny(s, "\r\n") {
			errs = append(errs, fmt.Errorf("%q must be one line", s))
		}
	}
	if c.TLP != "" && !c.TLP.Valid() {
		errs = append(errs, fmt.Errorf("%q is no label of TLP 2.0", c.TLP))
	}
	return errors.Join(errs...)
}

func (c Config) from() string {
	if c.From != "" {
		return c.From
	}
	return c.Email
}

// organisation returns our name in a language.
func (c Config) organisation(language string) string {
	if language == "ja" {
		return c.OrganisationJA
	}
	return c.OrganisationEN
}

// checkAddress accepts a bare address of printable ASCII, as it goes into
// envelopes (RFC 5321, 4.1.2, without quoted local parts).
func checkAddress(address string) error {
	local, domain, ok := cutAddress(address)
	switch {
	case !ok || local == "" || domain == "":
		return fmt.Errorf("%q is no mail address", address)
	case len(address) > 254 || len(local) > 64:
		return fmt.Errorf("mail address %.80q... is too long", address)
	}
	for _, r := range address {
		if r <= ' ' || r > '~' || strings.ContainsRune(`<>()[]\,;:"`, r) {
			return fmt.Errorf("%q is no mail address", address)
		}
	}
	if _, err := mail.ParseAddress(address); err != nil {
		return fmt.Errorf("%q is no mail address", address)
	}
	return nil
}

// cutAddress splits an address at its last @.
func cutAddress(address string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return address, "", false
	}
	return address[:i], address[i+1:], true
}
