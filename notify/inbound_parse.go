package notify

import (
	"bytes"
	"mime"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/jhillyerd/enmime/v2"
	"github.com/jhillyerd/enmime/v2/mediatype"

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
	notice      *relayNotice         // what a relay in the cloud tells in JSON
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
	raw = readable(raw)
	p := &Mail{header: textproto.MIMEHeader{}, whole: true}
	root := readParts(raw)
	if root == nil {
		p.header = readHeader(raw)
		p.envelope()
		kind := strings.ToLower(strings.TrimSpace(p.header.Get("Content-Type")))
		p.whole = !strings.HasPrefix(kind, "multipart/")
		p.plain(bodyOf(raw))
		p.text = casedb.Clean(p.text, maxText)
		p.notice = findNotice(p.text)
		return p
	}
	p.header = root.Header
	if len(p.header) == 0 {
		p.header = readHeader(raw)
	}
	p.contentType = strings.ToLower(root.ContentType)
	_, params := mediaType(unfold(p.header.Get("Content-Type")))
	p.reportType = strings.ToLower(params["report-type"])
	p.envelope()
	var htmlText string
	p.walk(root, 0, new(int), &htmlText)
	p.soleText(&htmlText)
	if strings.TrimSpace(p.text) == "" {
		p.text = htmlText
	}
	if p.text == "" && !p.hasStatus && !p.hasReturned && !p.anyAttached() && strings.HasPrefix(p.contentType, "multipart/") {
		p.mend(raw)
	}
	p.text = casedb.Clean(strings.ReplaceAll(p.text, "\r\n", "\n"), maxText)
	p.notice = findNotice(p.text)
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

// soleText takes the only text that a mail has for its text, though it has a file
// name: some programs give their body one. A text beside an unnamed one, or
// beside other named ones, is a file.
func (p *Mail) soleText(htmlText *string) {
	sole := -1
	for i := range p.Parts {
		part := &p.Parts[i]
		switch {
		case part.Type != "" && part.Type != "text/plain" && part.Type != "text/html":
		case !part.attached, sole >= 0 && part.Type == p.Parts[sole].Type:
			return
		case sole < 0 || part.Type != "text/html":
			sole = i
		}
	}
	if sole < 0 || p.hasStatus || p.hasReturned || p.hasFeedback {
		return
	}
	part := &p.Parts[sole]
	part.attached = false
	if part.Type == "text/html" {
		*htmlText = textOfHTML(part.Text())
		return
	}
	p.text = part.Text()
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

// maxParameters is how many parameters a Content-Type or Content-Disposition may
// have. A long file name takes about 20 (RFC 2231, 3), and the time to read them
// grows with the square of their number.
const maxParameters = 100

// tooMany reports whether a header field has more parameters than are read.
func tooMany(field string) bool { return strings.Count(field, ";") > maxParameters }

// mediaType reads a type and its parameters, both empty if they cannot be read.
func mediaType(field string) (string, map[string]string) {
	if tooMany(field) {
		return "", nil
	}
	kind, params, err := mime.ParseMediaType(field)
	if err != nil {
		return "", nil
	}
	return kind, params
}

// lenientMediaType takes what cannot be read for text.
func lenientMediaType(ctype string) (string, map[string]string, []string, error) {
	if tooMany(ctype) {
		return "text/plain", map[string]string{}, nil, nil
	}
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
		if *htmlText == "" && !read.attached {
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

// attached returns the first file of a type.
func (p *Mail) attached(kind string) (name string, content []byte) {
	for _, part := range p.Parts {
		if part.attached && part.Type == kind {
			return casedb.CleanLine(part.Name, 200), part.Content
		}
	}
	return "", nil
}
