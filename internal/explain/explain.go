// Package explain says in words what a verdict says in fields: one paragraph
// per rule, one sentence per note, in Japanese and English, for the desk, for
// mails and for the command line. It reads verdicts and writes text. The texts
// are whole sentences per language, never put together from pieces; package
// attribution tests that every rule and note has both.
package explain

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"teiten/internal/casedb"
)

// text is a sentence or paragraph in both languages. The words in braces stand
// for what a verdict says.
type text struct{ en, ja string }

func (t text) in(lang string) string {
	if lang == "ja" {
		return t.ja
	}
	return t.en
}

// ruleText is what is said of a rule.
type ruleText struct {
	title text // a few words
	body  text // a paragraph
}

// HasRule reports whether there is a text for the rule.
func HasRule(rule string) bool {
	_, ok := ruleTexts[rule]
	return ok
}

// HasNote reports whether there is a text for the note's code.
func HasNote(code string) bool {
	_, ok := noteTexts[code]
	return ok
}

// Unit is the thing that a rule counts in the hits of its evidence.
type Unit string

// The units.
const (
	UnitPackets   Unit = "packets"
	UnitPorts     Unit = "ports"     // within one day
	UnitProtocols Unit = "protocols" // of IP
)

// HitsUnit returns what a rule counts. Most rules count packets.
func HitsUnit(rule string) Unit {
	switch rule {
	case "tsubame":
		return UnitPorts
	case "protocols":
		return UnitProtocols
	}
	return UnitPackets
}

// RuleTitle names a rule in a few words. lang is "ja"; anything else is
// English. An unknown rule is named by its code.
func RuleTitle(rule, lang string) string {
	if t, ok := ruleTexts[rule]; ok {
		return t.title.in(lang)
	}
	return casedb.CleanLine(rule, 100)
}

// Label is a title that stands alone: with a capital letter, except a name that
// is written without one, such as hping3.
func Label(title string) string {
	first, _, _ := strings.Cut(title, " ")
	if strings.ContainsAny(first, "0123456789") {
		return title
	}
	_, size := utf8.DecodeRuneInString(title)
	return strings.ToUpper(title[:size]) + title[size:]
}

// ListName names a list of acknowledged scanners: the program's own in words,
// an imported one as it was imported.
func ListName(list, lang string) string {
	if t, ok := listTexts[list]; ok {
		return t.in(lang)
	}
	return casedb.CleanLine(list, 200)
}

// Note explains a note's code in one sentence. An unknown one is its own
// explanation.
func Note(code, lang string) string {
	if t, ok := noteTexts[code]; ok {
		return t.in(lang)
	}
	return casedb.CleanLine(code, 100)
}

// Notes explains the notes of a verdict's evidence.
func Notes(v *casedb.Verdict, lang string) []string {
	list := make([]string, 0, len(v.Evidence.V.Notes)+1)
	for _, code := range v.Evidence.V.Notes {
		if t, ok := noteTexts[code]; ok {
			list = append(list, fill(t.in(lang), v, lang))
		} else {
			list = append(list, Note(code, lang))
		}
	}
	return list
}

// Verdict explains why a source was judged as it was: what the rule looks for
// and what was found, in one paragraph, and then what a coordinator must know
// besides: the contradiction that needs attention, the other rules' findings
// and the notes. lang is "ja"; anything else is English.
func Verdict(v *casedb.Verdict, lang string) string {
	t, ok := ruleTexts[v.Rule]
	if !ok {
		t = ruleTexts[ruleUnknown]
	}
	parts := []string{fill(t.body.in(lang), v, lang)}
	if v.Attention != "" {
		parts = append(parts, Attention(v.Attention, lang))
	}
	if u := v.Evidence.V.Undeclared; u != nil {
		parts = append(parts, undeclared(u, lang))
	}
	if len(v.Evidence.V.Also) > 0 {
		parts = append(parts, fill(alsoText.in(lang), v, lang))
	}
	parts = append(parts, Notes(v, lang)...)
	if len(v.Evidence.V.Payloads) > 0 {
		parts = append(parts, fill(payloadText.in(lang), v, lang))
	}
	if lang == "ja" {
		return strings.Join(parts, "")
	}
	return strings.Join(parts, " ")
}

