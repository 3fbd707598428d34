package notify

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAuthVerdicts(t *testing.T) {
	t.Parallel()
	const ours = "mx.csirt.example"
	for name, c := range map[string]struct{ header, want string }{
		"none":           {"From: a@x.example\r\n", ""},
		"all":            {"Authentication-Results: mx.csirt.example; dmarc=pass header.from=x.example;\r\n dkim=pass (2048-bit key; unprotected) header.d=x.example;\r\n\tspf=pass smtp.mailfrom=x.example\r\n", "spf=pass dkim=pass dmarc=pass"},
		"several":        {"Authentication-Results: MX.csirt.example 1; spf=softfail\r\nReceived: x\r\nauthentication-results: mx.csirt.example; dkim=fail; dkim/1=PASS\r\n", "spf=softfail dkim=pass"},
		"topmost":        {"Authentication-Results: mx.csirt.example; spf=fail\r\nAuthentication-Results: mx.csirt.example; spf=pass\r\n", "spf=fail"},
		"another server": {"Authentication-Results: mx.evil.example; spf=pass; dkim=pass; dmarc=pass\r\n", ""},
		"longer name":    {"Authentication-Results: mx.csirt.example.evil.example; spf=pass\r\n", ""},
		"in a comment":   {"Authentication-Results: mx.evil.example (; mx.csirt.example); spf=pass\r\n", ""},
		"comment first":  {"Authentication-Results: (x; \\) y) mx.csirt.example; spf=neutral\r\n", "spf=neutral"},
		"quoted":         {"Authentication-Results: mx.csirt.example; auth=pass reason=\"; dmarc=pass\"; spf=none\r\n", "spf=none"},
		"nothing done":   {"Authentication-Results: mx.csirt.example; none\r\n", ""},
		"version 2":      {"Authentication-Results: mx.csirt.example 2; spf=pass\r\n", ""},
		"strange result": {"Authentication-Results: mx.csirt.example; spf=<b>; dkim=\r\n", ""},
		"in the text":    {"From: a@x.example\r\n\r\nAuthentication-Results: mx.csirt.example; spf=pass\r\n", ""},
		"not ours":       {"X-Authentication-Results: mx.csirt.example; spf=pass\r\n", ""},
		"folded anew":    {"Subject: x\r\n Authentication-Results: mx.csirt.example; spf=pass\r\n", ""},
	} {
		if got := authVerdicts([]byte(c.header+"\r\ntext\r\n"), ours); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := authVerdicts([]byte(c.header), ""); got != "" {
			t.Errorf("%s: without a name of ours %q is believed", name, got)
		}
	}
	if got := authVerdicts([]byte("Authentication-Results: mx.csirt.example; spf=pass"), ours); got != "" {
		t.Errorf("a field that is cut off gives %q", got)
	}
}

// TestStrangersGiveNoVerdict: no header without our server's name gives a verdict,
// and one with it gives known words only.
func TestStrangersGiveNoVerdict(t *testing.T) {
	t.Parallel()
	words := regexp.MustCompile(`^((spf|dkim|dmarc)=[a-z]+ ?)*$`)
	rapid.Check(t, func(r *rapid.T) {
		piece := rapid.SampledFrom([]string{"Authentication-Results:", "mx.evil.example", ";", " spf=pass", " dkim=fail", "(", ")", "\"", "\\", "\r\n", "\r\n ", "\n", " dmarc=pass", "1", "="})
		body := strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(r, "pieces"), "")
		if got := authVerdicts([]byte(body+"\r\n"), "mx.csirt.example"); got != "" {
			r.Fatalf("%q gives %q", body, got)
		}
		body = "Authentication-Results: mx.csirt.example; " + body
		if got := authVerdicts([]byte(body+"\r\n"), "mx.csirt.example"); !words.MatchString(got) {
			r.Fatalf("%q gives %q", body, got)
		}
	})
}

func FuzzAuthVerdicts(f *testing.F) {
	f.Add([]byte("Authentication-Results: mx.csirt.example; dkim=pass (x;y) header.d=\"x\"\r\n\r\n"))
	f.Add([]byte("Authentication-Results: \\"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got := authVerdicts(raw, "mx.csirt.example"); len(got) > 60 {
			t.Errorf("%q", got)
		}
	})
}
