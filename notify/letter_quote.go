package notify

import (
	"fmt"
	"strings"
	"time"

	"teiten/internal/casedb"
)

// The largest quotation of a mail in its answer.
const (
	maxQuoteLines = 200
	maxQuoteBytes = 10_000
)

// Quote returns the quotation of a mail for an answer in the language: its writer
// and time, in the zone that the country keeps, and its text behind ">"
// (RFC 3676, 4.5), without its signature (4.3).
func Quote(in casedb.Inbound, language, country string) string {
	zone, name := likelyZone(country)
	if zone == nil {
		zone, name = time.UTC, "UTC"
	}
	at := in.ReceivedAt.In(zone).Format("2006-01-02 15:04")
	sender := casedb.CleanLine(in.Sender, 254)
	var b strings.Builder
	if language == "ja" {
		fmt.Fprintf(&b, "%s (%s) %s 様:\n", at, name, sender)
	} else {
		fmt.Fprintf(&b, "On %s (%s), %s wrote:\n", at, name, sender)
	}
	text := strings.TrimSpace(in.Text)
	if i := strings.Index("\n"+text, "\n-- \n"); i >= 0 {
		text = strings.TrimRight(text[:i], "\n ")
	}
	begin, lines := b.Len(), 0
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, " \t")
		if lines++; lines > maxQuoteLines || b.Len()-begin+len(line) > maxQuoteBytes {
			if b.Len() == begin { // one endless line
				b.WriteString("> " + casedb.Clean(line, maxQuoteBytes) + "\n")
			}
			b.WriteString("> [...]\n")
			break
		}
		if line == "" || strings.HasPrefix(line, ">") {
			b.WriteString(">" + line + "\n")
		} else {
			b.WriteString("> " + line + "\n")
		}
	}
	return b.String()
}
