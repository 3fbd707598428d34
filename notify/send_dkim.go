package notify

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// minRSABits is the shortest RSA key that signs (RFC 8301, 3.2, advises it).
const minRSABits = 2048

// DKIM signs mails (RFC 6376) for one domain, with each of its keys. It is safe
// for concurrent use.
type DKIM struct {
	domain string
	keys   []dkimKey
}

type dkimKey struct {
	selector string
	signer   crypto.Signer
}

// LoadDKIM reads the keys, each written SELECTOR=FILE, that sign for a domain.
// No keys: nil, which signs nothing.
func LoadDKIM(domain string, keys []string) (*DKIM, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	d := &DKIM{domain: strings.ToLower(domain)}
	for _, k := range keys {
		selector, file, ok := strings.Cut(k, "=")
		if !ok || !dnsName(selector) || file == "" {
			return nil, fmt.Errorf("DKIM key %q is not written SELECTOR=FILE", k)
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read DKIM key: %w", err)
		}
		signer, err := parseDKIMKey(pem)
		if err != nil {
			return nil, fmt.Errorf("DKIM key %s: %w", file, err)
		}
		d.keys = append(d.keys, dkimKey{selector: selector, signer: signer})
	}
	return d, nil
}

func parseDKIMKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block in it")
	}
	var key any
	var err error
	if block.Type == "RSA PRIVATE KEY" { // as older programs write it
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("RSA with %d bits is too short, %d are the least", k.N.BitLen(), minRSABits)
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("neither RSA nor Ed25519 but %T", key)
}

// dkimHeaders are signed where they are present (RFC 6376, 5.4.1).
var dkimHeaders = []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"Content-Language", "Auto-Submitted", "References", "In-Reply-To", "Reply-To", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"}

// dkimOversigned are named once more than they occur: a second one added on
// the way, which a reader may be shown instead, breaks the signature (RFC 6376,
// 8.15).
var dkimOversigned = []string{"From", "To", "Subject", "Date", "Reply-To"}

// signed reports whether a mail has been signed by us: no mail that we compose
// begins so otherwise.
func signed(raw []byte) bool { return bytes.HasPrefix(raw, []byte("DKIM-Signature:")) }

// Sign returns the mail with a signature of each key in front. A mail that is
// signed already, and any mail where there are no keys, comes back as it is.
func (d *DKIM) Sign(raw []byte) ([]byte, error) {
	if d == nil || signed(raw) {
		return raw, nil
	}
	fields := presentFields(raw)
	var names []string
	for _, h := range dkimHeaders {
		for range fields[strings.ToLower(h)] {
			names = append(names, h)
		}
	}
	names = append(names, dkimOversigned...)
	var out bytes.Buffer
	for _, k := range d.keys {
		s, err := dkim.NewSigner(&dkim.SignOptions{Domain: d.domain, Selector: k.selector, Signer: k.signer, HeaderKeys: names,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed})
		if err == nil {
			_, err = s.Write(raw)
			err = errors.Join(err, s.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("sign for %s with %s: %w", d.domain, k.selector, err)
		}
		out.WriteString(s.Signature())
	}
	out.Write(raw)
	return out.Bytes(), nil
}

// presentFields counts the header's fields by their names in small letters.
func presentFields(raw []byte) map[string]int {
	n := map[string]int{}
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) == 0 {
			break
		}
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && line[0] != ' ' && line[0] != '\t' {
			n[strings.ToLower(string(name))]++
		}
	}
	return n
}

// CheckAligned says whether signatures for a domain count for a From address:
// it must be at the domain or below it (RFC 7489, 3.1.1, relaxed).
func CheckAligned(domain, from string) error {
	_, at, _ := cutAddress(strings.ToLower(from))
	if domain = strings.ToLower(domain); at != domain && !strings.HasSuffix(at, "."+domain) {
		return fmt.Errorf("a signature for %s does not count for mail from %s", domain, from)
	}
	return nil
}

var dnsPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// dnsName accepts a host name, or the labels of a selector.
func dnsName(s string) bool { return len(s) <= 253 && dnsPattern.MatchString(s) }

// DKIMRecord returns the TXT record, as zone files have it, that publishes the
// public half of a key (RFC 6376, 3.6.1; RFC 8463, 4.2).
func DKIMRecord(domain, selector string, key crypto.Signer) (string, error) {
	if !dnsName(domain) || !dnsName(selector) {
		return "", fmt.Errorf("%q below %q is no name in the DNS", selector, domain)
	}
	var kind string
	var public []byte
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			return "", fmt.Errorf("write public key: %w", err)
		}
		kind, public = "rsa", der
	case ed25519.PublicKey:
		kind, public = "ed25519", k
	default:
		return "", fmt.Errorf("no DKIM record for a %T", k)
	}
	text := "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)
	var parts []string
	for part := range slices.Chunk([]byte(text), 255) { // RFC 1035, 3.3.14: what one string holds
		parts = append(parts, `"`+string(part)+`"`)
	}
	return fmt.Sprintf("%s._domainkey.%s. IN TXT ( %s )", selector, domain, strings.Join(parts, "\n\t")), nil
}
