package notify

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/net/html"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/transform"
)

func wordDecoder() *mime.WordDecoder {
	return &mime.WordDecoder{CharsetReader: charset.Reader}
}

func decodeHeader(s string) string {
	s = unfold(s)
	if decoded, err := wordDecoder().DecodeHeader(s); err == nil {
		s = decoded
	}
	return toUTF8([]byte(s), "")
}

// unfold makes one line of a header field, of one without end its beginning.
func unfold(s string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(s[:min(len(s), maxValue)])
}

// decodeTransfer undoes a content transfer encoding (RFC 2045, 6), as far as
// it goes.
func decodeTransfer(b []byte, encoding string) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		clean := bytes.Map(func(r rune) rune {
			if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/') {
				return r
			}
			return -1
		}, b)
		r = base64.NewDecoder(base64.RawStdEncoding, bytes.NewReader(clean))
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(b))
	default:
		return b
	}
	out, err := io.ReadAll(r)
	if err != nil && len(out) == 0 {
		return b
	}
	return out
}

// toUTF8 turns text into UTF-8: from the charset that the mail names, or, where
// it names none or a wrong one, from the one that Japanese mail without a name
// is in.
func toUTF8(b []byte, name string) string {
	name = strings.ToLower(strings.Trim(name, " \"';"))
	escapes := bytes.Contains(b, []byte("\x1b$")) || bytes.Contains(b, []byte("\x1b("))
	switch {
	case escapes && !strings.HasPrefix(name, "iso-2022"):
		name = "iso-2022-jp"
	case name == "" || name == "us-ascii" || name == "ascii" || name == "unknown-8bit":
		if utf8.Valid(b) {
			return string(b)
		}
		return guessJapanese(b)
	case name == "utf-8" || name == "utf8":
		if !utf8.Valid(b) {
			return guessJapanese(b)
		}
		return string(b)
	}
	if strings.HasPrefix(name, "iso-2022-jp") {
		name = "iso-2022-jp"
	}
	r, err := charset.Reader(name, bytes.NewReader(b))
	if err != nil {
		return guessJapanese(b)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return guessJapanese(b)
	}
	return string(out)
}

// guessJapanese decodes bytes without a known charset: UTF-8, EUC-JP or
// Shift_JIS, whichever leaves the fewest holes.
func guessJapanese(b []byte) string {
	best := strings.ToValidUTF8(string(b), "\ufffd")
	holes := strings.Count(best, "\ufffd")
	for _, e := range []transform.Transformer{japanese.EUCJP.NewDecoder(), japanese.ShiftJIS.NewDecoder()} {
		out, _, err := transform.Bytes(e, b)
		if err != nil {
			continue
		}
		s := string(out)
		n := strings.Count(s, "\ufffd")
		for _, r := range s {
			if r >= 0xff61 && r <= 0xff9f { // half-width kana: mostly another charset taken for Shift_JIS
				n++
			}
		}
		if n < holes {
			best, holes = s, n
		}
	}
	return best
}

// readHeader reads header lines, skipping what is none (RFC 5322, 2.2).
func readHeader(raw []byte) textproto.MIMEHeader {
	h := textproto.MIMEHeader{}
	scanner := bufio.NewScanner(bytes.NewReader(raw[:min(len(raw), maxPartBytes)]))
	scanner.Buffer(make([]byte, 0, 4096), maxPartBytes+1)
	last := ""
	for n := 0; scanner.Scan() && n < 2000; n++ {
		line := strings.TrimRight(scanner.Text(), "\r")
		if line == "" {
			if len(h) == 0 {
				continue
			}
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if v := h[last]; len(v) > 0 && len(v[len(v)-1]) < maxValue {
				v[len(v)-1] += " " + strings.TrimSpace(line)
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(name, " \t") {
			continue
		}
		last = textproto.CanonicalMIMEHeaderKey(name)
		h[last] = append(h[last], strings.TrimSpace(value))
	}
	return h
}

func bodyOf(raw []byte) []byte {
	for _, sep := range []string{"\r\n\r\n", "\n\n"} {
		if _, body, ok := bytes.Cut(raw, []byte(sep)); ok {
			return body[:min(len(body), maxPartBytes)]
		}
	}
	return nil
}

// textOfHTML returns the words of an HTML page, those that it quotes behind
// ">" as in plain text. The page itself is never shown to anybody.
func textOfHTML(s string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(s))
	skip, quoted := 0, 0
	write := func(s string) {
		if quoted > 0 {
			s = strings.ReplaceAll(s, "\n", "\n> ")
		}
		b.WriteString(s)
	}
	for b.Len() < maxText {
		switch z.Next() {
		case html.ErrorToken:
			return tidyLines(b.String())
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "style", "script", "head", "title":
				skip++
			case "blockquote":
				quoted++
				write("\n")
			case "br", "p", "div", "tr", "li", "table", "h1", "h2", "h3", "pre":
				write("\n")
			case "td", "th":
				write(" ")
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "style", "script", "head", "title":
				skip = max(0, skip-1)
			case "blockquote":
				quoted = max(0, quoted-1)
				write("\n")
			case "p", "div", "tr", "table", "h1", "h2", "h3":
				write("\n")
			}
		case html.TextToken:
			if skip == 0 {
				write(string(z.Text()))
			}
		}
	}
	return tidyLines(b.String())
}

// tidyLines joins runs of blanks and of empty lines.
func tidyLines(s string) string {
	var out []string
	empty := true
	for line := range strings.SplitSeq(html.UnescapeString(s), "\n") {
		line = strings.Join(strings.Fields(line), " ")
		blank := line == "" || line == ">"
		if blank && empty {
			continue
		}
		empty = blank
		out = append(out, line)
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
