package web

import (
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// shortVerdict says what a verdict says in one sentence.
func shortVerdict(p *locale.Printer, v casedb.Verdict) string {
	text := kindName(p, v.Kind, v.Malware, v.Tool)
	if v.Acknowledged != "" {
		text += " – " + p.T("verdict.acknowledged", v.Acknowledged)
	}
	e := v.Evidence.V
	if e.Of > 0 {
		text += ": " + p.T("verdict.hits", numberText(e.Hits), numberText(e.Of))
	}
	if len(v.Ports) > 0 {
		text += " (" + strings.Join(v.Ports[:min(len(v.Ports), 5)], ", ") + ")"
	}
	return text
}
