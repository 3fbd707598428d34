package notify_test

import (
	"bytes"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/notify"
)

// TestEveryLetterSaysWhoWeAre, how to check us by another way and what we never
// ask for, in the words of the settings where there are any, and has the label
// of its case in the first line and, readable as it is, at the subject's end.
func TestEveryLetterSaysWhoWeAre(t *testing.T) {
	t.Parallel()
	config := testConfig
	config.Authority = map[string]string{"ja": "サンプル法により指定された組織です。", "en": "We are the team that the Example Act names."}
	config.Verify = map[string]string{"ja": "公式の一覧をご覧ください。", "en": "See the official list."}
	config.TLP = casedb.TLPGreen
	set, err := notify.NewComposer(config, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	never := map[string]string{"ja": "金銭やパスワードをお求めしたり", "en": "never ask you for money or passwords"}
	for _, name := range notify.LetterNames() {
		t.Run(name.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := specOf(name)
			c := w.openCase(s)
			if name.Reason != casedb.ReasonFirst {
				w.told(c, s)
			}
			m := w.letter(c, s, name.Reason)
			for _, tt := range []struct {
				composer *notify.Composer
				own      casedb.TLP
				label    casedb.TLP
				says     []string
			}{
				{w.composer, "", casedb.DefaultTLP, nil},
				{set, "", casedb.TLPGreen, []string{config.Authority[name.Language], config.Verify[name.Language]}},
				{set, casedb.TLPRed, casedb.TLPRed, nil},
			} {
				w.exec(`update cases set tlp = $1`, tt.own)
				d, err := tt.composer.Preview(t.Context(), w.db, m, epoch)
				if err != nil {
					t.Fatal(err)
				}
				header, _, _ := bytes.Cut(d.Raw, []byte("\r\n\r\n"))
				if !strings.HasSuffix(d.Subject, " "+string(tt.label)) || !strings.HasPrefix(d.Body, string(tt.label)+"\n\n") || !bytes.Contains(header, []byte(tt.label)) {
					t.Errorf("%s: subject %q, body %.40q", tt.label, d.Subject, d.Body)
				}
				for _, text := range append(tt.says, never[name.Language]) {
					if strings.Count(d.Body, text) != 1 {
						t.Errorf("%d times %q", strings.Count(d.Body, text), text)
					}
				}
			}
		})
	}
}

// TestLabels are those of TLP 2.0, and none of version 1.
func TestLabels(t *testing.T) {
	t.Parallel()
	config := testConfig
	for _, label := range []casedb.TLP{"TLP:WHITE", "AMBER", "tlp:amber", "TLP:AMBER STRICT"} {
		if config.TLP = label; config.Check() == nil {
			t.Errorf("%s passes", label)
		}
	}
	for i, label := range casedb.TLPs() {
		for j, bound := range casedb.TLPs() {
			if label.Within(bound) != (i <= j) {
				t.Errorf("%s within %s: %v", label, bound, label.Within(bound))
			}
		}
	}
}
