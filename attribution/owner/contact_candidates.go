package owner

import (
	"cmp"
	"slices"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// maxCandidates bounds the alternatives; more would not help a coordinator.
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
			why = reason.Of(reason.Placeholder, cmp.Or(e.Handle, e.Name))
		}
		if len(why) > 0 {
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
			f.Why = roleWhy(e, reason.Named, reason.NamedBeside)
			if len(e.Emails) > 1 {
				f.Why = f.Why.And(ofSeveral(m, address))
			}
		case localPart(address) == "abuse", slices.Contains(m.Types, "abuse"):
			f.class, f.Provenance, f.Gate = classLocalPart, casedb.FromLocalPart, casedb.GateApprove
			f.order = append([]int{roleRank(e.Roles), e.Depth, position}, within...)
			f.Why = roleWhy(e, reason.BeginsAbuseNoRole, reason.BeginsAbuse)
			if localPart(address) != "abuse" {
				f.Why = roleWhy(e, reason.MarkedAbuseNoRole, reason.MarkedAbuse)
			}
		default:
			f.class, f.Provenance, f.Gate = classByHand, casedb.FromNone, casedb.GateHuman
			f.order = append([]int{boolRank(!isPersons(&e, address)), roleRank(e.Roles), e.Depth, position}, within...)
			f.Why = roleWhy(e, reason.OtherNoRole, reason.OtherRole)
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
		if len(why) > 0 {
			c.reject(address, why)
			continue
		}
		f := candidate{ChosenContact: ChosenContact{Email: address, Name: w.Organisation, Role: "whois"}, order: []int{0, i}}
		switch {
		case k.Abuse && w.Registry == jpnicWhois.name:
			f.class, f.Provenance, f.Gate = classWhois, casedb.FromJPNICWhois, casedb.GateApprove
			f.Why = reason.Of(reason.WhoisField, w.source(), k.Label)
		case k.Abuse:
			f.class, f.Provenance, f.Gate = classWhois, casedb.FromRemark, casedb.GateApprove
			f.Why = reason.Of(reason.WhoisSection, w.source(), shortLine(k.Label))
		case localPart(address) == "abuse":
			f.class, f.Provenance, f.Gate = classLocalPart, casedb.FromLocalPart, casedb.GateApprove
			f.Why = reason.Of(reason.WhoisBeginsAbuse, w.source())
		default:
			f.class, f.Provenance, f.Gate = classByHand, casedb.FromNone, casedb.GateHuman
			f.Why = reason.Of(reason.WhoisOther, w.source(), shortLine(k.Label))
		}
		c.judge(&f, nil)
		found = append(found, f)
	}
	return found
}

// source names the registry for people.
func (w *WhoisAnswer) source() string { return strings.ToUpper(w.Registry) }

// acceptable checks an address of an answer and returns it as it is written to,
// or as far as it can be shown with the reason why it must not be.
func (c *chooser) acceptable(email string) (address string, why reason.List) {
	address, defect := MailAddress(email)
	switch {
	case defect != "":
		return casedb.CleanLine(email, 254), reason.Of(reason.NotMailable, defect)
	case c.cfg.IsPlaceholderEmail(address) && !c.own:
		return address, reason.Of(reason.RegistrysOwn)
	}
	return address, nil
}

// judge applies what the registry says about the address.
func (c *chooser) judge(f *candidate, e *AnswerEntity) {
	yes, no := true, false
	key := strings.ToLower(f.Email)
	c.distrust(f, e)
	date, validated := c.validated[key]
	switch {
	case c.invalid[key]:
		f.Valid, f.Gate, f.class = &no, casedb.GateHuman, classInvalid
		f.Why = f.Why.And(reason.Invalid)
	case validated:
		f.Valid = &yes
		if date == "" {
			f.Why = f.Why.And(reason.Validated)
		} else {
			f.Why = f.Why.And(reason.ValidatedOn, date)
		}
	case e == nil:
	case slices.ContainsFunc(e.Remarks, func(r AnswerRemark) bool { return strings.Contains(r.Title, "unvalidated poc") }):
		// ARIN has asked and got no answer.
		if f.Gate == casedb.GateAuto {
			f.Gate = casedb.GateApprove
		}
		f.Why = f.Why.And(reason.NotValidated)
	case slices.Contains(e.Status, "validated"):
		f.Valid = &yes
		f.Why = f.Why.And(reason.HasValidated)
	}
}

