package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// SecretName is the name of the secret in the case database that tokens are
// made with.
const SecretName = "envelope"

// TokenKind is the purpose of an address with a token.
type TokenKind string

// The kinds of tokens are the local parts' beginnings. Every reader of the
// mail sees the reply token, so it is never valid for a bounce.
const (
	TokenBounce TokenKind = "b"    // the envelope sender: where bounces go
	TokenReply  TokenKind = "case" // the Reply-To address: where people write
	// tokenPage is in the link to the owner's page. It never is an address.
	tokenPage TokenKind = "page"
)

// Token leads a mail back to the message that it is about: the local
// part <kind>+<case>.<message>.<HMAC>.
type Token struct {
	Kind    TokenKind
	Case    string // the case's number; empty for a message about a registration
	Message int64
	mac     string
}

// macLength is the number of base32 digits of the HMAC kept: 100 bits.
const macLength = 20

var tokenPattern = regexp.MustCompile(`^(b|case)\+(0|tt-[0-9]{4}-[0-9]{6,9})\.([1-9][0-9]{0,18})\.([a-z2-7]{20})$`)

// ParseToken reads the local part or address, in any case of letters, and
// reports whether it has the form of a token. It does not say that the token
// is ours: see Tokens.Verify.
func ParseToken(address string) (Token, bool) {
	if len(address) > 320 {
		return Token{}, false
	}
	local := strings.ToLower(strings.Trim(strings.TrimSpace(address), "<>"))
	if l, _, ok := cutAddress(local); ok {
		local = l
	}
	m := tokenPattern.FindStringSubmatch(local)
	if m == nil {
		return Token{}, false
	}
	id, err := strconv.ParseInt(m[3], 10, 64)
	if err != nil {
		return Token{}, false
	}
	t := Token{Kind: TokenKind(m[1]), Message: id, mac: m[4]}
	if m[2] != "0" {
		t.Case = strings.ToUpper(m[2])
	}
	return t, true
}

// String returns the token's local part.
func (t Token) String() string {
	return fmt.Sprintf("%s+%s.%d.%s", t.Kind, t.casePart(), t.Message, t.mac)
}

func (t Token) casePart() string {
	if t.Case == "" {
		return "0"
	}
	return strings.ToLower(t.Case)
}

// Tokens makes and verifies tokens. It is safe for concurrent use.
type Tokens struct {
	key    []byte
	domain string
}

// NewTokens returns a maker of tokens at a mail domain, with the key that
// casedb keeps under SecretName.
func NewTokens(key []byte, domain string) (*Tokens, error) {
	if len(key) < 16 {
		return nil, fmt.Errorf("a key of %d bytes is too short for tokens", len(key))
	}
	if domain == "" {
		return nil, fmt.Errorf("tokens need a mail domain")
	}
	return &Tokens{key: key, domain: strings.ToLower(domain)}, nil
}

// Make returns the address for a message; number is its case's, or empty.
func (t *Tokens) Make(kind TokenKind, number string, message int64) string {
	token := Token{Kind: kind, Case: number, Message: message}
	token.mac = t.sum(token)
	return token.String() + "@" + t.domain
}

// Verify reports whether the token was made by us. It takes the same time
// whatever is wrong with it.
func (t *Tokens) Verify(token Token) bool {
	return hmac.Equal([]byte(t.sum(token)), []byte(token.mac))
}

// PagePath returns the last part of the link to the owner's page of a message.
func (t *Tokens) PagePath(number string, message int64) string {
	token := Token{Kind: tokenPage, Case: number, Message: message}
	token.mac = t.sum(token)
	_, path, _ := strings.Cut(token.String(), "+")
	return path
}

// PageMessage returns the message that such a link is about, if we made it.
// Addresses are read leniently, links are not: letter for letter.
func (t *Tokens) PageMessage(path string) (int64, bool) {
	token, ok := ParseToken(string(TokenReply) + "+" + path)
	if !ok || token.String() != string(TokenReply)+"+"+path {
		return 0, false
	}
	token.Kind = tokenPage
	return token.Message, t.Verify(token)
}

// Ours reports whether the address is at our domain.
func (t *Tokens) Ours(address string) bool {
	_, domain, ok := cutAddress(strings.Trim(strings.TrimSpace(address), "<>"))
	return ok && strings.EqualFold(domain, t.domain)
}

func (t *Tokens) sum(token Token) string {
	h := hmac.New(sha256.New, t.key)
	fmt.Fprintf(h, "%s|%s|%d", token.Kind, token.casePart(), token.Message)
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)))[:macLength]
}

// rootID is the Message-ID (without brackets) that all mails of a case refer
// to, so that mail programs show them as one thread. No mail has it.
func rootID(number, domain string) string {
	return strings.ToLower(number) + ".case@" + strings.ToLower(domain)
}

var rootPattern = regexp.MustCompile(`^(tt-[0-9]{4}-[0-9]{6,9})\.case@`)

var tagPattern = regexp.MustCompile(`(?i)\[(TT-[0-9]{4}-[0-9]{6,9})\]`)

// caseTag returns the number of the first case tag in a text, or "".
func caseTag(s string) string {
	if m := tagPattern.FindStringSubmatch(s); m != nil {
		return strings.ToUpper(m[1])
	}
	return ""
}