// undeclared says which ports that were not declared an acknowledged scanner
// probed.
func undeclared(u *casedb.Undeclared, lang string) string {
	comma := ", "
	if lang == "ja" {
		comma = "、"
	}
	list := strings.Join(u.Ports, comma)
	if u.More > 0 {
		list += strings.ReplaceAll(undeclaredMore.in(lang), "{more}", number(uint64(u.More)))
	}
	return strings.NewReplacer("{packets}", number(u.Packets), "{of}", number(u.Of), "{ports}", casedb.CleanLine(list, 600),
		"{declared}", casedb.CleanLine(u.Declared, 300)).Replace(undeclaredText.in(lang))
}

// Attention explains the contradiction that a coordinator must look at.
func Attention(attention, lang string) string {
	kind, rule, _ := strings.Cut(attention, ":")
	t, ok := attentionTexts[kind]
	if !ok {
		return casedb.CleanLine(attention, 100)
	}
	return strings.ReplaceAll(t.in(lang), "{rule}", RuleTitle(rule, lang))
}

// Confidence says a confidence in a word: certain, likely, possible, unclear.
func Confidence(c float64, lang string) string {
	switch {
	case c >= 0.9:
		return confidenceTexts[0].in(lang)
	case c >= 0.7:
		return confidenceTexts[1].in(lang)
	case c >= 0.4:
		return confidenceTexts[2].in(lang)
	}
	return confidenceTexts[3].in(lang)
}

// fill puts what the verdict says into a text.
func fill(s string, v *casedb.Verdict, lang string) string {
	e := &v.Evidence.V
	comma := ", "
	if lang == "ja" {
		comma = "、"
	}
	also := make([]string, len(e.Also))
	for i, r := range e.Also {
		also[i] = RuleTitle(r, lang)
	}
	fixed := casedb.Fixed{}
	if e.Fixed != nil {
		fixed = *e.Fixed
	}
	return strings.NewReplacer(
		"{source}", v.Source.String(),
		"{packets}", number(e.Packets),
		"{hits}", number(e.Hits),
		"{of}", number(e.Of),
		"{sequence}", number(fixed.Sequence),
		"{sequence_of}", number(fixed.SequenceOf),
		"{window}", number(fixed.Window),
		"{window_of}", number(fixed.WindowOf),
		"{chance}", chance(e.Chance, lang),
		"{destinations}", number(uint64(e.Destinations)),
		"{sensors}", strconv.Itoa(e.Sensors),
		"{days}", strconv.Itoa(e.Days),
		"{ports}", ports(v.Ports, comma, lang),
		"{organisation}", casedb.CleanLine(v.Acknowledged, 200),
		"{list}", ListName(e.List, lang),
		"{definition}", e.Definition,
		"{also}", strings.Join(also, comma),
		"{payloads}", casedb.CleanLine(strings.Join(e.Payloads, comma), 300),
	).Replace(s)
}

// shownPorts is the number of ports that a text names.
const shownPorts = 5

func ports(list []string, comma, lang string) string {
	switch {
	case len(list) == 0 && lang == "ja":
		return "ポートなし"
	case len(list) == 0:
		return "no port"
	case len(list) <= shownPorts:
		return strings.Join(list, comma)
	case lang == "ja":
		return strings.Join(list[:shownPorts], comma) + " ほか"
	}
	return strings.Join(list[:shownPorts], comma) + " and others"
}

// number writes a number with commas.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// chance writes a probability: as a percentage, as one in so many, or as a
// power of ten.
func chance(p float64, lang string) string {
	switch {
	case p <= 0:
		return text{"practically zero", "事実上ゼロ"}.in(lang)
	case p >= 0.01:
		return strconv.FormatFloat(math.Round(p*100), 'f', 0, 64) + " %"
	case p >= 1e-9:
		n := number(uint64(math.Round(1 / p)))
		return text{"1 in " + n, n + " 分の 1"}.in(lang)
	}
	exp := int(math.Round(-math.Log10(p)))
	return text{fmt.Sprintf("1 in 10^%d", exp), fmt.Sprintf("10 の %d 乗分の 1", exp)}.in(lang)
}
