package owner

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// ContactConfig has the operator's settings for the choice of contacts.
// The zero value chooses without knowing any registry's placeholder; see
// DefaultContactConfig.
type ContactConfig struct {
	// PlaceholderHandles are handles of entities that stand for a registry and
	// not for the network's owner.
	PlaceholderHandles []string
	// PlaceholderEmails are the registries' own addresses; "@nic.example" is
	// every address of the domain.
	PlaceholderEmails []string
	// OwnNetworks are the names or handles of the networks that registries run
	// themselves, where their addresses are the right ones.
	OwnNetworks []string
	// OwnPrefixes are the same as prefixes.
	OwnPrefixes []netip.Prefix
	// RegistryNames are names of registries as networks' descriptions and
	// entities write them; they are never taken for the name of an owner.
	RegistryNames []string
}

// DefaultContactConfig returns the placeholders of the regional and national
// registries.
func DefaultContactConfig() ContactConfig {
	return ContactConfig{
		PlaceholderHandles: []string{
			"IRT-JPNIC-JP", "IRT-KRNIC-KR", "IRT-CNNIC-CN", "IRT-APNIC-AP", "IRT-TWNIC-AP", "IRT-TWNIC-TW", "IRT-VNNIC-AP",
			"IRT-VNNIC-VN", "IRT-IDNIC-ID", "IRT-IDNIC-AP", "IRT-IRINN-IN", "IRT-NIXI-IN",
			"JNIC1-AP", "AWC12-ARIN", "ABUSE3850-ARIN", "IANA1-RIPE", "IANA1-AP", "IANA-IP-ARIN", "ABUSEPOC-AFRINIC",
		},
		PlaceholderEmails: []string{
			// National registries.
			"@nic.ad.jp", "@nic.or.kr", "ip@kisa.or.kr", "hostmaster@kisa.or.kr", "@cnnic.cn", "@cnnic.net.cn", "@twnic.net.tw",
			"@twnic.tw", "@vnnic.vn", "@vnnic.net.vn", "@idnic.net", "@idnic.id", "@irinn.in", "@registro.br", "@nic.br",
			"cert@cert.br", "mail-abuse@cert.br", // named in every answer of NIC.br
			// Regional ones.
			"@lacnic.net", "@ripe.net", "@arin.net", "@afrinic.net", "@iana.org",
			"search-apnic-not-arin@apnic.net", "abuse@apnic.net", "hostmaster@apnic.net", "hm-changed@apnic.net",
			"no-email@apnic.net", "nobody@apnic.net",
		},
		OwnNetworks: []string{"JPNICNET", "APNIC-SERVICES", "APNIC-LABS", "RIPE-NCC", "ARIN-NET"},
		RegistryNames: []string{
			"Japan Network Information Center", "Asia Pacific Network Information Centre", "APNIC", "JPNIC",
			"Korea Network Information Center", "KRNIC", "China Internet Network Information Center", "CNNIC",
			"RIPE Network Coordination Centre", "RIPE NCC", "LACNIC", "AFRINIC", "African Network Information Center",
			"Latin American and Caribbean IP address Regional Registry", "American Registry for Internet Numbers",
			"Internet Assigned Numbers Authority", "IANA", "TWNIC", "Taiwan Network Information Center",
			"Korea Internet & Security Agency", "KISA", "VNNIC", "Vietnam Internet Network Information Center", "IDNIC", "IRINN",
		},
	}
}

// ExtendContactConfig adds an operator's entries to a configuration:
// placeholders that are addresses, domains ("@nic.example") or handles, and own
// networks that are prefixes, names or handles.
func ExtendContactConfig(cfg ContactConfig, placeholders, ownNetworks []string) ContactConfig {
	for _, p := range placeholders {
		if strings.Contains(p, "@") {
			cfg.PlaceholderEmails = append(cfg.PlaceholderEmails, p)
		} else {
			cfg.PlaceholderHandles = append(cfg.PlaceholderHandles, p)
		}
	}
	for _, n := range ownNetworks {
		if p, err := netip.ParsePrefix(n); err == nil {
			cfg.OwnPrefixes = append(cfg.OwnPrefixes, p.Masked())
		} else {
			cfg.OwnNetworks = append(cfg.OwnNetworks, n)
		}
	}
	return cfg
}

// IsPlaceholderEmail reports whether an address is a registry's own.
func (cfg *ContactConfig) IsPlaceholderEmail(address string) bool {
	at := strings.LastIndexByte(address, '@')
	return at >= 0 && (ContainsFold(cfg.PlaceholderEmails, address) || ContainsFold(cfg.PlaceholderEmails, address[at:]))
}

// ownNames are the names of the organisations that the regional registries are
// in their own databases.
var ownNames = map[string]*regexp.Regexp{
	"apnic":   regexp.MustCompile(`(?i)^APNIC\b|Asia[- ]Pacific Network Information Cent`),
	"ripe":    regexp.MustCompile(`(?i)\bRIPE NCC\b|Network Coordination Cent`),
	"arin":    regexp.MustCompile(`(?i)American Registry for Internet Numbers`),
	"lacnic":  regexp.MustCompile(`(?i)^LACNIC\b|Latin American and Caribbean (IP|Internet) address`),
	"afrinic": regexp.MustCompile(`(?i)^AfriNIC\b|African Network Information Cent`),
}

// isOwnNetwork reports whether the range belongs to a registry itself: by the
// configuration, or because the registry that answers names itself as the
// holder of a range that is no stock to give to others.
func (c *chooser) isOwnNetwork(addr netip.Addr) bool {
	a := c.answer
	if ContainsFold(c.cfg.OwnNetworks, a.Name) || ContainsFold(c.cfg.OwnNetworks, a.Handle) ||
		slices.ContainsFunc(c.cfg.OwnPrefixes, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return true
	}
	own := ownNames[c.choice.Network.Registry]
	if own == nil || !a.Contains(addr) || isStock(a) {
		return false
	}
	return slices.ContainsFunc(a.Entities, func(e AnswerEntity) bool {
		return e.Depth == 0 && own.MatchString(e.Name) && (len(e.Roles) == 0 && e.Kind == "org" || slices.Contains(e.Roles, "registrant"))
	})
}

// isStock reports whether a range is one that a registry holds to give parts
// of it to others.
func isStock(a *RegistryAnswer) bool {
	widest := 15
	if a.First.Is6() {
		widest = 29
	}
	p, err := a.First.Prefix(widest)
	return err != nil || !p.Contains(a.Last) || strings.Contains(strings.ToUpper(a.Type), "UNSPECIFIED")
}
