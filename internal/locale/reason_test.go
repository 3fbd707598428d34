package locale_test

import (
	"strings"
	"testing"

	"teiten/internal/locale"
	"teiten/internal/reason"
)

// TestEveryReasonHasWords: in both languages, with the arguments that its code
// takes, each of which is shown.
func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, lang := range locale.Languages() {
		p := c.Printer(lang)
		for _, code := range reason.Codes() {
			shape := reason.Shape(code)
			if forms := p.Forms("why." + string(code)); len(forms) != 1 || locale.Verbs(forms[0]) != len(shape) {
				t.Errorf("%s in %s: %q for %d arguments", code, lang, forms, len(shape))
				continue
			}
			var args []string
			for i := range shape {
				args = append(args, "<Argument "+string(rune('A'+i))+">")
			}
			said := p.Reasons(reason.Of(code, args...))
			for _, a := range args {
				if !strings.Contains(said, a) {
					t.Errorf("%s in %s does not show %s: %q", code, lang, a, said)
				}
			}
		}
		for kind, words := range reason.Words() {
			for _, word := range words {
				if !p.Has("why." + string(kind) + "." + word) {
					t.Errorf("%s %s has no words in %s", kind, word, lang)
				}
			}
		}
	}
}

func TestReasonsAreSaid(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, test := range []struct {
		why    reason.List
		en, ja string
	}{
		{nil, "", ""},
		{reason.Of(reason.Acknowledged, "A", "B").And(reason.ContactReplaced), "sources are now acknowledged scanners: A, B; the registry now names another contact",
			"送信元が調査目的スキャナーのため: A、B、登録情報の連絡先が変わったため"},
		{reason.Typed("100 % sure; why. <b>"), "100 % sure; why. <b>", "100 % sure; why. <b>"},
		{reason.Of(reason.NamedBeside, "Desk (D-EX)", "noc", "technical", "made-up").And(reason.OfSeveralMarked).And(reason.ValidatedOn, "2026-02-09"),
			"The registry names Desk (D-EX) for abuse, besides noc, technical, made-up; of its addresses this one is marked for abuse. The registry validated the address on 2026-02-09.",
			"登録情報で Desk (D-EX) が abuse 担当とされています (ほかの役割: NOC、技術担当、made-up)。複数あるアドレスのうち、abuse 用と示されているものです。登録機関が 2026-02-09 にこのアドレスの有効性を確認しています。"},
		{reason.Of(reason.OtherNoRole, ""), "The address is not for abuse; it stands at an entity without a name, which has no role.",
			"abuse 用のアドレスではありません。名称のない連絡先 (役割の記載なし) の登録情報にあります。"},
		{reason.Of(reason.Remark, "x %s The registry validated the address on 2024").And(reason.Invalid),
			"A remark on the network says: “x %s The registry validated the address on 2024”. The registry says that the address is invalid.",
			"ネットワークの備考に「x %s The registry validated the address on 2024」とあります。登録機関によると、このアドレスは無効です。"},
		{reason.Of(reason.AllRejected).And(reason.WhoisSilent, "JPNIC"), "The answer names only addresses that must not be written to. JPNIC WHOIS did not answer.",
			"登録情報にあるのは、送信してはならないアドレスだけです。JPNIC WHOIS からの応答がありませんでした。"},
		{reason.Of(reason.NotMailable, reason.MailMasked), "The address cannot be written to: it is masked.", "このアドレスには送信できません: 伏せ字になっています。"},
		{reason.Of(reason.Directory, "3", "as", "64500", "taro"), "entry 3 of the directory, for as 64500, by taro", "「連絡先」の項目 3 (対象: AS 64500、登録: taro)"},
		{reason.Typed("Wait for the provider.").And(reason.ContactFirst).And(reason.ContactApproval),
			"Wait for the provider. the first mail to this contact; the first mail to the contact needs approval",
			"Wait for the provider. この連絡先への最初のメール、連絡先の初回承認が必要なため"},
		{reason.Typed("事業者の返事を待つ。").And(reason.ContactFirst), "事業者の返事を待つ。the first mail to this contact", "事業者の返事を待つ。この連絡先への最初のメール"},
		{reason.Of(reason.Directory, "3", "as", "64500", "taro").And(reason.Invalid),
			"entry 3 of the directory, for as 64500, by taro. The registry says that the address is invalid.",
			"「連絡先」の項目 3 (対象: AS 64500、登録: taro)。登録機関によると、このアドレスは無効です。"},
		{reason.Of("made-up", "x"), "made-up: x", "made-up: x"},
		{reason.Of(reason.Directory, "3"), "directory: 3", "directory: 3"},
	} {
		if got := c.Printer("en").Reasons(test.why); got != test.en {
			t.Errorf("%v\ngot  %s\nwant %s", test.why, got, test.en)
		}
		if got := c.Printer("ja").Reasons(test.why); got != test.ja {
			t.Errorf("%v\ngot  %s\nwant %s", test.why, got, test.ja)
		}
	}
}
