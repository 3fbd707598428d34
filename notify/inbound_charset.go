package notify

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

func wordDecoder() *mime.WordDecoder {
	return &mime.WordDecoder{CharsetReader: charset.Reader}
}

// encodedWord is an encoded word (RFC 2047, 2), also one that a program left
// without its end, and with the language of RFC 2231, 5.
var encodedWord = regexp.MustCompile(`=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?([^?\s]*(?: [^?\s=]+)*)(?:\?=|$)`)

// decodeHeader decodes a field of the header. It is lenient: base64 without its
// padding, words that are cut within a character, raw bytes beside words.
func decodeHeader(s string) string {
	s = unfold(s)
	var out strings.Builder
	var pending []byte // of words in one charset that follow each other
	name := ""
	flush := func() {
		if len(pending) > 0 {
			out.WriteString(toUTF8(pending, name))
		}
		pending = nil
	}
	end := 0
	for _, m := range encodedWord.FindAllStringSubmatchIndex(s, -1) {
		between := s[end:m[0]]
		this := strings.ToLower(s[m[2]:m[3]])
		if strings.TrimSpace(between) != "" || end == 0 || this != name {
			flush()
			if strings.TrimSpace(between) != "" || end == 0 {
				out.WriteString(toUTF8([]byte(between), ""))
			}
		}
		name, end = this, m[1]
		pending = append(pending, decodeWord(s[m[4]:m[5]], s[m[6]:m[7]])...)
	}
	flush()
	out.WriteString(toUTF8([]byte(s[end:]), ""))
	return out.String()
}

// decodeWord undoes the encoding of an encoded word.
func decodeWord(encoding, text string) []byte {
	if strings.EqualFold(encoding, "b") {
		return decodeBase64([]byte(text))
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '_':
			b = append(b, ' ')
		case text[i] == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			b = append(b, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
		default:
			b = append(b, text[i])
		}
	}
	return b
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// decodeBase64 decodes base64 with or without its padding, whatever stands
// between its letters, as far as it goes.
func decodeBase64(b []byte) []byte {
	clean := bytes.Map(func(r rune) rune {
		switch {
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		case r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/'):
			return r
		}
		return -1
	}, b)
	if len(clean)%4 == 1 { // a letter of a group that is lost
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean) // what could be decoded is kept
	return out[:n]
}

// unfold makes one line of a header field, of one without end its beginning.
func unfold(s string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(s[:min(len(s), maxValue)])
}

// toUTF8 turns text into UTF-8: from the charset that the mail names, unless the
// bytes cannot be in it; then from the one that they show.
func toUTF8(b []byte, name string) string {
	name = strings.ToLower(strings.Trim(name, " \"';"))
	high := bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
	escapes := bytes.Contains(b, []byte("\x1b$")) || bytes.Contains(b, []byte("\x1b("))
	switch {
	case escapes && !high && !strings.HasPrefix(name, "iso-2022"):
		name = "iso-2022-jp"
	case !high && !escapes && !strings.HasPrefix(name, "utf-16") && !strings.HasPrefix(name, "utf-32") && name != "utf-7" && name != "hz-gb-2312":
		return string(b) // ASCII, as in every other charset
	case high && isUTF8(b, name):
		return strings.ToValidUTF8(string(b), "\ufffd")
	case name == "" || name == "us-ascii" || name == "ascii" || name == "unknown-8bit" || name == "utf-8" || name == "utf8":
		return guess(b)
	case high && strings.HasPrefix(name, "iso-2022"): // seven bits (RFC 1468)
		return guess(b)
	case strings.HasPrefix(name, "utf-16") && !bytes.ContainsRune(b, 0):
		return guess(b)
	}
	if strings.HasPrefix(name, "iso-2022-jp") {
		name = "iso-2022-jp"
	}
	r, err := charset.Reader(name, bytes.NewReader(b))
	if err != nil {
		return guess(b)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return guess(b)
	}
	// The named charset cannot be where it leaves more holes than another.
	if n := strings.Count(string(out), "\ufffd"); n > 0 {
		if g := guess(b); holes(g)*4 < n {
			return g
		}
	}
	return string(out)
}

// surelyUTF8 is how many bytes outside ASCII are no accident if they form
// characters of UTF-8.
const surelyUTF8 = 6

// isUTF8 reports whether text with bytes outside ASCII is in UTF-8, whatever charset
// it names: pairs and threes of bytes as UTF-8 has them do not come about in another
// charset, but for a few letters. One hole in much text is a cut.
func isUTF8(b []byte, name string) bool {
	several, broken, bytesHigh := 0, 0, 0
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			broken++
		case n > 1:
			several++
			bytesHigh += n
		}
		i += n
	}
	if broken*20 > several || several == 0 {
		return false
	}
	wide := strings.Contains(name, "jis") || strings.Contains(name, "euc") || strings.HasPrefix(name, "gb") || strings.Contains(name, "big5") ||
		strings.Contains(name, "ks_c") || strings.Contains(name, "windows-31j") || strings.Contains(name, "949") || strings.Contains(name, "932")
	return !wide || bytesHigh >= surelyUTF8
}

