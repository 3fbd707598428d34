package notify

import (
	"net/textproto"
	"strconv"
	"strings"
)

// maxParams is how many parameters of a header are read.
const maxParams = 100

// partName returns the name that a part of a mail gives to its file, decoded,
// and whether it says that it is one: by its disposition (RFC 2183) or by a
// name.
func partName(h textproto.MIMEHeader) (name string, isFile bool) {
	disposition := h.Get("Content-Disposition")
	name = headerParam(disposition, "filename")
	if name == "" {
		name = headerParam(h.Get("Content-Type"), "name")
	}
	kind, _, _ := strings.Cut(disposition, ";")
	return name, name != "" || strings.EqualFold(strings.TrimSpace(kind), "attachment")
}

// headerParam returns a parameter of a header in every way that mail programs
// write them: RFC 2231 with its charsets and continuations, encoded words
// (RFC 2047, which forbids it), raw bytes.
func headerParam(value, name string) string {
	plain, extended := "", ""
	pieces := map[int][]byte{}
	charset := ""
	for range maxParams {
		var key, v string
		if key, v, value = nextParam(value); key == "" && value == "" {
			break
		}
		rest, ok := strings.CutPrefix(key, name)
		switch {
		case !ok:
		case rest == "":
			plain = v
		case rest == "*":
			c, text := cutCharset(v)
			extended = toUTF8(percentDecode(text), c)
		case strings.HasPrefix(rest, "*"):
			number, encoded := strings.CutSuffix(rest[1:], "*")
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n >= maxParams {
				continue
			}
			if encoded && n == 0 {
				charset, v = cutCharset(v)
			}
			if pieces[n] = []byte(v); encoded {
				pieces[n] = percentDecode(v)
			}
		}
	}
	if extended != "" {
		return extended
	}
	var whole []byte
	for n := 0; pieces[n] != nil; n++ {
		whole = append(whole, pieces[n]...)
	}
	if len(whole) > 0 {
		return toUTF8(whole, charset)
	}
	return decodeHeader(plain)
}

// nextParam returns the key, in lower case, and the value of the first
// parameter of a header, which is "" for what has none, and the rest.
func nextParam(s string) (key, value, rest string) {
	end, quoted := len(s), false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == ';' && !quoted:
			end = i
		}
		if end == i {
			break
		}
	}
	rest = strings.TrimPrefix(s[end:], ";")
	key, value, _ = strings.Cut(s[:end], "=")
	value = strings.TrimSpace(value)
	if len(value) > 1 && value[0] == '"' {
		value = strings.ReplaceAll(strings.TrimSuffix(value[1:], `"`), `\"`, `"`)
	}
	return strings.ToLower(strings.TrimSpace(key)), value, rest
}

// cutCharset takes charset and language off an extended value (RFC 2231, 4).
func cutCharset(s string) (charset, text string) {
	charset, rest, ok := strings.Cut(s, "'")
	if !ok {
		return "", s
	}
	_, text, ok = strings.Cut(rest, "'")
	if !ok {
		return "", s
	}
	return charset, text
}

// percentDecode undoes the encoding of RFC 2231, 4; what is none stays.
func percentDecode(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}