// distrust puts an address last, and leaves it to a person, where the answer says
// that nobody should write to it or that nobody reads it.
func (c *chooser) distrust(f *candidate, e *AnswerEntity) {
	var why reason.List
	if line := c.forbidden[strings.ToLower(f.Email)]; line != "" {
		why = why.And(reason.RemarkForbids, shortLine(line))
	} else if line := c.unreadBy(f, e); line != "" {
		why = why.And(reason.MailUnread, shortLine(line))
	}
	if hasNoReader(f.Email) {
		why = why.And(reason.NoReader)
	}
	if e != nil && e.Ended != "" {
		why = why.And(reason.EntityEnded, e.Ended)
	}
	if len(why) > 0 {
		f.class, f.Gate = classInvalid, casedb.GateHuman
		f.Why = append(f.Why, why...)
	}
}

// unreadBy is the line by which mail to a candidate is not read. A remark on the
// network is about its desk for abuse.
func (c *chooser) unreadBy(f *candidate, e *AnswerEntity) string {
	if e == nil {
		return ""
	}
	if line := unreadLine(e.Remarks); line != "" {
		return line
	}
	if f.class == classAbuseRole || f.class == classLocalPart {
		return c.unread
	}
	return ""
}

// askAboutDesks leaves the choice between desks of different organisations, most
// often a customer's and its provider's, to a person, once. An address that the
// registry has checked needs no such decision for a remark that names another desk,
// unless the remark is about a customer.
func (c *chooser) askAboutDesks(found []candidate) {
	if len(found) == 0 || found[0].Gate != casedb.GateAuto {
		return
	}
	best := &found[0]
	checked := best.Valid != nil && *best.Valid && !slices.ContainsFunc(c.answer.Remarks, func(r AnswerRemark) bool {
		return slices.ContainsFunc(r.Lines, customerWords.MatchString)
	})
	for _, f := range found[1:] {
		if f.class > classWhois || organisationalDomain(f.Email) == organisationalDomain(best.Email) || checked && f.class != classAbuseRole {
			continue
		}
		best.Gate = casedb.GateApprove
		best.Why = best.Why.And(reason.OtherDesk, f.Email)
		return
	}
}

func (c *chooser) reject(email string, why reason.List) {
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

// entityText names an entity; empty: it has no name.
func entityText(e AnswerEntity) string {
	switch {
	case e.Name != "" && e.Handle != "" && e.Name != e.Handle:
		return e.Name + " (" + e.Handle + ")"
	case e.Name != "" || e.Handle != "":
		return cmp.Or(e.Name, e.Handle)
	}
	return ""
}

// roleWhy is the reason about an entity for its roles besides abuse.
func roleWhy(e AnswerEntity, nothing, something reason.Code) reason.List {
	others := slices.DeleteFunc(slices.Clone(e.Roles), func(r string) bool { return r == "abuse" })
	if len(others) == 0 {
		return reason.Of(nothing, entityText(e))
	}
	return reason.Of(something, append([]string{entityText(e)}, others...)...)
}

// ofSeveral says why this one of several addresses.
func ofSeveral(m CardEmail, address string) reason.Code {
	switch {
	case slices.Contains(m.Types, "abuse"):
		return reason.OfSeveralMarked
	case m.Pref > 0:
		return reason.OfSeveralPreferred
	case localPart(address) == "abuse":
		return reason.OfSeveralBeginsAbuse
	}
	return reason.OfSeveral
}

// shortLine is an answer's line as a sentence quotes it.
func shortLine(s string) string { return casedb.CleanLine(s, 200) }
