package owner

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// Choice is the contact that follows from an answer, with the other addresses.
type Choice struct {
	Network      ChosenNetwork
	Contact      ChosenContact   // Email is empty if no contact exists
	Alternatives []ChosenContact // the next best first
	Rejected     []RejectedContact
	OwnerName    string
	OwnerKey     string // registry and handle, the same from answer to answer
	Language     string // ja or en
}

// ChosenNetwork is the network around the address.
type ChosenNetwork struct {
	First, Last netip.Addr
	Prefixes    []netip.Prefix // cover exactly First to Last
	Range       string
	Handle      string
	Name        string
	Country     string // ISO 3166 in capitals, or empty
	AS          AS     // as the answer names it; the zero AS: none, or several
	Registry    string // apnic, arin, ripe, lacnic, afrinic, jpnic or the host of another
}

// ChosenContact is an address with where it comes from and who may release mail
// to it.
type ChosenContact struct {
	Email      string
	Name       string
	Role       string
	Provenance casedb.Provenance
	Gate       casedb.Gate
	Valid      *bool       // what the registry says of the address; nil: nothing
	Why        reason.List // for the coordinator
}

// RejectedContact is an address that stands in the answer and must not be
// written to, with the reason.
type RejectedContact struct {
	Email string
	Why   reason.List
}

// ChooseContact chooses the contact for the address from a registry's answer.
// It is a pure function: docs/contacts.md tells the rules. An answer about
// other addresses gives a choice without contact and without range.
func ChooseContact(answer RegistryAnswer, addr netip.Addr, cfg ContactConfig) Choice {
	addr = addr.Unmap()
	c := chooser{answer: &answer, cfg: cfg, rejected: make(map[string]bool)}
	c.choice.Network = c.network(addr)
	c.choice.Language = "en"
	if c.choice.Network.Country == "JP" {
		c.choice.Language = "ja"
	}
	c.own = c.isOwnNetwork(addr)
	c.choice.OwnerName, c.choice.OwnerKey = c.owner()
	none := ChosenContact{Provenance: casedb.FromNone, Gate: casedb.GateHuman, Why: reason.Of(reason.NoAddress)}
	if answer.Redacted {
		none.Why = reason.Of(reason.Redacted)
	}
	switch {
	case !answer.First.IsValid():
		none.Why = reason.Of(reason.NoRange)
		c.choice.Contact = none
		return c.choice
	case !answer.Contains(addr):
		none.Why = reason.Of(reason.OtherRange, rangeText(answer.First, answer.Last))
		c.choice.Contact = none
		return c.choice
	}
	c.readValidity()
	found := c.candidates()
	c.askAboutDesks(found)
	if len(found) == 0 {
		if len(c.choice.Rejected) > 0 {
			none.Why = reason.Of(reason.AllRejected)
		}
		if w := answer.Whois; w != nil {
			none.Why = none.Why.And(reason.WhoisNamesNone, w.source())
		} else if len(answer.WhoisNote) > 0 {
			none.Why = append(none.Why, answer.WhoisNote...)
		}
		c.choice.Contact = none
		return c.choice
	}
	c.choice.Contact, c.choice.Alternatives = found[0].ChosenContact, nil
	for _, f := range found[1:] {
		c.choice.Alternatives = append(c.choice.Alternatives, f.ChosenContact)
	}
	return c.choice
}

// The classes of candidates, best first.
const (
	classAbuseRole = iota
	classRemark
	classWhois
	classLocalPart
	classByHand
	classInvalid // the registry or the owner says that mail does not arrive, or that nobody reads it
)

type candidate struct {
	ChosenContact
	class int
	order []int // within the class, compared item by item
}

// chooser holds what one choice works on.
type chooser struct {
	answer    *RegistryAnswer
	cfg       ContactConfig
	own       bool // the range is a registry's own
	choice    Choice
	rejected  map[string]bool
	invalid   map[string]bool
	validated map[string]string // address to date
	forbidden map[string]string // address to the line that tells not to write to it
	unread    string            // the line by which mail to the network is not read
}

func (c *chooser) network(addr netip.Addr) ChosenNetwork {
	a := c.answer
	n := ChosenNetwork{Handle: a.Handle, Name: a.Name, Country: countryCode(a.Country), Registry: registryOf(a)}
	if len(a.Origins) == 1 {
		n.AS.Number = a.Origins[0]
	}
	if n.Country == "" {
		for _, e := range a.Entities {
			if e.Country != "" && slices.Contains(e.Roles, "registrant") {
				n.Country = e.Country
				break
			}
		}
	}
	if !a.Contains(addr) {
		return n
	}
	n.Country = cmp.Or(n.Country, Country(addr))
	n.First, n.Last = a.First, a.Last
	if tooWide(n.First, n.Last) {
		n.First, n.Last = addr, addr
	}
	if w := a.Whois; w != nil && w.Contains(addr) {
		// The national registry knows the assignment inside; its contact is for that only.
		if n.First.Less(w.First) {
			n.First = w.First
		}
		if w.Last.Less(n.Last) {
			n.Last = w.Last
		}
	}
	n.Prefixes = coveringPrefixes(n.First, n.Last)
	n.Range = rangeText(n.First, n.Last)
	return n
}