// holes counts what a charset did not know, and what only a wrong one gives:
// half-width kana, control characters, private letters.
func holes(s string) int {
	n := 0
	for _, r := range s {
		if r == utf8.RuneError || r >= 0xff61 && r <= 0xff9f || r >= 0x80 && r < 0xa0 || r >= 0xe000 && r < 0xf900 {
			n++
		}
	}
	return n
}

// candidate is a charset that text without a true name may be in, and the share
// of its letters that show it, in tenths of the letters outside ASCII.
type candidate struct {
	charset encoding.Encoding
	shows   func(r rune) bool
	least   int
}

func candidates() []candidate {
	kana := func(r rune) bool { return r >= 0x3041 && r <= 0x30ff }
	hangul := func(r rune) bool { return unicode.Is(unicode.Hangul, r) }
	cyrillic := func(r rune) bool { return unicode.Is(unicode.Cyrillic, r) }
	return []candidate{{japanese.EUCJP, kana, 2}, {japanese.ShiftJIS, kana, 2}, {korean.EUCKR, hangul, 9},
		{charmap.Windows1251, cyrillic, 10}, {charmap.KOI8R, cyrillic, 10}}
}

// guess decodes bytes whose charset is not known: the one whose own letters show,
// else the one that leaves the fewest holes.
func guess(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	if western(b) {
		if s, err := charmap.Windows1252.NewDecoder().Bytes(b); err == nil {
			return string(s)
		}
	}
	best := strings.ToValidUTF8(string(b), "\ufffd")
	least := holes(best)
	for _, c := range candidates()[:3] {
		out, _, err := transform.Bytes(c.charset.NewDecoder(), b)
		// Beyond the letters of KS X 1001, Korean mail has next to none.
		if err != nil || c.charset == korean.EUCKR && !rightHalf(b) {
			continue
		}
		s := string(out)
		if n := holes(s); n == 0 && shown(s, c.shows)*10 >= c.least*shown(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return s
		}
	}
	if s, ok := guessCyrillic(b); ok {
		return s
	}
	for _, e := range []encoding.Encoding{japanese.EUCJP, japanese.ShiftJIS, simplifiedchinese.GB18030} {
		out, _, err := transform.Bytes(e.NewDecoder(), b)
		if s := string(out); err == nil && holes(s) < least {
			best, least = s, holes(s)
		}
	}
	return best
}

// rightHalf reports whether all bytes outside ASCII are those of the right half of
// ISO 2022, as the EUC charsets have them.
func rightHalf(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf && c < 0xa1 {
			return false
		}
	}
	return true
}

func shown(s string, is func(rune) bool) (n int) {
	for _, r := range s {
		if is(r) {
			n++
		}
	}
	return n
}

// western reports whether bytes outside ASCII stand alone between letters of
// ASCII, as accents do; in the charsets of East Asia they come in pairs.
func western(b []byte) bool {
	alone, runs := 0, 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		begin := i
		for i < len(b) && b[i] >= utf8.RuneSelf {
			i++
		}
		runs++
		before, after := begin > 0 && isLetter(b[begin-1]), i < len(b) && isLetter(b[i])
		if b[begin] >= 0xa0 && (i-begin == 1 && (before || after) || i-begin == 2 && before && after) {
			alone++
		}
	}
	return runs > 0 && alone*10 >= runs*8
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// guessCyrillic tells the two charsets of Russian mail from each other: most
// letters of a text are small.
func guessCyrillic(b []byte) (string, bool) {
	for _, c := range candidates()[3:] {
		out, err := c.charset.NewDecoder().Bytes(b)
		if err != nil {
			continue
		}
		s := string(out)
		letters := shown(s, c.shows)
		small := shown(s, func(r rune) bool { return c.shows(r) && unicode.IsLower(r) })
		if letters >= 6 && letters*10 >= 9*shown(s, func(r rune) bool { return r >= utf8.RuneSelf }) && small*10 >= 7*letters {
			return s, true
		}
	}
	return "", false
}
