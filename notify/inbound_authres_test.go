package notify_test

import (
	"net/netip"
	"testing"

	"teiten/notify"
)

// TestAuthenticationResultsOfOurOwnServer are kept with a mail that our own server
// hands over, and with no other.
func TestAuthenticationResultsOfOurOwnServer(t *testing.T) {
	t.Parallel()
	const raw = "Authentication-Results: mx.csirt.example; spf=pass; dkim=fail (key; old)\nAuthentication-Results: mx.evil.example; dmarc=pass\nFrom: a@x.example\nSubject: x\n\nx\n"
	for name, c := range map[string]struct {
		authserv string
		want     string
	}{"named": {"mx.csirt.example", "spf=pass dkim=fail"}, "no name": {"", ""}, "another": {"mx.teiten.example", ""}} {
		p := newPost(t, notify.InboundConfig{Authserv: c.authserv, Relays: []netip.Prefix{netip.MustParsePrefix("192.0.2.25/32")}})
		if in := p.take("a@x.example", "csirt@"+domain, raw); in.Auth != c.want {
			t.Errorf("%s: %q is kept, want %q", name, in.Auth, c.want)
		}
	}
}
