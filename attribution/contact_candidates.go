package attribution

import (
	"cmp"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// maxCandidates bounds the alternatives; more would help nobody.
const maxCandidates = 50

// candidates returns every address of the answer that may be written to, each
// once, the best first, and fills Rejected.
func (c *chooser) candidates() []candidate {
	var found []candidate
	for i, e := range c.answer.Entities {
		found = append(found, c.ofEntity(i, e)...)
	}
	found = append(found, c.ofRemarks()...)
	found = append(found, c.ofWhois()...)
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.class, b.class), slices.Compare(a.order, b.order))
	})
	seen := make(map[string]bool, len(found))
	found = slices.DeleteFunc(found, func(f candidate) bool {
		key := strings.ToLower(f.Email)
		if seen[key] {
			return true
		}
		seen[key] = true
		return false
	})
	return found[:min(len(found), maxCandidates)]
}

// ofEntity returns the addresses of one entity, the position of which breaks
// ties.
func (c *chooser) ofEntity(position int, e AnswerEntity) []candidate {
	placeholder := c.isPlaceholderHandle(e.Handle) || c.isPlaceholderHandle(e.Name)
	abuse := slices.Contains(e.Roles, "abuse")
	var found []candidate
	for i, m := range e.Emails {
		address, why := c.acceptable(m.Address)
		if placeholder && !c.own {
			why = cmp.Or(e.Handle, e.Name) + " stands for a registry, not for the owner of the network."
		}
		if why != "" {
			c.reject(address, why)
			continue
		}
		f := candidate{ChosenContact: ChosenContact{Email: address, Name: e.Name, Role: strings.Join(e.Roles, " ")}}
		// An entity for abuse only is meant for us; of several, the one nearest to the network.
		within := []int{boolRank(slices.Contains(m.Types, "abuse")), prefRank(m.Pref), boolRank(localPart(address) == "abuse"), i}
		switch {
		case abuse:
			f.class, f.Provenance, f.Gate = classAbuseRole, casedb.FromAbuseRole, casedb.GateAuto
			f.order = append([]int{boolRank(len(e.Roles) == 1), e.Depth, position}, within...)
			f.Why = "The registry names " + entityText(e) + " for abuse" + roleText(e) + emailText(m, e, address) + "."
		case localPart(address) == "abuse", slices.Contains(m.Types, "abuse"):
			f.class, f.Provenance, f.Gate = classLocalPart, casedb.FromLocalPart, casedb.GateApprove
			f.order = append([]int{roleRank(e.Roles), e.Depth, position}, within...)
			f.Why = "The address begins with abuse@ and stands at "
			if localPart(address) != "abuse" {
				f.Why = "The address is marked for abuse and stands at "
			}
			f.Why += entityText(e) + roleText(e) + "."
		default:
			f.class, f.Provenance, f.Gate = classByHand, casedb.FromNone, casedb.GateHuman
			f.order = append([]int{roleRank(e.Roles), e.Depth, position}, within...)
			f.Why = "The address is not for abuse; it stands at " + entityText(e) + roleText(e) + "."
		}
		c.judge(&f, &e)
		found = append(found, f)
	}
	return found
}

// ofWhois returns the addresses that a national registry's WHOIS names. Those
// for abuse are as good as a remark: the registry says nothing about whether
// they are read.
func (c *chooser) ofWhois() []candidate {
	w := c.answer.Whois
	if w == nil {
		return nil
	}
	var found []candidate
	for i, k := range w.Contacts {
		address, why := c.acceptable(k.Email)
		if why != "" {
			c.reject(address, why)
			continue
		}
		f := candidate{ChosenContact: ChosenContact{Email: address, Name: w.Organisation, Role: "whois"}, order: []int{0, i}}
		switch {
		case k.Abuse && w.Registry == jpnicWhois.name:
			f.class, f.Provenance, f.Gate = classWhois, casedb.FromJPNICWhois, casedb.GateApprove
			f.Why = w.source() + " names it under " + k.Label + "."
		case k.Abuse:
			f.class, f.Provenance, f.Gate = classWhois, casedb.FromRemark, casedb.GateApprove
			f.Why = w.source() + " names it under " + quoted(k.Label)
		case localPart(address) == "abuse":
			f.class, f.Provenance, f.Gate = classLocalPart, casedb.FromLocalPart, casedb.GateApprove
			f.Why = "The address begins with abuse@ and stands in " + w.source() + "."
		default:
			f.class, f.Provenance, f.Gate = classByHand, casedb.FromNone, casedb.GateHuman
			f.Why = "The address is not for abuse; it stands in " + w.source() + " under " + quoted(k.Label)
		}
		c.judge(&f, nil)
		found = append(found, f)
	}
	return found
}

