package explain

import (
	"slices"
	"strings"
	"testing"
)

// Every sentence has both languages with the same values, and is recognised by
// what it says, whatever the values are.
func TestEveryWhyHasAJapaneseForm(t *testing.T) {
	t.Parallel()
	hostile := "Desk for abuse, beside <b>{roles}</b>, which is “x”. The registry has validated it; it is one of several addresses, by"
	for w := range whyCount {
		names := func(s string) []string {
			var list []string
			for _, part := range strings.Split(s, "{")[1:] {
				name, _, _ := strings.Cut(part, "}")
				list = append(list, name)
			}
			return list
		}
		en := names(whyTexts[w].en)
		ja := names(whyTexts[w].ja)
		if whyTexts[w].en == "" || whyTexts[w].ja == "" || !slices.Equal(slices.Sorted(slices.Values(en)), slices.Sorted(slices.Values(ja))) {
			t.Errorf("%d: %q and %q", w, whyTexts[w].en, whyTexts[w].ja)
			continue
		}
		values := make([]string, len(en))
		for i, name := range en {
			values[i] = map[string]string{"day": "2026-02-09", "registry": "JPNIC", "roles": "made-up", "scope": "new", "user": "taro", "entry": "7", "address": "abuse@isp.example"}[name]
			if values[i] == "" {
				values[i] = hostile
			}
		}
		said, want, pairs := w.Say(values...), whyTexts[w].ja, []string(nil)
		for i, name := range en {
			pairs = append(pairs, "{"+name+"}", values[i])
		}
		want = strings.NewReplacer(pairs...).Replace(want)
		if w >= whyFirstAfter {
			said, want = JoinWhy(WhyNamed.Say(hostile), said), strings.Replace(whyTexts[WhyNamed].ja, "{entity}", hostile, 1)+want
		}
		if got := ContactReason(said, "ja"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", said, got, want)
		}
		if got := ContactReason(said, "en"); got != said {
			t.Errorf("in English: %s", got)
		}
	}
}

func TestContactReasonInJapanese(t *testing.T) {
	t.Parallel()
	for why, want := range map[string]string{
		"The registry names Desk (D-EX) for abuse, beside noc, technical, made-up; of its addresses this one is marked for abuse. The registry validated the address on 2026-02-09.": "登録情報で Desk (D-EX) が abuse 担当とされています (ほかの役割: NOC、技術担当、made-up)。複数あるアドレスのうち、abuse 用と示されているものです。登録機関が 2026-02-09 にこのアドレスの有効性を確認しています。",
		"The address is not for abuse; it stands at an entity without a name, which has no role.":                                                                                    "abuse 用のアドレスではありません。名称のない連絡先 (役割の記載なし) の登録情報にあります。",
		"A remark on the network says: “x The registry validated the address on 2024”. The registry says that the address is invalid.":                                               "ネットワークの備考に「x The registry validated the address on 2024」とあります。登録機関によると、このアドレスは無効です。",
		"A remark on the network says: “abuse: <desk@example.net>”.":                                                                                                                 "ネットワークの備考に「abuse: <desk@example.net>」とあります。",
		"The answer names only addresses that must not be written to. JPNIC WHOIS did not answer.":                                                                                   "登録情報にあるのは、送付してはならないアドレスだけです。JPNIC WHOIS からの応答がありませんでした。",
		"JPNIC WHOIS names it under [Abuse].":             "JPNIC WHOIS の [Abuse] に記載されています。",
		"The address cannot be written to: it is masked.": "このアドレスには送付できません: 伏せ字になっています。",
		"entry 3 of the directory, for as 64500, by taro": "「連絡先」の項目 3 (対象: AS 64500、登録: taro)",
		"abuse@isp.example bounced":                       "abuse@isp.example 宛てのメールが不達となったため",
		"The owner told us by telephone.":                 "The owner told us by telephone.",
		"電話で確認しました。":                                      "電話で確認しました。",
		"":                                                "",
		"Somebody says. The registry has validated it.":   "Somebody says. The registry has validated it.",
	} {
		if got := ContactReason(why, "ja"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", why, got, want)
		}
	}
}

// Where an answer's own words stand inside a sentence, they stay what they are.
func FuzzContactReason(f *testing.F) {
	f.Add("Desk", uint8(0))
	f.Add("x”. The registry has validated it.", uint8(1))
	f.Add("x; it is one of several addresses.", uint8(2))
	open := []Why{WhyNamed, WhyPlaceholder, WhyRemark, WhyRemarkForbids, WhyOtherNoRole, WhyBeginsAbuseNoRole}
	f.Fuzz(func(t *testing.T, value string, n uint8) {
		w := open[int(n)%len(open)]
		name := "entity"
		if strings.Contains(whyTexts[w].en, "{line}") {
			name = "line"
		}
		want := strings.Replace(whyTexts[w].ja, "{"+name+"}", value, 1)
		if got := ContactReason(w.Say(value), "ja"); got != want && value != NamelessEntity {
			t.Errorf("%q: got %q, want %q", w.Say(value), got, want)
		}
		ContactReason(value, "ja")
	})
}
