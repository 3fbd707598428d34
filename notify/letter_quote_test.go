package notify_test

import (
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	in := casedb.Inbound{Sender: "noc@isp.example", ReceivedAt: time.Date(2026, 11, 27, 1, 20, 30, 0, time.UTC),
		Text: "\nどの機器でしょうか。  \n\n> お手数ですが\n>> 前の前\n-- \nNOC\n"}
	for _, test := range []struct{ language, country, want string }{
		{"ja", "JP", "2026-11-27 10:20 (JST) noc@isp.example 様:\n> どの機器でしょうか。\n>\n>> お手数ですが\n>>> 前の前\n"},
		{"en", "NL", "On 2026-11-27 02:20 (Amsterdam time), noc@isp.example wrote:\n> どの機器でしょうか。\n>\n>> お手数ですが\n>>> 前の前\n"},
		{"en", "US", "On 2026-11-27 01:20 (UTC), noc@isp.example wrote:\n> どの機器でしょうか。\n>\n>> お手数ですが\n>>> 前の前\n"},
	} {
		if got := notify.Quote(in, test.language, test.country); got != test.want {
			t.Errorf("%s %s: got\n%s, want\n%s", test.language, test.country, got, test.want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("text\n> quoted\n-- \nme", "a@isp.example", "ja", "JP")
	f.Add(strings.Repeat("\n", 300)+"\r\r\u2028x", "\n.\n", "en", "")
	f.Fuzz(func(t *testing.T, text, sender, language, country string) {
		got := notify.Quote(casedb.Inbound{Text: casedb.Clean(text, 200_000), Sender: sender}, language, country)
		if len(got) > 11_000 {
			t.Errorf("%d bytes", len(got))
		}
		_, rest, _ := strings.Cut(got, "\n")
		for line := range strings.Lines(rest) {
			if line[0] != '>' {
				t.Errorf("line %q", line)
			}
		}
	})
}

func TestQuotesAreBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"lines": strings.Repeat("x\n", 5000), "line": strings.Repeat("語", 60_000), "long lines": strings.Repeat(strings.Repeat("x", 900)+"\n", 50)} {
		got := notify.Quote(casedb.Inbound{Text: text, Sender: "a@isp.example\r\nBcc: x@y.example"}, "en", "")
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if len(got) > 11_000 || len(lines) > 202 || lines[len(lines)-1] != "> [...]" || len(lines) < 3 {
			t.Errorf("%s: %d bytes in %d lines", name, len(got), len(lines))
		}
		for _, line := range lines[1:] {
			if !strings.HasPrefix(line, ">") {
				t.Errorf("%s: line %q", name, line)
			}
		}
	}
}
