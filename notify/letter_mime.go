package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"teiten/internal/casedb"
)

// encode writes the mail: text first, then the evidence. Everything in it
// follows from its arguments, so two calls give the same bytes.
func (c *Composer) encode(d Draft, m casedb.Message, number string, now time.Time) ([]byte, error) {
	if err := checkAddress(d.To); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	boundary := boundaryOf(m)
	var h mail.Header
	var b bytes.Buffer
	if d.Key != "" {
		return c.encodeEncrypted(d, m, number, boundary, now)
	}
	if c.config.PGP != nil {
		var inner message.Header
		var content bytes.Buffer
		contentHeaders(&inner, d, m.Language, boundary)
		if err := writeContent(&content, inner, d, m.Language); err != nil {
			return nil, err
		}
		if err := c.headers(&h, d, m, number, now); err != nil {
			return nil, err
		}
		err := c.config.PGP.writeSigned(&b, &h.Header, content.Bytes(), boundary+".s", now)
		return b.Bytes(), err
	}
	return c.encodePlain(d, m, number, boundary, now)
}

// encodePlain writes the mail neither encrypted nor signed.
func (c *Composer) encodePlain(d Draft, m casedb.Message, number, boundary string, now time.Time) ([]byte, error) {
	var h mail.Header
	var b bytes.Buffer
	contentHeaders(&h.Header, d, m.Language, boundary)
	if err := c.headers(&h, d, m, number, now); err != nil {
		return nil, err
	}
	if err := writeContent(&b, h.Header, d, m.Language); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// boundaryOf is the boundary of a message's parts. It is part of the bytes that
// every attempt repeats.
func boundaryOf(m casedb.Message) string {
	sum := sha256.Sum256([]byte("boundary|" + m.Token))
	return "=_" + hex.EncodeToString(sum[:15])
}

// encodeEncrypted writes the mail for the recipient's key alone, signed if we
// have one. The subject stands inside; outside there are the tags only.
func (c *Composer) encodeEncrypted(d Draft, m casedb.Message, number, boundary string, now time.Time) ([]byte, error) {
	var inner message.Header
	var content, b bytes.Buffer
	contentHeaders(&inner, d, m.Language, boundary)
	kind, params, err := inner.ContentType()
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	params["protected-headers"] = "v1" // as readers know it
	inner.SetContentType(kind, params)
	inner.Set("Subject", encodeSubject(d.Subject))
	if err := writeContent(&content, inner, d, m.Language); err != nil {
		return nil, err
	}
	var h mail.Header
	outside := d
	outside.Subject = strings.TrimSpace(d.Tags + " ...")
	if err := c.headers(&h, outside, m, number, now); err != nil {
		return nil, err
	}
	if err := c.config.PGP.writeEncrypted(&b, &h.Header, content.Bytes(), d.Key, boundary+".e", now); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// contentHeaders says what the mail's content is.
func contentHeaders(h *message.Header, d Draft, language, boundary string) {
	switch {
	case d.XARF != nil:
		h.SetContentType("multipart/report", map[string]string{"report-type": "feedback-report", "boundary": boundary})
	case d.CSVName != "" || len(d.Files) > 0 || len(d.Letters) > 0:
		h.SetContentType("multipart/mixed", map[string]string{"boundary": boundary})
	default:
		textHeaders(h, language)
	}
}

// writeContent writes the header and the parts that it announces: the text for
// people first.
func writeContent(out io.Writer, h message.Header, d Draft, language string) error {
	w, err := message.CreateWriter(out, h)
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	if d.CSVName == "" && len(d.Files) == 0 && len(d.Letters) == 0 {
		return writeText(w, d.Body)
	}
	var text message.Header
	textHeaders(&text, language)
	part, err := w.CreatePart(text)
	if err != nil {
		return fmt.Errorf("write text: %w", err)
	}
	if err := writeText(part, d.Body); err != nil {
		return err
	}
	switch {
	case d.XARF != nil:
		var report, content message.Header
		report.SetContentType("message/feedback-report", nil)
		content.SetContentType("application/json", map[string]string{"name": "xarf.json"})
		content.SetContentDisposition("attachment", map[string]string{"filename": "xarf.json"})
		content.Set("Content-Transfer-Encoding", "base64")
		err = errors.Join(writePart(w, report, []byte(feedbackReport)), writePart(w, content, d.XARF))
	case d.CSVName != "":
		err = writeFile(w, d.CSVName, "text/csv", d.CSV)
	}
	for _, f := range d.Files {
		err = errors.Join(err, writeFile(w, f.Name, f.Type, f.Content))
	}
	if len(d.Letters) > 0 {
		err = errors.Join(err, writeLetters(w, d.Letters, h))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	return nil
}

// writeLetters writes whole mails as a digest (RFC 2046, 5.1.5). around is the
// header of the mail that they are in.
func writeLetters(w *message.Writer, letters []casedb.MessageFile, around message.Header) error {
	_, params, err := around.ContentType()
	if err != nil {
		return err
	}
	var h message.Header
	h.SetContentType("multipart/digest", map[string]string{"boundary": params["boundary"] + ".d"})
	digest, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	for _, l := range letters {
		var part message.Header
		part.SetContentType("message/rfc822", nil)
		part.SetContentDisposition("attachment", map[string]string{"filename": l.Name})
		if err := writePart(digest, part, l.Content); err != nil {
			return err
		}
	}
	return digest.Close()
}

// writeFile attaches a file. base64 keeps every byte of it.
func writeFile(w *message.Writer, name, kind string, content []byte) error {
	params := map[string]string{"name": name}
	if strings.HasPrefix(kind, "text/") {
		params["charset"] = "utf-8"
	}
	var h message.Header
	h.SetContentType(kind, params)
	h.SetContentDisposition("attachment", map[string]string{"filename": name})
	h.Set("Content-Transfer-Encoding", "base64")
	return writePart(w, h, content)
}

func writePart(w *message.Writer, h message.Header, content []byte) error {
	part, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = part.Write(content)
	return errors.Join(err, part.Close())
}

// headers makes the mail's headers, last line first: that is how the library
// stacks them. Whatever comes from outside goes through functions that encode
// it; what must be plain is checked.
func (c *Composer) headers(h *mail.Header, d Draft, m casedb.Message, number string, now time.Time) error {
	if m.HeaderID == "" {
		return fmt.Errorf("message %d has no Message-ID", m.ID)
	}
	for _, id := range []string{m.HeaderID, m.InReplyTo} {
		if id != "" && !plainID(id) {
			return fmt.Errorf("Message-ID %q is none", id)
		}
	}
	h.Set("MIME-Version", "1.0")
	// RFC 3834, 5. A coordinator's own words are not automatic; nor is a letter that
	// a person approved, for a contact whose ticket system drops automatic mail.
	if (m.Purpose != casedb.PurposeAnswer || m.Reason == casedb.ReasonCorrection) && (!d.Silent || m.ApprovedBy == "") {
		h.Set("Auto-Submitted", "auto-generated")
	}
	var references []string
	if number != "" {
		references = append(references, rootID(number, c.config.Domain))
	}
	if m.InReplyTo != "" {
		references = append(references, m.InReplyTo)
	}
	if len(references) > 0 {
		h.SetMsgIDList("References", references)
		h.SetMsgIDList("In-Reply-To", references[len(references)-1:])
	}
	h.SetMessageID(m.HeaderID)
	h.Set("Subject", encodeSubject(d.Subject))
	h.SetAddressList("Reply-To", []*mail.Address{{Address: c.tokens.Make(TokenReply, number, &m)}})
	h.SetAddressList("To", []*mail.Address{{Address: d.To}})
	from := &mail.Address{Name: casedb.CleanLine(c.config.organisation(m.Language), 200), Address: d.From}
	h.SetAddressList("From", []*mail.Address{from})
	h.SetDate(now.UTC().Truncate(time.Second))
	return nil
}

// encodeSubject keeps the words before the first that is not ASCII and after the
// last, and so the tags and the label, readable in the raw header (filters look
// for them there) and encodes the rest (RFC 2047). Nothing of it can end the line.
func encodeSubject(s string) string {
	// A mail program would decode text that looks encoded already.
	s = strings.ReplaceAll(casedb.CleanLine(s, 500), "=?", "= ?")
	plain, after := "", ""
	foreign := func(r rune) bool { return r < ' ' || r > '~' }
	if i := strings.IndexFunc(s, foreign); i >= 0 {
		space := strings.LastIndexByte(s[:i], ' ') + 1
		plain, s = s[:space], s[space:]
		last := strings.LastIndexFunc(s, foreign)
		if space := strings.IndexByte(s[last:], ' '); space >= 0 {
			s, after = s[:last+space], s[last+space:]
		}
	}
	return strings.TrimSpace(plain + mime.BEncoding.Encode("utf-8", s) + after)
}

// plainID accepts what may stand between the brackets of a Message-ID.
func plainID(id string) bool {
	if len(id) > 500 || !strings.Contains(id, "@") {
		return false
	}
	for _, r := range id {
		if r <= ' ' || r > '~' || r == '<' || r == '>' {
			return false
		}
	}
	return true
}

func textHeaders(h *message.Header, language string) {
	h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	// Quoted-printable triples Japanese text.
	encoding := "quoted-printable"
	if language == "ja" {
		encoding = "base64"
	}
	h.Set("Content-Transfer-Encoding", encoding)
	h.Set("Content-Language", language)
}

func writeText(w io.WriteCloser, text string) error {
	if _, err := io.WriteString(w, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return fmt.Errorf("write text: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write text: %w", err)
	}
	return nil
}