// owner finds the name and the key of the network's owner.
func (c *chooser) owner() (name, key string) {
	registry := c.choice.Network.Registry
	named := func(e AnswerEntity) bool {
		return e.Name != "" && !c.isPlaceholderHandle(e.Handle) && (c.own || !c.isRegistryName(e.Name)) && !isMaintainer(e.Handle)
	}
	for _, e := range c.answer.Entities {
		if slices.Contains(e.Roles, "registrant") && e.Depth == 0 && named(e) {
			name = e.Name
			if e.Handle != "" {
				key = registry + ":" + e.Handle
			}
			break
		}
	}
	if w := c.answer.Whois; w != nil {
		found := w.Organisation
		if c.isRegistryName(found) {
			found = ""
		}
		if n := c.choice.Network; n.First != c.answer.First || n.Last != c.answer.Last {
			// An assignment inside the range most likely has another owner, and its
			// contact holds only for the assignment.
			return cmp.Or(found, w.Name, n.Range), w.Registry + ":net:" + n.Range
		}
		name = cmp.Or(name, found)
	}
	if name == "" {
		name = c.describedOwner()
	}
	for _, e := range c.answer.Entities {
		// An incident response team of the owner's own names the owner (APNIC).
		if key == "" && len(e.Roles) == 1 && e.Roles[0] == "abuse" && e.Handle != "" && !c.isPlaceholderHandle(e.Handle) &&
			!c.hasOnlyPlaceholders(e) {
			key = registry + ":" + e.Handle
		}
	}
	if name == "" {
		name = cmp.Or(c.answer.Name, c.answer.Handle, rangeText(c.answer.First, c.answer.Last))
	}
	if key == "" {
		key = registry + ":net:" + cmp.Or(c.answer.Handle, rangeText(c.answer.First, c.answer.Last))
	}
	return name, key
}

// describedOwner is the first line of the network's description, where APNIC
// keeps the name of the owner.
func (c *chooser) describedOwner() string {
	for _, r := range c.answer.Remarks {
		if r.Title == "description" && len(r.Lines) > 0 && !c.isRegistryName(r.Lines[0]) {
			return r.Lines[0]
		}
	}
	return ""
}

func (c *chooser) isPlaceholderHandle(handle string) bool {
	return handle != "" && ContainsFold(c.cfg.PlaceholderHandles, handle)
}

func (c *chooser) hasOnlyPlaceholders(e AnswerEntity) bool {
	for _, m := range e.Emails {
		if address, defect := MailAddress(m.Address); defect == "" && !c.cfg.IsPlaceholderEmail(address) {
			return false
		}
	}
	return true
}

func (c *chooser) isRegistryName(name string) bool { return ContainsFold(c.cfg.RegistryNames, name) }

// isMaintainer reports whether a handle names the record's keeper (RIPE) and
// not an organisation.
func isMaintainer(handle string) bool {
	h := strings.ToUpper(handle)
	return strings.HasSuffix(h, "-MNT") || strings.HasPrefix(h, "MNT-") || strings.HasPrefix(h, "MAINT-")
}

func ContainsFold(list []string, s string) bool {
	return s != "" && slices.ContainsFunc(list, func(item string) bool { return strings.EqualFold(item, s) })
}

// registryHosts are the registries by the hosts of their servers.
var registryHosts = []struct{ suffix, name string }{
	{"apnic.net", "apnic"}, {"arin.net", "arin"}, {"ripe.net", "ripe"}, {"lacnic.net", "lacnic"}, {"afrinic.net", "afrinic"},
	{"nic.ad.jp", "jpnic"}, {"registro.br", "registro.br"},
}

// registryOf names the registry that answered.
func registryOf(a *RegistryAnswer) string {
	for _, host := range []string{a.Port43, hostOf(a.SelfURL)} {
		if host == "" {
			continue
		}
		for _, r := range registryHosts {
			if host == r.suffix || strings.HasSuffix(host, "."+r.suffix) {
				return r.name
			}
		}
	}
	return cmp.Or(strings.TrimPrefix(strings.TrimPrefix(a.Port43, "whois."), "rdap."), hostOf(a.SelfURL), "unknown")
}

func hostOf(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, ":")
	return strings.ToLower(host)
}
