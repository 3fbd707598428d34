package owner

import (
	"maps"
	"slices"
	"strings"
)

// readCards reads what an entity's cards say: the jCard (RFC 7095), and the card in
// JSContact (RFC 9553) that a registry sends beside it or in its place.
func (e *AnswerEntity) readCards(entity map[string]any) {
	e.readCard(entity["vcardArray"])
	for _, name := range slices.Sorted(maps.Keys(entity)) {
		// The member's name differs between the drafts of the extension.
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "jscard") || strings.HasPrefix(lower, "jscontact") {
			if card, ok := first(entity[name]).(map[string]any); ok {
				e.readContactCard(card)
			}
		}
	}
}

// addEmail adds the addresses of one value, once each. Control characters are not
// cleaned away: an address with them is refused, not mended.
func (e *AnswerEntity) addEmail(value string, types []string, pref int) {
	if strings.TrimSpace(value) == "" {
		return
	}
	for _, address := range splitAddresses(value) {
		known := slices.IndexFunc(e.Emails, func(m CardEmail) bool { return strings.EqualFold(m.Address, address) })
		switch {
		case known >= 0:
			m := &e.Emails[known]
			m.Types = append(slices.Clip(m.Types), types...)
			if prefRank(pref) < prefRank(m.Pref) {
				m.Pref = pref
			}
		case len(e.Emails) < maxEmailsPerCard:
			e.Emails = append(e.Emails, CardEmail{Address: address, Types: types, Pref: pref})
		}
	}
}

// readContactCard reads a Card (RFC 9553, 2). Its maps have no order, so addresses
// of one preference come in the order of their keys.
func (e *AnswerEntity) readContactCard(card map[string]any) {
	e.hasCard = true
	if name, ok := card["name"].(map[string]any); ok && e.Name == "" {
		e.Name = text(name["full"])
	}
	if e.Kind == "" {
		e.Kind = strings.ToLower(text(card["kind"]))
	}
	for _, v := range inOrder(card["organizations"]) {
		if e.Name == "" {
			e.Name = text(v["name"])
		}
	}
	for _, v := range inOrder(card["addresses"]) {
		if e.Country == "" {
			e.Country = countryCode(text(v["countryCode"]))
		}
		for _, part := range list(v["components"]) {
			if m, ok := part.(map[string]any); ok && e.Country == "" && text(m["kind"]) == "country" {
				e.Country = countryCode(text(m["value"]))
			}
		}
	}
	for _, v := range inOrder(card["emails"]) {
		if s, ok := v["address"].(string); ok {
			types := words(v["label"])
			for name := range asMap(v["contexts"]) {
				types = append(types, strings.ToLower(name))
			}
			slices.Sort(types)
			e.addEmail(s, types, preference(v["pref"]))
		}
	}
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// inOrder returns the objects of a map by preference, then by key.
func inOrder(v any) []map[string]any {
	m := asMap(v)
	var out []map[string]any
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if o, ok := m[key].(map[string]any); ok && len(out) < maxCardProperties {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b map[string]any) int {
		return prefRank(preference(a["pref"])) - prefRank(preference(b["pref"]))
	})
	return out
}
