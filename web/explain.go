package web

import (
	"math"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/locale"
)

// words is a verdict as a person would say it.
type words struct {
	Short string // what the source is, and how many packets say so
	Long  string // why, in a paragraph
}

func verdictWords(p *locale.Printer, v *casedb.Verdict) words {
	return words{Short: shortVerdict(p, v), Long: explain.Verdict(v, p.Lang())}
}

// shortVerdict says what a verdict says in one line.
func shortVerdict(p *locale.Printer, v *casedb.Verdict) string {
	text := kindName(p, v.Kind, v.Malware, v.Tool)
	if v.Acknowledged != "" {
		text += " – " + p.T("verdict.acknowledged", v.Acknowledged)
	}
	if e := v.Evidence.V; e.Of > 0 {
		switch explain.HitsUnit(v.Rule) {
		case explain.UnitPorts:
			text += ": " + p.N("verdict.ports", int(min(e.Hits, math.MaxInt32)))
		case explain.UnitProtocols:
			text += ": " + p.N("verdict.protocols", int(min(e.Hits, math.MaxInt32)))
		default:
			text += ": " + p.T("verdict.hits", numberText(e.Hits), numberText(e.Of))
		}
	}
	if len(v.Ports) > 0 {
		text += " (" + strings.Join(v.Ports[:min(len(v.Ports), 5)], ", ") + ")"
	}
	return text
}
