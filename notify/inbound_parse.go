package notify

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"github.com/jhillyerd/enmime/v2"
	"github.com/jhillyerd/enmime/v2/mediatype"
	"golang.org/x/net/html"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/transform"

	"teiten/internal/casedb"
)

// What is read of a mail. What is beyond is not looked at; the mail itself is
// kept whole.
const (
	maxParts      = 200     // MIME parts
	maxDepth      = 20      // nested multiparts
	maxText       = 100_000 // bytes of text
	maxPartBytes  = 1 << 20 // bytes of one decoded part that is looked into
	maxValue      = 20_000  // bytes of one header field
	maxFieldShown = 500     // bytes of a header field on a page
)

// Mail is a mail taken apart, one that came or one of ours. Nothing in it is to
// be trusted.
type Mail struct {
	Parts []Part // but multiparts, in their order

	header      textproto.MIMEHeader
	from        string // address, may be empty
	fromName    string
	replyTo     string
	subject     string
	messageID   string
	inReplyTo   []string
	references  []string
	contentType string
	reportType  string

	text        string               // the text parts, or the text of the HTML
	status      []byte               // message/delivery-status
	hasStatus   bool                 // there is such a part, or the report type says so
	feedback    textproto.MIMEHeader // message/feedback-report
	hasFeedback bool
	receipt     bool                 // message/disposition-notification
	returned    textproto.MIMEHeader // headers of the mail that comes back
	hasReturned bool

	whole bool // the structure was read to its end
}

// Part is a part of a mail that has none in it.
type Part struct {
	Type    string // media type in lower case, "" where the mail names none
	Name    string // of the file, as the mail gives it
	File    bool   // the mail says that it is a file
	Content []byte // decoded

	attached bool // not to be read as a text of the mail
	charset  string
}

// Text returns the part's content as text.
func (p *Part) Text() string { return toUTF8(p.Content[:min(len(p.Content), maxPartBytes)], p.charset) }

// Readable reports whether the part is plain text that belongs to the mail's
// own words.
func (p *Part) Readable() bool { return !p.attached && (p.Type == "" || p.Type == "text/plain") }

// Field returns a field of the header, decoded and on one line.
func (p *Mail) Field(name string) string {
	return casedb.CleanLine(decodeHeader(p.header.Get(name)), maxFieldShown)
}

// Unreadable reports whether the mail has parts that were not read.
func (p *Mail) Unreadable() bool { return !p.whole }

// ParseMail takes a mail apart. It never fails: of what is broken it gives
// what can be read.
func ParseMail(raw []byte) *Mail {
	raw = stripMbox(raw)
	p := &Mail{header: textproto.MIMEHeader{}, whole: true}
	root := readParts(raw)
	if root == nil {
		p.header = readHeader(raw)
		p.envelope()
		kind := strings.ToLower(strings.TrimSpace(p.header.Get("Content-Type")))
		p.whole = !strings.HasPrefix(kind, "multipart/")
		p.plain(bodyOf(raw))
		p.text = casedb.Clean(p.text, maxText)
		return p
	}
	p.header = root.Header
	if len(p.header) == 0 {
		p.header = readHeader(raw)
	}
	p.contentType = strings.ToLower(root.ContentType)
	_, params, _ := mime.ParseMediaType(unfold(p.header.Get("Content-Type")))
	p.reportType = strings.ToLower(params["report-type"])
	p.envelope()
	var htmlText string
	p.walk(root, 0, new(int), &htmlText)
	if strings.TrimSpace(p.text) == "" {
		p.text = htmlText
	}
	if p.text == "" && !p.hasStatus && !p.hasReturned && !p.anyAttached() && strings.HasPrefix(p.contentType, "multipart/") {
		p.mend(raw)
	}
	p.text = casedb.Clean(strings.ReplaceAll(p.text, "\r\n", "\n"), maxText)
	switch p.reportType {
	case "delivery-status":
		p.hasStatus = true
	case "feedback-report":
		p.hasFeedback = true
	case "disposition-notification":
		p.receipt = true
	}
	return p
}

// realBoundary finds the boundary that a body uses, in front of a part's
// header.
var realBoundary = regexp.MustCompile(`(?m)^--([^\s"][^\r\n"]{0,100}?)[ \t]*\r?\n(?:Content-|\r?\n)`)

// mend reads a multipart mail whose header names another boundary than its
// body uses, or whose body has none.
func (p *Mail) mend(raw []byte) {
	body := bodyOf(raw)
	if m := realBoundary.FindSubmatch(body); m != nil {
		again := append([]byte("Content-Type: multipart/mixed; boundary=\""+string(m[1])+"\"\r\n\r\n"), body...)
		if root := readParts(again); root != nil {
			var htmlText string
			p.Parts = nil
			p.walk(root, 0, new(int), &htmlText)
			if p.text == "" {
				p.text = htmlText
			}
			return
		}
	}
	p.plain(body)
	if statusField.Match(body) {
		p.status, p.hasStatus = body, true
	}
}

// plain takes a body for text.
func (p *Mail) plain(body []byte) {
	part := Part{Type: "text/plain", Content: body}
	p.text, p.Parts = part.Text(), []Part{part}
}

func (p *Mail) anyAttached() bool {
	return slices.ContainsFunc(p.Parts, func(part Part) bool { return part.attached })
}

var statusField = regexp.MustCompile(`(?im)^(final-recipient|action|diagnostic-code):`)

// mboxLine is the separator line of the mbox format, which some relays leave in
// front of the header.
var mboxLine = regexp.MustCompile(`^>?From [^\n]{0,998}\n`)

