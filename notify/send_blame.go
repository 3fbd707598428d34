package notify

import (
	"regexp"
	"strings"
	"time"

	"teiten/internal/casedb"
)

// maxSmarthostWait and maxDomainWait bound how long a failure makes others'
// mail wait.
const (
	maxSmarthostWait = 15 * time.Minute
	maxDomainWait    = 4 * time.Hour
)

// greylistWords are how servers say that they want to see this very mail again
// later (RFC 6647): another mail is no further for waiting.
var greylistWords = regexp.MustCompile(`(?i)(gr[ae]y|post)-?(list|grey)`)

// blame says whose a temporary failure is: the smarthost's, if it was not
// reached, hung up, or spoke of itself (421, RFC 5321, 3.8; x.3.x, RFC 3463,
// 3.4); the mail's or recipient's alone (x.1.x, x.2.x, x.6.x, greylisting); or
// else the domain's.
func blame(e *SendError) casedb.Blame {
	if e.Permanent {
		return casedb.BlameMessage
	}
	class := ""
	if parts := strings.Split(e.Enhanced, "."); len(parts) == 3 {
		class = parts[1]
	}
	switch {
	case e.Code == 0 || e.Code == 421 || class == "3":
		return casedb.BlameSmarthost
	case e.Command != "RCPT" && e.Command != "DATA":
		return casedb.BlameSmarthost
	case e.Enhanced == "4.1.2" || e.Enhanced == "4.1.8":
		return casedb.BlameDomain // the domain's own records
	case class == "1" || class == "2" || class == "6" || greylistWords.MatchString(e.Response):
		return casedb.BlameMessage
	}
	return casedb.BlameDomain
}

// backOff says how long others' mail waits for a failure: the smarthost, which
// is ours to repair, is tried again soon.
func (s *Sender) backOff(b casedb.Blame) casedb.BackOff {
	if b == casedb.BlameSmarthost {
		return casedb.BackOff{Blame: b, First: s.first() / 15, Most: maxSmarthostWait}
	}
	return casedb.BackOff{Blame: b, First: s.first(), Most: maxDomainWait}
}
