package finding

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// What is read of a mail, of our letters, and of the author's own words: the
// beginning says what matters.
const (
	maxText = 32 << 10
	maxOurs = 32 << 10
	maxOwn  = 4 << 10
)

// own leaves of a mail what its author wrote: no quoted lines, no mail below,
// no signature, and nothing that stands in our letters.
func own(text string, ours []string) string {
	lines := strings.Split(fold(text, maxText), "\n")
	var all strings.Builder
	whole := map[string]bool{}
	for _, letter := range ours {
		for line := range strings.Lines(fold(letter, maxOurs-min(maxOurs, all.Len()))) {
			s := squeeze(line)
			whole[s] = true
			all.WriteString(s)
		}
	}
	var kept []string
	for i, size := 0, 0; i < len(lines) && size < maxOwn; i++ {
		line := strings.TrimRight(lines[i], " \t")
		if quotedLine.MatchString(line) {
			continue
		}
		if strings.TrimSpace(line) == "--" {
			break
		}
		if n := quoteBegins(lines[i:]); n > 0 {
			// Below it stands another mail, unless its lines are marked: then what
			// is not marked is the author's again.
			for i += n; i < len(lines) && (strings.TrimSpace(lines[i]) == "" || otherHeader.MatchString(lines[i])); i++ {
			}
			if i == len(lines) || !quotedLine.MatchString(lines[i]) {
				break
			}
			continue
		}
		s := squeeze(line)
		if s != "" && (whole[s] || columns(s) >= 16 && strings.Contains(all.String(), s)) || scannedBy.MatchString(line) {
			continue
		}
		kept = append(kept, line)
		size += len(line) + 1
	}
	return cut(joinWrapped(kept), maxOwn)
}

// quotedLine is a line with a mark that quotes: ">" and its kin, alone or
// behind initials.
var quotedLine = regexp.MustCompile(`^\s*(\w{0,10}>|\||»|≫|》|&gt;|: )`)

// quoteBegins returns how many lines say that another mail stands below; 0 if
// they do not.
func quoteBegins(lines []string) int {
	first := strings.TrimSpace(lines[0])
	switch {
	case first == "" || len(first) > 400:
		return 0
	case separator.MatchString(first):
		return 1
	case headerFrom.MatchString(first) && (certainFrom.MatchString(first) || anyHeader(lines[1:])):
		return 1
	}
	// The line that says who wrote when may be broken.
	for n := 1; n <= min(3, len(lines)); n++ {
		if len(first) <= 400 && wroteLine.MatchString(first) {
			return n
		}
		if n < len(lines) {
			next := strings.TrimSpace(lines[n])
			if next == "" || !wroteStart.MatchString(first) {
				return 0
			}
			first += " " + next
		}
	}
	return 0
}

var (
	headerFrom  = regexp.MustCompile(`(?i)^\W{0,3}(from|von|de|da|van|fra|från|od|from user|差出人|送信者|发件人|寄件者|寄件人|보낸 사람|от)\s?\*{0,2}\s?:`)
	certainFrom = regexp.MustCompile(`(?i)^\W{0,3}(from\*{0,2}:\*{0,2} .*@|差出人|发件人|寄件者|寄件人|보낸 사람)`)
	wroteStart  = regexp.MustCompile(`(?i)^(on|am|le|el|il|op|den|em|at|\d{4}[年/.-]\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4})\b?`)
)

func anyHeader(lines []string) bool {
	for _, l := range lines[:min(4, len(lines))] {
		if otherHeader.MatchString(strings.TrimSpace(l)) {
			return true
		}
	}
	return false
}

// fold reads at most limit bytes of a text: it makes full-width letters narrow
// and half-width katakana wide, and drops invisible marks.
func fold(text string, limit int) string {
	return invisible.Replace(cut(norm.NFKC.String(width.Fold.String(cut(text, limit))), limit))
}

var invisible = strings.NewReplacer("\r", "", "\u200b", "", "\u200c", "", "\u200d", "", "\ufeff", "", "\u00ad", "", "’", "'")

// cut returns at most limit bytes of a text, of whole characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}

// squeeze leaves of a line what no mail program changes: letters and digits.
func squeeze(line string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, line)
}

// columns is the width of a text in a terminal.
func columns(s string) int {
	n := 0
	for _, r := range s {
		if n++; r >= 0x1100 {
			n++
		}
	}
	return n
}

// joinWrapped makes one line again of those that a mail program has broken: a
// long one without an end goes on in the next.
func joinWrapped(lines []string) string {
	var b strings.Builder
	for i, line := range lines {
		b.WriteString(line)
		next := ""
		if i+1 < len(lines) {
			next = strings.TrimSpace(lines[i+1])
		}
		switch {
		case next == "" || columns(line) < 50 || strings.HasSuffix(line, "。") || strings.HasSuffix(line, "."):
			b.WriteByte('\n')
		case line[len(line)-1] < 0x80 || next[0] < 0x80:
			b.WriteByte(' ')
		}
	}
	return b.String()
}