func stripMbox(raw []byte) []byte {
	raw = bytes.TrimLeft(raw, "\r\n\x00\ufeff")
	if loc := mboxLine.FindIndex(raw[:min(len(raw), 1100)]); loc != nil {
		return raw[loc[1]:]
	}
	return raw
}

// readParts lets enmime read the structure, unless it is of a kind that only
// an attack has: its reader works through every boundary for every byte.
func readParts(raw []byte) (root *enmime.Part) {
	defer func() {
		if recover() != nil {
			root = nil // hostile input found a hole in the reader; the plain text remains
		}
	}()
	if nestings(raw) > maxDepth || bytes.Count(raw, []byte("\n--")) > 20*maxParts {
		return nil
	}
	parser := enmime.NewParser(enmime.RawContent(true), enmime.MultipartWOBoundaryAsSinglePart(true), enmime.SkipMalformedParts(true),
		enmime.MaxStoredPartErrors(1), enmime.StripMediaTypeInvalidCharacters(true),
		enmime.SetCustomParseMediaType(lenientMediaType))
	root, err := parser.ReadParts(bytes.NewReader(raw))
	if err != nil {
		return nil
	}
	return root
}

// lenientMediaType takes what cannot be read for text.
func lenientMediaType(ctype string) (string, map[string]string, []string, error) {
	kind, params, invalid, err := mediatype.Parse(ctype)
	if err != nil || kind == "" {
		kind, params = "text/plain", map[string]string{}
	}
	return kind, params, invalid, nil
}

var boundaryPattern = regexp.MustCompile(`(?i)boundary\*?[0-9*]*\s*=`)

func nestings(raw []byte) int { return len(boundaryPattern.FindAllIndex(raw, maxDepth+1)) }

// walk collects what the parts hold.
func (p *Mail) walk(part *enmime.Part, depth int, count *int, htmlText *string) {
	for ; part != nil; part = part.NextSibling {
		if *count++; *count > maxParts || depth > maxDepth {
			p.whole = false
			return
		}
		if part.FirstChild != nil {
			p.walk(part.FirstChild, depth+1, count, htmlText)
			continue
		}
		p.leaf(part, htmlText)
	}
}

func (p *Mail) leaf(part *enmime.Part, htmlText *string) {
	kind := strings.ToLower(part.ContentType)
	content := decodeTransfer(part.Content, part.Header.Get("Content-Transfer-Encoding"))
	peek := content[:min(len(content), maxPartBytes)]
	read := Part{Type: kind, Content: content, charset: part.Charset,
		attached: strings.EqualFold(part.Disposition, "attachment") || part.FileName != ""}
	read.Name, read.File = partName(part.Header)
	p.Parts = append(p.Parts, read)
	switch {
	case kind == "message/delivery-status" || kind == "message/global-delivery-status":
		p.status, p.hasStatus = append(append(p.status, peek...), "\n\n"...), true
	case kind == "message/feedback-report":
		p.feedback, p.hasFeedback = readHeader(peek), true
	case kind == "message/disposition-notification":
		p.receipt = true
	case kind == "message/rfc822" || kind == "message/global" || kind == "text/rfc822-headers" || kind == "message/global-headers" || kind == "text/rfc822":
		if !p.hasReturned {
			p.returned, p.hasReturned = readHeader(stripMbox(peek)), true
		}
	case kind == "text/html":
		if *htmlText == "" {
			*htmlText = textOfHTML(read.Text())
		}
	case (kind == "" || strings.HasPrefix(kind, "text/") || strings.HasPrefix(kind, "multipart/")) && !read.attached:
		if len(p.text) < maxText {
			if p.text != "" {
				p.text += "\n"
			}
			p.text += read.Text()
		}
	}
}

// envelope reads what the header says about sender and thread.
func (p *Mail) envelope() {
	p.subject = casedb.CleanLine(decodeHeader(p.header.Get("Subject")), 500)
	p.from, p.fromName = readAddress(p.header.Get("From"))
	p.replyTo, _ = readAddress(p.header.Get("Reply-To"))
	if p.replyTo == "" {
		p.replyTo = p.from
	}
	ids := messageIDs(p.header.Get("Message-Id"))
	if len(ids) > 0 {
		p.messageID = ids[0]
	}
	p.inReplyTo = messageIDs(strings.Join(p.header["In-Reply-To"], " "))
	p.references = messageIDs(strings.Join(p.header["References"], " "))
}

var idPattern = regexp.MustCompile(`<([^<>\s]{1,250}@[^<>\s]{1,250})>`)

func messageIDs(s string) []string {
	var ids []string
	for _, m := range idPattern.FindAllStringSubmatch(s[:min(len(s), maxValue)], 50) {
		if plainID(m[1]) {
			ids = append(ids, m[1])
		}
	}
	return ids
}

var addressPattern = regexp.MustCompile(`[A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?`)

// readAddress reads the first address of a header, however badly written.
func readAddress(s string) (address, name string) {
	s = unfold(s)
	if a, err := (&mail.AddressParser{WordDecoder: wordDecoder()}).Parse(s); err == nil {
		return strings.TrimSpace(a.Address), casedb.CleanLine(a.Name, 200)
	}
	return addressPattern.FindString(s), casedb.CleanLine(decodeHeader(s), 200)
}

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

// attached returns the first file of a type.
func (p *Mail) attached(kind string) (name string, content []byte) {
	for _, part := range p.Parts {
		if part.attached && part.Type == kind {
			return casedb.CleanLine(part.Name, 200), part.Content
		}
	}
	return "", nil
}
