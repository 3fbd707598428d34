package web

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/locale"
	"teiten/internal/observation"
)

// functions are what templates of one language can call.
func functions(p *locale.Printer, a *assets) template.FuncMap {
	return template.FuncMap{
		"t":          p.T,
		"n":          p.N,
		"asset":      a.url,
		"time":       func(t any) template.HTML { return timeHTML(p, t) },
		"count":      countText,
		"besides":    besidesText,
		"number":     numberText,
		"dict":       dict,
		"str":        text,
		"int":        func(n uint64) int { return int(min(n, math.MaxInt32)) },
		"port":       portName,
		"letterport": func(proto, port int) string { return portName(uint8(proto), uint16(port), observation.ClassNone) },
		"sign":       func(kind string) template.HTML { return signHTML(casedb.EventKind(kind)) },
		"round":      func(f float64) int64 { return int64(math.Round(f)) },
		"percent":    percent,
		"signed":     signed,
		"days":       func(d float64) int { return int(d) },
		"pct":        func(f float64) string { return strconv.Itoa(int(f*100+0.5)) + "%" },
		"path":       url.PathEscape,
		"bytes":      bytesText,
		"lines":      func(s string) int { return min(30, max(6, strings.Count(s, "\n")+2)) },
		"other":      func(key, value string) string { return otherText(p, key, value) },
		"actor":      func(actor string) string { return actorText(p, actor) },
		"ruletitle":  func(rule string) string { return ruleLabel(p, rule) },
		"listname":   func(list string) string { return explain.ListName(list, p.Lang()) },
		"eventcount": func(e casedb.CaseEvent) string { return eventCount(p, e) },
		"attention":  func(code string) string { return explain.Attention(code, p.Lang()) },
		"why":        p.Reasons,
		"entry":      entryField,
		"kindname":   func(kind casedb.Kind, malware, tool string) string { return kindName(p, kind, malware, tool) },
	}
}

// otherText is the catalogue's line for a value that need not have one: a
// reason or a name that other parts of the program may add to.
func otherText(p *locale.Printer, key, value string) string {
	if p.Has(key + "." + value) {
		return p.T(key + "." + value)
	}
	return value
}

// ruleTitle names a rule. The rule of escalation judges nothing, so package
// explain has no words for it.
func ruleTitle(p *locale.Printer, rule string) string {
	if rule == casedb.RuleEscalation {
		return p.T("settings.escalation")
	}
	return explain.RuleTitle(rule, p.Lang())
}

// ruleLabel is the title of a rule where it stands alone.
func ruleLabel(p *locale.Printer, rule string) string {
	return explain.Label(ruleTitle(p, rule))
}

// eventCount says the number of an event with what it counts; nothing where one
// goes without saying.
func eventCount(p *locale.Printer, e casedb.CaseEvent) string {
	n := e.Data.V.Count
	switch e.Kind {
	case casedb.EventDrawn, casedb.EventQuiet, casedb.OwnerPause.Event():
		if n > 0 {
			return p.N("effect.ndays", n)
		}
	case casedb.EventSourceJoined, casedb.EventReturned:
		if n > 1 {
			return p.N("timeline.sources", n)
		}
	default:
		if n > 1 { // the attempt at sending
			return p.N("letter.attempts", n)
		}
	}
	return ""
}

// actorText names who or what caused an event.
func actorText(p *locale.Printer, actor string) string {
	if rule, ok := strings.CutPrefix(actor, "rule "); ok {
		return p.T("actor.rule", ruleTitle(p, rule))
	}
	if actor == casedb.ActorOwner {
		return p.T("actor.owner")
	}
	if name, ok := strings.CutPrefix(actor, casedb.ActorCommandLine); ok {
		return p.T("actor.commandline") + name
	}
	return actor
}

// text writes a value; what a pointer points to.
func text(v any) string {
	if b, ok := v.(*bool); ok && b != nil {
		return strconv.FormatBool(*b)
	}
	return fmt.Sprint(v)
}

// portName writes the port of an observation as people do: 445/TCP.
func portName(proto uint8, port uint16, class observation.Class) string {
	switch proto {
	case 6:
		return fmt.Sprintf("%d/TCP", port)
	case 17:
		return fmt.Sprintf("%d/UDP", port)
	case 1, 58:
		name := "ICMP"
		if proto == 58 {
			name = "ICMPv6"
		}
		switch {
		case port == 0 && class != observation.ClassICMPOther:
			return name
		case class.ICMPError(): // stored before errors had the quoted packet's protocol
			return fmt.Sprintf("%d (%s)", port, name)
		}
		return fmt.Sprintf("%s %d/%d", name, port>>8, port&255)
	}
	return fmt.Sprintf("IP %d", proto)
}

// timeHTML shows a time in the language's zone, with UTC as its title; nothing
// for a time that is not set.
func timeHTML(p *locale.Printer, v any) template.HTML {
	var t time.Time
	switch v := v.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	}
	if t.IsZero() {
		return "–"
	}
	// Only digits and punctuation of our own formats are put in.
	return template.HTML(`<time datetime="` + p.UTC(t) + `" title="` + p.UTC(t) + `">` + p.Time(t) + `</time>`)
}

// kindName is a kind with the malware or tool that tells more.
func kindName(p *locale.Printer, kind casedb.Kind, malware, tool string) string {
	name := p.T("kind." + string(kind))
	for _, more := range []string{malware, tool} {
		if more != "" {
			if key := "name." + more; p.Has(key) {
				more = p.T(key)
			}
			return name + " (" + more + ")"
		}
	}
	return name
}

// countText writes a count that ends at casedb.CountLimit.
func countText(n int) string {
	if n > casedb.CountLimit {
		return strconv.Itoa(casedb.CountLimit) + "+"
	}
	return strconv.Itoa(n)
}

// besidesText writes how many there are besides the one that is shown, of n that
// countText would write. Above the limit n says only that there are more.
func besidesText(n int) string {
	if n > casedb.CountLimit {
		return countText(n)
	}
	return countText(n - 1)
}

// numberText writes a number with groups of three digits.
func numberText(v any) string {
	s := fmt.Sprint(v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// bytesText writes a size.
func bytesText(n int) string {
	if n < 1024 {
		return strconv.Itoa(n) + " B"
	}
	return strconv.FormatFloat(float64(n)/1024, 'f', 1, 64) + " KiB"
}

// dict makes the argument of a partial from keys and values.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: odd number of arguments")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: key %v is not a string", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}
