package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"teiten/internal/casedb"
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

// macLength is the number of base32 digits of the HMAC kept: 100 bits. The first
// half proves that we made a token for this number, without a look at the database:
// enough to take a mail in. The second half proves that it is of the message that
// has the number now, and not of another one that had it before a restore: nothing
// takes effect without it. In tokens of rule 1 both halves are of the number.
const (
	macLength = 20
	macHalf   = macLength / 2
)

// rule2 is the rule of the tokens that are made now; see casedb.Message.TokenRule.
const rule2 = 2

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

// Make returns the address that leads back to a message; number is its case's, or
// empty.
func (t *Tokens) Make(kind TokenKind, number string, m *casedb.Message) string {
	return t.token(kind, number, m).String() + "@" + t.domain
}

func (t *Tokens) token(kind TokenKind, number string, m *casedb.Message) Token {
	token := Token{Kind: kind, Case: number, Message: m.ID}
	token.mac = t.proof(token, m)
	return token
}

// Verify reports whether the token was made by us, for whatever message had its
// number. It takes the same time whatever is wrong with it.
func (t *Tokens) Verify(token Token) bool {
	return len(token.mac) == macLength && hmac.Equal([]byte(t.sum(token, "")[:macHalf]), []byte(token.mac[:macHalf]))
}

// Proves reports whether the token was made by us for this very message.
func (t *Tokens) Proves(token Token, m *casedb.Message) bool {
	return token.Message == m.ID && hmac.Equal([]byte(t.proof(token, m)), []byte(token.mac))
}

// PagePath returns the last part of the link to the owner's page of a message.
func (t *Tokens) PagePath(number string, m *casedb.Message) string {
	_, path, _ := strings.Cut(t.token(tokenPage, number, m).String(), "+")
	return path
}

// PageToken reads such a link, and reports whether we made it for whatever message
// had its number: see Proves. Addresses are read leniently, links are not: letter
// for letter.
func (t *Tokens) PageToken(path string) (Token, bool) {
	token, ok := ParseToken(string(TokenReply) + "+" + path)
	if !ok || token.String() != string(TokenReply)+"+"+path {
		return Token{}, false
	}
	token.Kind = tokenPage
	return token, t.Verify(token)
}

// Ours reports whether the address is at our domain.
func (t *Tokens) Ours(address string) bool {
	_, domain, ok := cutAddress(strings.Trim(strings.TrimSpace(address), "<>"))
	return ok && strings.EqualFold(domain, t.domain)
}

// proof is the HMAC in a token of a message.
func (t *Tokens) proof(token Token, m *casedb.Message) string {
	number := t.sum(token, "")
	if m.TokenRule < rule2 {
		return number
	}
	return number[:macHalf] + t.sum(token, m.Token)[:macHalf]
}

// sum is the HMAC of a token, and of the message's random token if there is one.
func (t *Tokens) sum(token Token, random string) string {
	h := hmac.New(sha256.New, t.key)
	fmt.Fprintf(h, "%s|%s|%d", token.Kind, token.casePart(), token.Message)
	if random != "" {
		fmt.Fprintf(h, "|%s", random)
	}
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
