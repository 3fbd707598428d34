package finding_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"teiten/internal/finding"
)

// TestSuggest reads made-up mails, separated by lines of equals signs: what is
// expected, then the text.
func TestSuggest(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for part := range strings.SplitSeq(string(b), "\n====\n") {
		want, text, ok := strings.Cut(strings.TrimSpace(part), "\n")
		if !ok {
			t.Fatalf("no text: %q", part)
		}
		n++
		s := finding.Suggest(text)
		got := fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s", s.Result, s.Device, strings.TrimSpace(s.Product+" "+s.Version), s.Support, s.Malware, s.Entry, strings.Join(s.Actions, ","))
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s\n%q", text, got, want, s.Words)
		}
		if (len(s.Words) == 0) != (want == "unknown||||||") {
			t.Errorf("words %q for %s", s.Words, want)
		}
	}
	if n < 60 {
		t.Errorf("only %d mails", n)
	}
}

func FuzzSuggest(f *testing.F) {
	f.Add("感染した Windows 7 を初期化しました。\n> quoted\nOn Mon, X wrote:\n> WannaCry")
	f.Add("no infection was found; ports 445 closed \xff\xfe ｳｨﾙｽ")
	f.Fuzz(func(t *testing.T, text string) {
		s := finding.Suggest(text)
		if len(s.Words) > 40 {
			t.Errorf("%d words", len(s.Words))
		}
	})
}
