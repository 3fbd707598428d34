package notify

import (
	"bufio"
	"bytes"
	"io"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"golang.org/x/net/html"
)

// decodeTransfer undoes a content transfer encoding (RFC 2045, 6), as far as
// it goes.
func decodeTransfer(b []byte, encoding string) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return decodeBase64(b)
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
