// Package finding reads what owners say they found, by plain rules in Japanese
// and English. It only proposes: a coordinator reads the mail and decides.
package finding

import (
	"regexp"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// Suggestion is a finding as the words of a mail suggest it.
type Suggestion struct {
	casedb.Finding
	Words []string // what led to it, as it stands in the mail, in order of the fields
}

// Suggest proposes a finding for a mail's text, by what its author says alone:
// quoted lines, the mails below, and what stands in our own letters, quoted or
// not, name malware and advice themselves.
func Suggest(text string, ours ...string) Suggestion {
	text = own(text, ours)
	s := Suggestion{Finding: casedb.Finding{Result: "unknown"}}
	note := func(words string) {
		if words = strings.Join(strings.Fields(words), " "); words != "" && !slices.Contains(s.Words, words) {
			s.Words = append(s.Words, words)
		}
	}
	result, named, clean := first(results, text), first(malware, text), foundNothing(text)
	if result == nil && clean != "" && (named == nil || actions[0].find(text) == nil) {
		// What was looked for has a name, too; what was removed was there.
		s.Result = "nothing"
		note(clean)
	} else {
		if named != nil {
			s.Malware = named.value
			note(named.words)
		}
		if result != nil {
			s.Result = result.value
			note(result.words)
		} else if s.Malware != "" {
			s.Result = "infected"
		}
	}
	if p := product(text); p != nil {
		s.Device, s.Product, s.Version, s.Support = p.device, p.product, p.version, p.support
		note(p.words)
	} else if m := first(devices, text); m != nil {
		s.Device = m.value
		note(m.words)
	}
	if m := ended.FindString(text); m != "" {
		s.Support = "ended"
		note(m)
	}
	if m := first(entries, text); m != nil {
		s.Entry = m.value
		note(m.words)
	}
	for _, r := range actions {
		if m := r.find(text); m != nil {
			s.Actions = append(s.Actions, r.value)
			note(m.words)
		}
	}
	slices.Sort(s.Actions)
	return s
}

// rule is one value of a field and the words for it.
type rule struct {
	value string
	words *regexp.Regexp
}

type match struct{ value, words string }

func (r rule) find(text string) *match {
	for _, at := range r.words.FindAllStringIndex(text, 8) {
		if !denied(text, at) && (r.value != "infected" || !innerNo.MatchString(text[at[0]:at[1]])) {
			return &match{r.value, text[at[0]:at[1]]}
		}
	}
	return nil
}

func first(rules []rule, text string) *match {
	for _, r := range rules {
		if m := r.find(text); m != nil {
			return m
		}
	}
	return nil
}

var (
	newClause = regexp.MustCompile(`(?i)[;、]|\b(but|however|although|therefore)\b|, (we|i|it|the|our|and|so)\b`)
	innerNo   = regexp.MustCompile(`(?i)\b(no|not|never|nothing|none|without|zero)\b`)
)

// denied reports whether the words at a place are denied.
func denied(text string, at []int) bool {
	before := text[max(0, at[0]-60):at[0]]
	if i := strings.LastIndexAny(before, "\n.。!?！？"); i >= 0 {
		before = before[i+1:]
	}
	if all := newClause.FindAllStringIndex(before, -1); len(all) > 0 {
		before = before[all[len(all)-1][1]:]
	}
	return deniedBefore.MatchString(before) || deniedAfter.MatchString(text[at[1]:min(len(text), at[1]+90)])
}

// What speaks of a search that found nothing, and is none.
var (
	notNothing = regexp.MustCompile(`(?i)anti[- ]?virus|(virus|malware)[- ](scan|protect|soft)|(ウイルス|ウィルス|マルウェア)(対策|ソフト|スキャ|定義)`)
	condition  = regexp.MustCompile(`^(場合|とき|時|か|ようで|のであれば)`)
)

// foundNothing returns the words that say so.
func foundNothing(text string) string {
	for _, at := range nothing.FindAllStringIndex(text, 8) {
		if words := text[at[0]:at[1]]; !notNothing.MatchString(words) && !condition.MatchString(text[at[1]:]) {
			return words
		}
	}
	return ""
}

type found struct{ device, product, version, support, words string }

// windows finds a Windows with its version.
var windows = regexp.MustCompile(`(?i)\bwindows ?(server)? ?(xp|vista|7|8\.1|8|10|11|2000|2003 ?r2|2003|2008 ?r2|2008|2012 ?r2|2012|2016|2019|2022|2025)\b`)

// endOfSupport are the versions of Windows whose support has ended, extended
// support included (https://learn.microsoft.com/lifecycle/products/, as of
// 2026; Windows 10 ended on 2025-10-14, Server 2012 and 2012 R2 on 2023-10-10).
var endOfSupport = []string{"XP", "Vista", "7", "8", "8.1", "10", "2000", "2003", "2003 R2", "2008", "2008 R2", "2012", "2012 R2"}

// products are other products that name themselves, with what they are.
var products = []struct {
	device string
	rule
}{
	{"nas", rule{"QNAP", regexp.MustCompile(`(?i)\bqnap\b`)}},
	{"nas", rule{"Synology", regexp.MustCompile(`(?i)synology`)}},
	{"nas", rule{"Buffalo LinkStation/TeraStation", regexp.MustCompile(`(?i)linkstation|terastation`)}},
	{"router", rule{"MikroTik", regexp.MustCompile(`(?i)mikrotik|routeros`)}},
	{"router", rule{"ASUS", regexp.MustCompile(`(?i)\basus\b`)}},
	{"router", rule{"TP-Link", regexp.MustCompile(`(?i)tp-?link`)}},
	{"router", rule{"Zyxel", regexp.MustCompile(`(?i)zyxel`)}},
	{"router", rule{"Yamaha", regexp.MustCompile(`(?i)yamaha|ヤマハ`)}},
	{"router", rule{"Fortinet", regexp.MustCompile(`(?i)forti(gate|net|os)`)}},
	{"camera", rule{"Hikvision", regexp.MustCompile(`(?i)hikvision`)}},
	{"camera", rule{"Dahua", regexp.MustCompile(`(?i)dahua`)}},
	{"linux", rule{"Ubuntu", regexp.MustCompile(`(?i)\bubuntu\b`)}},
	{"linux", rule{"CentOS", regexp.MustCompile(`(?i)\bcentos\b`)}},
	{"linux", rule{"Debian", regexp.MustCompile(`(?i)\bdebian\b`)}},
}

func product(text string) *found {
	for _, at := range windows.FindAllStringSubmatchIndex(text, 8) {
		if denied(text, at[:2]) {
			continue
		}
		version := strings.Join(strings.Fields(strings.Replace(strings.ToUpper(text[at[4]:at[5]]), "R2", " R2", 1)), " ")
		if version == "VISTA" {
			version = "Vista"
		}
		f := &found{device: "windows", product: "Windows", version: version, words: text[at[0]:at[1]]}
		if at[2] >= 0 || len(version) >= 4 && version[:2] == "20" && version != "2000" {
			f.device, f.product = "windows-server", "Windows Server"
		}
		if slices.Contains(endOfSupport, version) {
			f.support = "ended"
		}
		return f
	}
	for _, p := range products {
		if m := p.find(text); m != nil {
			return &found{device: p.device, product: m.value, words: m.words}
		}
	}
	return nil
}