// source names the WHOIS for people.
func (w *WhoisAnswer) source() string { return strings.ToUpper(w.Registry) + " WHOIS" }

// acceptable checks an address of an answer and returns it as it is written to,
// or as far as it can be shown with the reason why it must not be.
func (c *chooser) acceptable(email string) (address, why string) {
	address, reason := MailAddress(email)
	switch {
	case reason != "":
		return casedb.CleanLine(email, 254), "The address cannot be written to: " + reason + "."
	case c.cfg.isPlaceholderEmail(address) && !c.own:
		return address, "The address is a registry's own, not the owner's of the network."
	}
	return address, ""
}

// judge applies what the registry says about the address.
func (c *chooser) judge(f *candidate, e *AnswerEntity) {
	yes, no := true, false
	key := strings.ToLower(f.Email)
	date, validated := c.validated[key]
	switch {
	case c.invalid[key]:
		f.Valid, f.Gate, f.class = &no, casedb.GateHuman, classInvalid
		f.Why += " The registry says that the address is invalid."
	case validated:
		f.Valid = &yes
		f.Why += " The registry validated the address" + date + "."
	case e == nil:
	case slices.ContainsFunc(e.Remarks, func(r AnswerRemark) bool { return strings.Contains(r.Title, "unvalidated poc") }):
		// ARIN has asked and nobody has answered.
		if f.Gate == casedb.GateAuto {
			f.Gate = casedb.GateApprove
		}
		f.Why += " The registry could not validate it."
	case slices.Contains(e.Status, "validated"):
		f.Valid = &yes
		f.Why += " The registry has validated it."
	}
}

func (c *chooser) reject(email, why string) {
	key := strings.ToLower(email)
	if c.rejected[key] || len(c.choice.Rejected) >= maxCandidates {
		return
	}
	c.rejected[key] = true
	c.choice.Rejected = append(c.choice.Rejected, RejectedContact{Email: email, Why: why})
}

// roleRank orders the roles that are not for abuse.
func roleRank(roles []string) int {
	for i, r := range []string{"noc", "technical", "administrative", "registrant"} {
		if slices.Contains(roles, r) {
			return i
		}
	}
	return 4
}

func boolRank(better bool) int {
	if better {
		return 0
	}
	return 1
}

// prefRank puts addresses without preference behind those with one.
func prefRank(pref int) int {
	if pref == 0 {
		return 101
	}
	return pref
}

func entityText(e AnswerEntity) string {
	switch {
	case e.Name != "" && e.Handle != "" && e.Name != e.Handle:
		return e.Name + " (" + e.Handle + ")"
	case e.Name != "" || e.Handle != "":
		return cmp.Or(e.Name, e.Handle)
	}
	return "an entity without a name"
}

func roleText(e AnswerEntity) string {
	var others []string
	for _, r := range e.Roles {
		if r != "abuse" {
			others = append(others, r)
		}
	}
	switch {
	case len(others) == 0 && len(e.Roles) == 0:
		return ", which has no role"
	case len(others) == 0:
		return ""
	case len(others) < len(e.Roles):
		return ", beside " + strings.Join(others, ", ")
	}
	return ", which is " + strings.Join(others, ", ")
}

// emailText says why this one of several addresses.
func emailText(m CardEmail, e AnswerEntity, address string) string {
	switch {
	case len(e.Emails) < 2:
		return ""
	case slices.Contains(m.Types, "abuse"):
		return "; of its addresses this one is marked for abuse"
	case m.Pref > 0:
		return "; of its addresses this one is marked as preferred"
	case localPart(address) == "abuse":
		return "; of its addresses this one begins with abuse@"
	}
	return "; it is one of several addresses"
}

func quoted(s string) string { return "\u201c" + casedb.CleanLine(s, 200) + "\u201d." }
