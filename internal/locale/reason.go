package locale

import (
	"slices"
	"strings"

	"teiten/internal/reason"
)

// Reasons says coded reasons. Sentences stand by themselves; what begins with a
// semicolon goes on with the sentence before it; phrases are listed.
func (p *Printer) Reasons(list reason.List) string {
	var said string
	for _, r := range list {
		next := p.reason(r)
		switch {
		case said == "" || next == "":
			said += next
		case strings.HasPrefix(next, ";"):
			said = strings.TrimSuffix(said, ".") + next
		case ends(said, "。", "！", "？"):
			said += next
		case ends(said, ".", "!", "?"):
			said += " " + next
		case ends(next, "。"):
			said += "。" + next
		case ends(next, "."):
			said += ". " + next
		case p.lang == Japanese:
			said += "、" + next
		default:
			said += "; " + next
		}
	}
	return said
}

// ends reports whether the text ends with one of the marks.
func ends(text string, marks ...string) bool {
	return slices.ContainsFunc(marks, func(m string) bool { return strings.HasSuffix(text, m) })
}

// reason says one reason. One that this version does not know is shown by its
// code.
func (p *Printer) reason(r reason.Reason) string {
	shape := reason.Shape(r.Code)
	key := "why." + string(r.Code)
	if !p.Has(key) || len(r.Args) < len(shape) {
		return reason.List{r}.String()
	}
	args := make([]any, len(shape))
	for i, kind := range shape {
		values := r.Args[i : i+1]
		if i == len(shape)-1 {
			values = r.Args[i:]
		}
		said := make([]string, len(values))
		for j, v := range values {
			said[j] = p.argument(kind, v)
		}
		args[i] = strings.Join(said, p.comma())
	}
	return p.T(key, args...)
}

func (p *Printer) comma() string {
	if p.lang == Japanese {
		return "、"
	}
	return ", "
}

// argument says an argument: in the catalogue's words, where it is one of ours.
func (p *Printer) argument(kind reason.Kind, value string) string {
	key := "why." + string(kind) + "." + value
	switch kind {
	case reason.Entity:
		if value == "" {
			return p.T("why.entity.none")
		}
	case reason.Roles, reason.Scope, reason.Defect:
		if p.Has(key) {
			return p.T(key)
		}
	case reason.Text, reason.Texts:
	}
	return value
}
