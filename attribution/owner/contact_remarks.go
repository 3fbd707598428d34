package owner

import (
	"regexp"
	"slices"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// maxContextLines is how many lines above an address may say what it is for.
const maxContextLines = 3

// readValidity collects what remarks say about addresses: which are invalid, which
// were checked, and to which nobody should write.
func (c *chooser) readValidity() {
	c.invalid, c.validated, c.forbidden = make(map[string]bool), make(map[string]string), make(map[string]string)
	read := func(remarks []AnswerRemark) {
		for _, r := range remarks {
			for _, l := range r.Lines {
				for _, m := range saidInvalid.FindAllStringSubmatch(narrow(l), 5) {
					c.invalid[strings.ToLower(strings.TrimRight(m[1], ".:"))] = true
				}
				for _, m := range saidValidated.FindAllStringSubmatch(narrow(l), 5) {
					c.validated[strings.ToLower(strings.TrimRight(m[1], ".:"))] = m[2]
				}
			}
			for _, a := range addressesIn(r) {
				if key := strings.ToLower(a.address); a.forbidden && c.forbidden[key] == "" {
					c.forbidden[key] = a.line
				}
			}
		}
	}
	read(c.answer.Remarks)
	c.unread = unreadLine(c.answer.Remarks)
	for _, e := range c.answer.Entities {
		read(e.Remarks)
	}
}

// unreadLine returns a line of remarks that says, without naming an address, that
// mail is not read here; empty if there is none.
func unreadLine(remarks []AnswerRemark) string {
	for _, r := range remarks {
		for _, l := range r.Lines {
			plain := plainAddresses(l)
			if !addressInText.MatchString(plain) && mailboxWords.MatchString(plain) && saysUnread(plain) {
				return l
			}
		}
	}
	return ""
}

// saysUnread reports whether words say that nobody reads what is sent.
func saysUnread(s string) bool { return notRead.MatchString(s) && !someTimes.MatchString(s) }

// ofRemarks returns the addresses that the network's remarks name for
// complaints.
func (c *chooser) ofRemarks() []candidate {
	var found []candidate
	for _, r := range c.answer.Remarks {
		for _, a := range remarkAddresses(r) {
			if len(found) == maxCandidates {
				return found
			}
			address, why := c.acceptable(a.address)
			if line := c.forbidden[strings.ToLower(address)]; len(why) == 0 && line != "" {
				if c.ofAnEntity(address) {
					continue // a person sees it there, with the reason
				}
				why = reason.Of(reason.RemarkForbids, shortLine(line))
			}
			if len(why) > 0 {
				c.reject(address, why)
				continue
			}
			f := candidate{class: classRemark, order: []int{boolRank(localPart(address) == "abuse"), len(found)}}
			f.ChosenContact = ChosenContact{Email: address, Role: "remark", Provenance: casedb.FromRemark, Gate: casedb.GateApprove,
				Why: reason.Of(reason.Remark, shortLine(a.line))}
			c.judge(&f, nil)
			found = append(found, f)
		}
	}
	return found
}

// ofAnEntity reports whether an entity's card has the address.
func (c *chooser) ofAnEntity(address string) bool {
	for _, e := range c.answer.Entities {
		for _, m := range e.Emails {
			if a, defect := MailAddress(m.Address); defect == "" && strings.EqualFold(a, address) {
				return true
			}
		}
	}
	return false
}

// remarkAddress is an address in a remark.
type remarkAddress struct {
	address       string
	line          string
	forComplaints bool
	forbidden     bool // the remark says not to write there, or that nobody reads it
}

// remarkAddresses finds the addresses for complaints in a remark.
func remarkAddresses(r AnswerRemark) []remarkAddress {
	return slices.DeleteFunc(addressesIn(r), func(a remarkAddress) bool { return !a.forComplaints })
}

// addressesIn finds the addresses in a remark. What an address is for says the
// text between the one before it and itself; if that says nothing, the address
// itself, the rest of the line, the address before it, or the lines above. Whether
// it is forbidden says its own sentence, which may begin in the line above.
func addressesIn(r AnswerRemark) []remarkAddress {
	var out []remarkAddress
	above, sentence, lines := r.Title, "", 0
	for n, l := range r.Lines {
		plain := plainAddresses(l)
		places := addressInText.FindAllStringIndex(plain, 10)
		if saidInvalid.MatchString(plain) || saidValidated.MatchString(plain) {
			continue
		}
		if len(places) == 0 {
			if lines++; lines > maxContextLines {
				above, sentence, lines = "", "", 0
			}
			above += " " + l
			sentence = lastSentence(sentence + " " + plain)
			continue
		}
		before, end := complaintWords.MatchString(above), 0
		for i, at := range places {
			label, rest := plain[end:at[0]], ""
			next := len(plain)
			if i < len(places)-1 {
				next = places[i+1][0]
			}
			behind := firstSentence(plain[at[1]:next])
			if i == len(places)-1 {
				rest = plain[at[1]:]
				if n+1 < len(r.Lines) && behind == rest && !addressInText.MatchString(plainAddresses(r.Lines[n+1])) {
					behind = firstSentence(rest + " " + narrow(r.Lines[n+1]))
				}
			}
			a := remarkAddress{address: strings.Trim(plain[at[0]:at[1]], ".'"), line: l}
			switch {
			case complaintWords.MatchString(label):
				a.forComplaints = true
			case otherWords.MatchString(label):
			default:
				a.forComplaints = complaintWords.MatchString(localPart(a.address)) || complaintWords.MatchString(rest) || before
			}
			a.forbidden = forbids(lastSentence(sentence+" "+label), behind, i == 0)
			out = append(out, a)
			before, end, sentence = a.forComplaints, at[1], ""
		}
		above, sentence, lines = "", "", 0
	}
	return out
}

// forbids reports whether the words around an address, in its sentence, tell not to
// write to it. What stands between two addresses says of the first one whether it
// is read.
func forbids(before, behind string, first bool) bool {
	if notThere.MatchString(encouraged.ReplaceAllString(before, " ")) || notThereBehind.MatchString(behind) {
		return true
	}
	unread := notRead.MatchString(behind) || first && notRead.MatchString(before)
	return unread && !someTimes.MatchString(before+" "+behind)
}

// sentenceEnds are the places where a sentence ends, as far as they are sure: the
// dots of names and numbers do not end any.
var sentenceEnds = regexp.MustCompile(`[.!?;][)"']?(?:\s+|$)|[。！？!]`)

// lastSentence is what stands behind the last end of a sentence.
func lastSentence(s string) string {
	if ends := sentenceEnds.FindAllStringIndex(s, -1); ends != nil {
		return s[ends[len(ends)-1][1]:]
	}
	return s
}

// firstSentence is what stands before the first end of a sentence.
func firstSentence(s string) string {
	if end := sentenceEnds.FindStringIndex(s); end != nil {
		return s[:end[0]]
	}
	return s
}
