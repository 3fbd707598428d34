package notify

import (
	"encoding/json"
	"strings"

	"teiten/internal/casedb"
)

// A relay in the cloud tells of bounces and complaints in JSON, as a mail. The
// form is that of Amazon SES: "notificationType" in notifications, "eventType" in
// published events, either of them alone or as the "Message" of an Amazon SNS
// notification.

// maxNotice bounds the JSON that is read, and maxNoticeDepth its nesting.
const (
	maxNotice      = 256 << 10
	maxNoticeDepth = 30
)

// relayNotice is what is read of a notification.
type relayNotice struct {
	NotificationType string `json:"notificationType"`
	EventType        string `json:"eventType"`
	Bounce           struct {
		BounceType    string `json:"bounceType"`
		BounceSubType string `json:"bounceSubType"`
		Recipients    []struct {
			Address    string `json:"emailAddress"`
			Action     string `json:"action"`
			Status     string `json:"status"`
			Diagnostic string `json:"diagnosticCode"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Recipients []struct {
			Address string `json:"emailAddress"`
		} `json:"complainedRecipients"`
	} `json:"complaint"`
	Delay struct {
		Type       string `json:"delayType"`
		Recipients []struct {
			Address    string `json:"emailAddress"`
			Status     string `json:"status"`
			Diagnostic string `json:"diagnosticCode"`
		} `json:"delayedRecipients"`
	} `json:"deliveryDelay"`
	Reject struct {
		Reason string `json:"reason"`
	} `json:"reject"`
	Mail struct {
		Source        string   `json:"source"`
		Destination   []string `json:"destination"`
		CommonHeaders struct {
			MessageID string `json:"messageId"`
			Subject   string `json:"subject"`
		} `json:"commonHeaders"`
	} `json:"mail"`
}

// kind is the type of a notification, in lower case.
func (n *relayNotice) kind() string { return strings.ToLower(n.NotificationType + n.EventType) }

// findNotice reads a relay's notification out of a mail's text. It has to be the
// first thing that the text says: what a person quotes is none.
func findNotice(text string) *relayNotice {
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
	if !strings.HasPrefix(text, "{") {
		return nil
	}
	var outer struct {
		Type    string `json:"Type"`
		Message string `json:"Message"`
		relayNotice
	}
	if !decodeNotice(text, &outer) {
		return nil
	}
	n := &outer.relayNotice
	if outer.Type == "Notification" && outer.Message != "" {
		n = &relayNotice{}
		if !decodeNotice(outer.Message, n) {
			return nil
		}
	}
	switch n.kind() {
	case "bounce", "complaint", "deliverydelay", "delivery", "send", "reject", "rendering failure", "renderingfailure":
		return n
	}
	return nil
}

// decodeNotice reads the JSON object with which a text begins. A relay on the way
// may have broken its lines, also within strings, where JSON has none.
func decodeNotice(text string, into any) bool {
	text = text[:min(len(text), maxNotice)]
	depth, deepest := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	if deepest > maxNoticeDepth {
		return false
	}
	if json.NewDecoder(strings.NewReader(text)).Decode(into) == nil {
		return true
	}
	unbroken := strings.NewReplacer("\r\n ", "", "\n ", "", "\r", "", "\n", "").Replace(text)
	return json.NewDecoder(strings.NewReader(unbroken)).Decode(into) == nil
}

// classifyNotice says what a relay's notification is.
func classifyNotice(c classification, n *relayNotice) classification {
	if len(n.Mail.Destination) > 0 {
		c.recipient = addressPattern.FindString(n.Mail.Destination[0])
	}
	ours := c.recipient
	switch n.kind() {
	case "complaint":
		c.class = casedb.InboundFeedback
		if r := n.Complaint.Recipients; len(r) > 0 {
			c.recipient = addressPattern.FindString(r[0].Address)
		}
	case "deliverydelay":
		c.class = casedb.InboundDelay
		if r := n.Delay.Recipients; len(r) > 0 {
			c.recipient = addressPattern.FindString(r[0].Address)
			c.take(judgeWords(r[0].Status, r[0].Diagnostic))
		}
		c.hard, c.dead = false, false
	case "delivery", "send":
		c.class = casedb.InboundAutoReply
	case "bounce":
		c.class = casedb.InboundBounce
		c.takeNotice(n, ours)
	default: // the relay did not send it
		c.class = casedb.InboundBounce
		c.take(judgement{status: "5.7.1", reason: "policy"})
	}
	return c
}

// takeNotice judges a bounce. The relay's types are its own summary; what the
// other server said counts more. Addresses that the relay itself suppresses may
// live: that is its memory, not an answer.
func (c *classification) takeNotice(n *relayNotice, ours string) {
	status, diagnostic := "", ""
	if r := n.Bounce.Recipients; len(r) > 0 {
		c.recipient = addressPattern.FindString(r[0].Address)
		status, diagnostic = statusPattern.FindString(r[0].Status), r[0].Diagnostic
	}
	v := judgeWords(status, diagnostic)
	switch strings.ToLower(n.Bounce.BounceSubType) {
	case "mailboxfull":
		v = judgement{status: "5.2.2", reason: "full"}
	case "messagetoolarge":
		v = judgement{status: "5.3.4", reason: "full"}
	case "contentrejected", "attachmentrejected", "suppressed", "onaccountsuppressionlist":
		v.dead, v.reason = false, "policy"
		if isVague(status) {
			v.status = "5.7.1"
		}
	case "noemail":
		if v.vague {
			v = judgement{status: "5.1.1", reason: "unknown", dead: true}
		}
	default:
		if v.vague && strings.EqualFold(n.Bounce.BounceType, "Transient") {
			v.status = "4.0.0"
		}
	}
	if !strings.EqualFold(n.Bounce.BounceType, "Permanent") {
		v.dead = false
	}
	c.take(v)
	if c.hard && ours != "" && !sameMailbox(c.recipient, ours) {
		c.hard, c.dead = false, false
	}
}
