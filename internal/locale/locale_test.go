package locale_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"teiten/internal/locale"
)

func load(t *testing.T) *locale.Catalog {
	t.Helper()
	c, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCataloguesHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	c := load(t)
	ja, en := c.Printer(locale.Japanese).Keys(), c.Printer(locale.English).Keys()
	for _, k := range ja {
		if !slices.Contains(en, k) {
			t.Errorf("%s is in Japanese only", k)
		}
	}
	for _, k := range en {
		if !slices.Contains(ja, k) {
			t.Errorf("%s is in English only", k)
		}
	}
}

// verb is a format verb with its argument's number, if it names one.
var verb = regexp.MustCompile(`%(\[([0-9])\])?([a-z%])`)

// verbs returns the verb of each argument, in order of the arguments.
func verbs(text string) string {
	var list [10]string
	n := 0
	for _, m := range verb.FindAllStringSubmatch(text, -1) {
		if m[3] == "%" {
			continue
		}
		if m[2] != "" {
			n = int(m[2][0]-'0') - 1
		}
		list[n] = m[3]
		n++
	}
	return strings.Join(list[:], "")
}

func TestFormatVerbsAgree(t *testing.T) {
	t.Parallel()
	c := load(t)
	ja, en := c.Printer(locale.Japanese), c.Printer(locale.English)
	for _, k := range en.Keys() {
		want := verbs(en.Forms(k)[0])
		for _, form := range append(en.Forms(k), ja.Forms(k)...) {
			if got := verbs(form); got != want {
				t.Errorf("%s: %q takes %q, not %q", k, form, got, want)
			}
			if strings.TrimSpace(form) != form || form == "" {
				t.Errorf("%s: %q is empty or has blanks around it", k, form)
			}
		}
		if (len(en.Forms(k)) > 1) != (en.N(k, 1) != en.N(k, 2) && strings.Contains(en.Forms(k)[0], "%d")) && len(en.Forms(k)) > 1 {
			t.Errorf("%s: plural forms do not differ", k)
		}
	}
}

func TestPrinterFillsInAndFallsBack(t *testing.T) {
	t.Parallel()
	c := load(t)
	ja, en := c.Printer("ja"), c.Printer("xx")
	for _, test := range []struct{ got, want string }{
		{en.Lang(), "en"},
		{ja.T("state.closed"), "終了"},
		{en.T("no.such.key"), "no.such.key"},
		{en.T("letter.approved", "taro"), "approved by taro"},
		{en.T("state.closed", "unused"), "Closed"},
		{en.N("letter.attempts", 1), "1 attempt"},
		{en.N("letter.attempts", 2), "2 attempts"},
		{ja.N("letter.attempts", 1), "送信の試行: 1 回"},
		{ja.T("verdict.hits", "1", "2"), "2 パケット中 1 が一致"},
		{ja.Time(time.Date(2026, 3, 1, 15, 30, 0, 0, time.UTC)), "2026-03-02 00:30+09:00"},
		{en.Time(time.Date(2026, 3, 1, 15, 30, 0, 0, time.UTC)), "2026-03-01 15:30Z"},
		{ja.UTC(time.Date(2026, 3, 1, 15, 30, 5, 0, time.UTC)), "2026-03-01T15:30:05Z"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
