package owner

import (
	"regexp"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/reason"
)

// addressInText finds e-mail addresses in a remark's line.
var addressInText = regexp.MustCompile(`[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)

// The pieces of addresses that are written so that harvesters do not find them.
var (
	atInBrackets  = regexp.MustCompile(`(?i)\s*[(\[{<]\s*at\s*[)\]}>]$|\s+at$`)
	dotInBrackets = regexp.MustCompile(`(?i)\s*[(\[{<]\s*dot\s*[)\]}>]\s*`)
)

// maxContextLines is how many lines above an address may say what it is for.
const maxContextLines = 3

// readValidity collects what remarks say about addresses.
func (c *chooser) readValidity() {
	c.invalid, c.validated = make(map[string]bool), make(map[string]string)
	read := func(remarks []AnswerRemark) {
		for _, r := range remarks {
			for _, l := range r.Lines {
				for _, m := range saidInvalid.FindAllStringSubmatch(l, 5) {
					c.invalid[strings.ToLower(strings.TrimRight(m[1], ".:"))] = true
				}
				for _, m := range saidValidated.FindAllStringSubmatch(l, 5) {
					c.validated[strings.ToLower(strings.TrimRight(m[1], ".:"))] = m[2]
				}
			}
		}
	}
	read(c.answer.Remarks)
	for _, e := range c.answer.Entities {
		read(e.Remarks)
	}
}

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
			switch {
			case len(why) > 0:
				c.reject(address, why)
				continue
			case a.forbidden:
				c.reject(address, reason.Of(reason.RemarkForbids, shortLine(a.line)))
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

// remarkAddress is an address for complaints in a remark.
type remarkAddress struct {
	address   string
	line      string
	forbidden bool // the remark says not to write there
}

// remarkAddresses finds the addresses for complaints in a remark. What an
// address is for says the text between the one before it and itself; if that
// says nothing, the address itself, the rest of the line, the address before
// it, or the lines above.
func remarkAddresses(r AnswerRemark) []remarkAddress {
	var out []remarkAddress
	above, lines := r.Title, 0
	for _, l := range r.Lines {
		plain := plainAddresses(l)
		places := addressInText.FindAllStringIndex(plain, 10)
		if saidInvalid.MatchString(plain) || saidValidated.MatchString(plain) {
			continue
		}
		if len(places) == 0 {
			if lines++; lines > maxContextLines {
				above, lines = "", 0
			}
			above += " " + l
			continue
		}
		before, end := complaintWords.MatchString(above), 0
		for i, at := range places {
			label, rest := plain[end:at[0]], ""
			if i == len(places)-1 {
				rest = plain[at[1]:]
			}
			address := strings.Trim(plain[at[0]:at[1]], ".'")
			forComplaints := false
			switch {
			case complaintWords.MatchString(label):
				forComplaints = true
			case otherWords.MatchString(label):
			default:
				forComplaints = complaintWords.MatchString(localPart(address)) || complaintWords.MatchString(rest) || before
			}
			if forComplaints {
				out = append(out, remarkAddress{address: address, line: l, forbidden: notThere.MatchString(label)})
			}
			before, end = forComplaints, at[1]
		}
		above, lines = "", 0
	}
	return out
}

// plainAddresses writes obfuscated addresses as they are meant.
func plainAddresses(line string) string {
	return obfuscated.ReplaceAllStringFunc(line, func(s string) string {
		m := obfuscated.FindStringSubmatch(s)
		return atInBrackets.ReplaceAllString(m[1], "") + "@" + dotInBrackets.ReplaceAllString(m[2], ".")
	})
}
