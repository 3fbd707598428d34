package owner

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"

	"teiten/internal/casedb"
)

const (
	// maxWhoisBytes is the size of the largest WHOIS answer that is read.
	maxWhoisBytes = 256 << 10
	maxWhoisLines = 2000

	// defaultWhoisEvery is as slow as the slowest RDAP server: the national
	// registries publish no number, but block who asks too much.
	defaultWhoisEvery   = 6 * time.Second
	defaultWhoisTimeout = 20 * time.Second
)

// errNotWhois says that an answer is not one of the registry's about a network:
// HTML, half an answer, a refusal.
var errNotWhois = errors.New("not a WHOIS answer about a network")

// errNoMatch says that the registry knows no network around the address.
var errNoMatch = errors.New("no match")

// WhoisAnswer is what a national registry's WHOIS says about a network, beyond
// what RDAP gives. All texts are free of control characters.
type WhoisAnswer struct {
	Registry     string // jpnic or krnic
	First, Last  netip.Addr
	Name         string
	Organisation string
	Contacts     []WhoisContact
	Raw          []byte
}

// WhoisContact is an address of a WhoisAnswer, not yet checked.
type WhoisContact struct {
	Email string
	Label string // the field or section it stands in, as written
	Abuse bool   // it is for abuse
}

// Contains reports whether the answer is about the address.
func (w *WhoisAnswer) Contains(addr netip.Addr) bool {
	addr = addr.Unmap()
	return w.First.IsValid() && w.First.BitLen() == addr.BitLen() && w.First.Compare(addr) <= 0 && addr.Compare(w.Last) <= 0
}

// nationalRegistry is a registry below APNIC whose RDAP records are mirrored
// without the contacts that its WHOIS gives.
type nationalRegistry struct {
	name    string
	source  string // in RDAP's notice "Source"
	country string
	query   string // of an address
	other   []encoding.Encoding
	parse   func(text string, addr netip.Addr) (WhoisAnswer, error)
}

var (
	// jpnicWhois takes "/e" for English labels; the values stay Japanese here
	// and there, in ISO-2022-JP as of old, or UTF-8, or Shift_JIS.
	jpnicWhois = nationalRegistry{name: "jpnic", source: "JPNIC", country: "JP", query: "%s/e\r\n",
		other: []encoding.Encoding{japanese.ShiftJIS, japanese.EUCJP}, parse: parseJPNIC}
	krnicWhois = nationalRegistry{name: "krnic", source: "KRNIC", country: "KR", query: "%s\r\n",
		other: []encoding.Encoding{korean.EUCKR}, parse: parseKRNIC}
)

// nationalRegistryOf says which national registry knows more about the network
// of an answer.
func nationalRegistryOf(a *RegistryAnswer) (nationalRegistry, bool) {
	registry := registryOf(a)
	for _, n := range []nationalRegistry{jpnicWhois, krnicWhois} {
		if strings.EqualFold(a.Source, n.source) || registry == n.name || registry == "apnic" && countryCode(a.Country) == n.country {
			return n, true
		}
	}
	return nationalRegistry{}, false
}

// WhoisConfig says which national registries are asked over WHOIS (RFC 3912).
// The zero value asks no registry.
type WhoisConfig struct {
	JPNIC string // host:port of whois.nic.ad.jp; empty: not asked
	KRNIC string // host:port of whois.kisa.or.kr; empty: not asked
	// Every is the shortest time between two questions to one server. Zero
	// means six seconds.
	Every time.Duration
	// Timeout bounds one question. Zero means 20 seconds.
	Timeout time.Duration
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// whoisClient asks national registries, as politely as RDAP servers are asked.
type whoisClient struct {
	cfg     WhoisConfig
	servers *servers
}

func newWhoisClient(cfg WhoisConfig) *whoisClient {
	cfg.Every = cmp.Or(cfg.Every, defaultWhoisEvery)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultWhoisTimeout)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &whoisClient{cfg: cfg, servers: newServers(func(string) time.Duration { return cfg.Every }, cfg.Now)}
}

// server is the host and port of the registry's server; empty: not asked.
func (c *whoisClient) server(n nationalRegistry) string {
	if n.name == jpnicWhois.name {
		return c.cfg.JPNIC
	}
	return c.cfg.KRNIC
}

