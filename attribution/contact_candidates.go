package attribution

import (
	"cmp"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// maxCandidates bounds the alternatives; more would help nobody.
const maxCandidates = 50

// readValidity collects what remarks say about addresses.
func (c *chooser) readValidity() {
	c.invalid, c.validated = make(map[string]bool), make(map[string]string)
	read := func(remarks []AnswerRemark) {
		for _, r := range remarks {
			for _, l := range r.Lines {
				if m := saidInvalid.FindStringSubmatch(l); m != nil {
					c.invalid[strings.ToLower(m[1])] = true
				}
				if m := saidValidated.FindStringSubmatch(l); m != nil {
					c.validated[strings.ToLower(m[1])] = m[2]
				}
			}
		}
	}
	read(c.answer.Remarks)
	for _, e := range c.answer.Entities {
		read(e.Remarks)
	}
}

// candidates returns every address of the answer that may be written to, each
// once, the best first, and fills Rejected.
func (c *chooser) candidates() []candidate {
	var found []candidate
	for i, e := range c.answer.Entities {
		found = append(found, c.ofEntity(i, e)...)
	}
	found = append(found, c.ofRemarks()...)
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
		address, reason := MailAddress(m.Address)
		switch {
		case reason != "":
			c.reject(casedb.CleanLine(m.Address, 254), "The address cannot be written to: "+reason+".")
			continue
		case placeholder && !c.own:
			c.reject(address, cmp.Or(e.Handle, e.Name)+" stands for a registry, not for the owner of the network.")
			continue
		case containsFold(c.cfg.PlaceholderEmails, address) && !c.own:
			c.reject(address, "The address is a registry's own, not the owner's of the network.")
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
		case localPart(address) == "abuse":
			f.class, f.Provenance, f.Gate = classLocalPart, casedb.FromLocalPart, casedb.GateApprove
			f.order = append([]int{roleRank(e.Roles), e.Depth, position}, within...)
			f.Why = "The address begins with abuse@ and stands at " + entityText(e) + roleText(e) + "."
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

// ofRemarks returns the addresses in the network's remarks whose line, or the
// one before it, speaks of complaints.
func (c *chooser) ofRemarks() []candidate {
	var found []candidate
	n := 0
	for _, r := range c.answer.Remarks {
		before := ""
		for _, l := range r.Lines {
			addresses := addressInText.FindAllString(l, 5)
			if len(addresses) > 0 && !saidInvalid.MatchString(l) && !saidValidated.MatchString(l) &&
				(complaintWords.MatchString(l) || complaintWords.MatchString(before)) {
				for _, a := range addresses {
					n++
					if n > maxCandidates {
						return found
					}
					if f, ok := c.ofRemark(strings.Trim(a, ".'"), l, n); ok {
						found = append(found, f)
					}
				}
			}
			before = l
		}
	}
	return found
}

func (c *chooser) ofRemark(text, line string, n int) (candidate, bool) {
	address, reason := MailAddress(text)
	if reason != "" {
		c.reject(text, "The address cannot be written to: "+reason+".")
		return candidate{}, false
	}
	if containsFold(c.cfg.PlaceholderEmails, address) && !c.own {
		c.reject(address, "The address is a registry's own, not the owner's of the network.")
		return candidate{}, false
	}
	f := candidate{class: classRemark, order: []int{boolRank(localPart(address) == "abuse"), n}}
	f.ChosenContact = ChosenContact{Email: address, Role: "remark", Provenance: casedb.FromRemark, Gate: casedb.GateApprove,
		Why: "A remark on the network says: " + quoted(line)}
	c.judge(&f, nil)
	return f, true
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
		f.Why += " The registry validated the address on " + date + "."
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
