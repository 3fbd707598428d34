package notify

import (
	"bytes"
	"slices"
	"strings"
)

// maxAuthHeader bounds how much of a mail is searched for what our own mail server
// wrote: it writes at the top.
const maxAuthHeader = 64 << 10

// authMethods are the methods whose results are shown, in that order, and
// authResults the results (RFC 8601, 2.7.1, 2.7.2; RFC 7489, 11.2).
var (
	authMethods = []string{"spf", "dkim", "dmarc"}
	authResults = []string{"pass", "fail", "softfail", "neutral", "policy", "none", "temperror", "permerror"}
)

// authVerdicts returns what the mail server with a name (authserv-id) found out about
// the sender of a mail that it handed over: "spf=pass dkim=fail". Fields with other
// names are a stranger's words (RFC 8601, 5). The topmost result of a method counts;
// of several signatures one that passes is enough (RFC 6376, 6.1).
func authVerdicts(raw []byte, authserv string) string {
	if authserv == "" {
		return ""
	}
	found := map[string]string{}
	for value := range headerValues(raw[:min(len(raw), maxAuthHeader)], "authentication-results") {
		name, results, _ := strings.Cut(withoutComments(value), ";")
		words := strings.Fields(name) // the name, and a version that is 1
		if len(words) == 0 || !strings.EqualFold(strings.Trim(words[0], `"`), authserv) || len(words) > 1 && words[1] != "1" {
			continue
		}
		for result := range strings.SplitSeq(results, ";") {
			words := strings.Fields(result)
			if len(words) == 0 {
				continue
			}
			method, verdict, _ := strings.Cut(strings.ToLower(words[0]), "=")
			method, _, _ = strings.Cut(method, "/")
			known := slices.Contains(authMethods, method) && slices.Contains(authResults, verdict)
			if known && (found[method] == "" || method == "dkim" && verdict == "pass") {
				found[method] = verdict
			}
		}
	}
	var all []string
	for _, method := range authMethods {
		if verdict := found[method]; verdict != "" {
			all = append(all, method+"="+verdict)
		}
	}
	return strings.Join(all, " ")
}

// headerValues yields the unfolded values of the fields with a name in lower case,
// in the order of the header. A field that is cut off at the end is left out.
func headerValues(raw []byte, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		value, in := "", false
		for len(raw) > 0 {
			line, rest, whole := bytes.Cut(raw, []byte("\n"))
			if !whole {
				return
			}
			raw = rest
			text := strings.TrimRight(string(line), "\r")
			if text != "" && (text[0] == ' ' || text[0] == '\t') { // of the field before
				if in {
					value += text
				}
				continue
			}
			if in && !yield(value) {
				return
			}
			if in = false; text == "" {
				return
			}
			field, after, colon := strings.Cut(text, ":")
			if colon && strings.EqualFold(strings.TrimSpace(field), name) {
				value, in = after, true
			}
		}
	}
}

// withoutComments takes the comments (RFC 5322, 3.2.2) out of a value: a semicolon in
// them begins no result. What is quoted is no comment.
func withoutComments(s string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
			b.WriteByte(c)
		case quoted && c == ';': // of a reason, never of a result
		case quoted:
			b.WriteByte(c)
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
			b.WriteByte(' ')
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}