// ask asks the registry about the address. Its errors are of type
// *LookupError, or ctx's. Referrals are not followed.
func (c *whoisClient) ask(ctx context.Context, n nationalRegistry, addr netip.Addr) (WhoisAnswer, error) {
	server := c.server(n)
	v, err := c.servers.enter(ctx, server, patience)
	if err != nil {
		return WhoisAnswer{}, withCtx(ctx, err)
	}
	defer v.leave()
	raw, err := c.exchange(ctx, server, fmt.Sprintf(n.query, addr.Unmap().WithZone("")))
	if err == nil && len(raw) > maxWhoisBytes {
		err = ErrAnswerTooLarge
	}
	if err != nil {
		v.report(err)
		e := &LookupError{Protocol: "WHOIS", Kind: LookupTemporary, Server: server, Asked: true, Err: err}
		if errors.Is(err, ErrAnswerTooLarge) {
			e.Kind = LookupTooLarge
		}
		return WhoisAnswer{}, withCtx(ctx, e)
	}
	answer, err := readWhois(raw, n, addr.Unmap())
	switch {
	case errors.Is(err, errNoMatch):
		v.report(nil)
		return answer, &LookupError{Protocol: "WHOIS", Kind: LookupNotFound, Server: server, Asked: true}
	case err != nil:
		v.report(err) // a server that refuses us in words of its own is left alone, too
		return answer, &LookupError{Protocol: "WHOIS", Kind: LookupMalformed, Server: server, Asked: true, Err: err}
	}
	v.report(nil)
	return answer, nil
}

// exchange sends the query and reads until the server closes the connection.
func (c *whoisClient) exchange(ctx context.Context, server, query string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // wakes a read that waits
	defer stop()
	if _, err := io.WriteString(conn, query); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(conn, maxWhoisBytes+1))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return raw, err
}

// readWhois reads a raw answer about the address.
func readWhois(raw []byte, n nationalRegistry, addr netip.Addr) (WhoisAnswer, error) {
	text := decodeWhois(raw, n.other)
	if strings.HasPrefix(strings.TrimSpace(text), "<") || strings.Contains(strings.ToLower(text), "<html") {
		return WhoisAnswer{}, fmt.Errorf("%w: HTML", errNotWhois)
	}
	if strings.Count(text, "\n") > maxWhoisLines {
		return WhoisAnswer{}, fmt.Errorf("%w: more than %d lines", errNotWhois, maxWhoisLines)
	}
	w, err := n.parse(text, addr)
	if err != nil {
		return WhoisAnswer{}, err
	}
	w.Registry, w.Raw = n.name, raw
	return w, nil
}

// decodeWhois makes UTF-8 of an answer: ISO-2022-JP by its escape sequences
// (RFC 1468), else UTF-8 if it is that, else the first of the others that it
// can be. What cannot be decoded becomes U+FFFD; labels, ranges and addresses
// are ASCII in all of them.
func decodeWhois(raw []byte, other []encoding.Encoding) string {
	if bytes.Contains(raw, []byte("\x1b$")) || bytes.Contains(raw, []byte("\x1b(")) {
		other = []encoding.Encoding{japanese.ISO2022JP}
	} else if utf8.Valid(raw) {
		return string(raw)
	}
	for i, e := range other {
		text, err := e.NewDecoder().Bytes(raw)
		if err == nil && (i == len(other)-1 || !bytes.ContainsRune(text, utf8.RuneError)) {
			return string(text)
		}
	}
	return strings.ToValidUTF8(string(raw), "\ufffd")
}

// parseWhoisRange reads a range as WHOIS servers write it: a prefix, one
// address, or "first - last" with something in brackets behind it.
func parseWhoisRange(s string) (first, last netip.Addr, ok bool) {
	s, _, _ = strings.Cut(s, "(")
	s = strings.TrimSpace(s)
	if from, to, isRange := strings.Cut(s, " - "); isRange {
		first, ok1 := parseLooseAddr(from)
		last, ok2 := parseLooseAddr(to)
		return first, last, ok1 && ok2 && first.BitLen() == last.BitLen() && first.Compare(last) <= 0
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked().Addr(), lastOf(p), true
	}
	a, ok := parseLooseAddr(s)
	return a, a, ok && !strings.Contains(s, "/")
}

// emailsIn are the addresses in a field: one, or several with something between
// them. A field with control characters is left as it is, to be refused and
// not mended.
func emailsIn(value string) []string {
	if strings.ContainsFunc(strings.ReplaceAll(value, "\t", " "), unicode.IsControl) {
		return []string{value}
	}
	return strings.FieldsFunc(casedb.CleanLine(value, 2000), func(r rune) bool { return strings.ContainsRune(" ,;、，；", r) })
}

// narrowest is the smallest of the networks that hold the address.
func narrowest(networks []WhoisAnswer, addr netip.Addr) (WhoisAnswer, bool) {
	best, found := WhoisAnswer{}, false
	for _, n := range networks {
		if n.Contains(addr) && (!found || best.First.Compare(n.First) <= 0 && n.Last.Compare(best.Last) <= 0) {
			best, found = n, true
		}
	}
	return best, found
}
