package finding_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/finding"
)

// theirWords and ourWords are what the mails of these tests are put together of.
const (
	theirWords = "Thank you. We have changed the password of the router.\n"
	ourWords   = "To the network administrators\n\nWe are Example CSIRT. Packets that the worm WannaCry sends come from your host,\nwhich is infected. It spread through an unpatched Windows 7.\n" +
		"Please find it, reinstall it, close port 445, and tell us.\nこの端末は Mirai に感染しています。初期化しました。\n"
)

// want is what theirWords suggest, and nothing more.
func onlyTheirs(t *testing.T, name string, s finding.Suggestion, want string) {
	t.Helper()
	got := fmt.Sprintf("%s|%s|%s|%s|%s", s.Result, s.Device, s.Malware, s.Entry, strings.Join(s.Actions, ","))
	if got != want {
		t.Errorf("%s: %s %q", name, got, s.Words)
	}
}

const (
	theirFinding = "unknown|router|||password"
	noFinding    = "unknown||||"
)

// TestQuotedMailsSuggestNothing goes through the ways of mail programs to quote,
// above and below what the author wrote.
func TestQuotedMailsSuggestNothing(t *testing.T) {
	t.Parallel()
	const us = "CSIRT <csirt@teiten.example>"
	for _, begin := range []string{
		"-----Original Message-----\n", "----- Original Message -----\nDate: x\n", "-----Ursprüngliche Nachricht-----\n", "-----Message d'origine-----\n", "-----Mensaje original-----\n",
		"________________________________\n", "---------- Forwarded message ---------\n", "Begin forwarded message:\n", "----- 元のメッセージ -----\n", "-----元のメール-----\n",
		"＜元のメッセージ＞\n", "======== 以下、原文 ========\n", "---------- 引用 ----------\n", "-------- 転送メッセージ --------\n",
		"From: " + us + "\nSent: Friday, 20 November 2026 10:00\n", "*From:* " + us + "\n*Sent:* Friday\n", "Von: " + us + "\nGesendet: Freitag, 20. November 2026 10:00\nAn: abuse\n",
		"De : " + us + "\nEnvoyé : vendredi 20 novembre 2026\nÀ : abuse\n", "De: " + us + "\nEnviado el: viernes\nPara: abuse\n", "差出人: " + us + "\n送信日時: 2026年11月20日\n", "差出人：CSIRT\n",
		"보낸 사람: " + us + "\n보낸 날짜: x\n", "发件人: " + us + "\n发送时间: x\n",
		"On Fri, 20 Nov 2026 at 10:00, " + us + " wrote:\n", "On Fri, Nov 20, 2026 at 10:00 AM Example Computer Security Incident Response Team <\ncsirt@teiten.example> wrote:\n",
		"Am 20.11.2026 um 10:00 schrieb CSIRT:\n", "Am Fr., 20. Nov. 2026 um 10:00 Uhr schrieb CSIRT <\ncsirt@teiten.example>:\n", "Le ven. 20 nov. 2026 à 10:00, " + us + " a écrit :\n",
		us + " wrote:\n", "CSIRT様 wrote:\n", "2026年11月20日(金) 10:00 " + us + ":\n", "2026年11月20日(金) 10:00 Example CSIRT サンプル <\ncsirt@teiten.example>:\n", "2026/11/20 10:00、CSIRT のメール:\n",
		"CSIRT さんは書きました:\n", "CSIRTさんは書きました\n", "\"CSIRT\" <csirt@teiten.example> さんは 2026/11/20 に書きました:\n", "2026年11月20日 10:00 に CSIRT さんが書いた:\n",
	} {
		onlyTheirs(t, begin, finding.Suggest(theirWords+"\n"+begin+"\n"+ourWords), theirFinding)
		onlyTheirs(t, begin+" (CRLF)", finding.Suggest(strings.ReplaceAll(theirWords+"\n"+begin+"\n"+ourWords, "\n", "\r\n")), theirFinding)
		marked := regexp.MustCompile(`(?m)^`).ReplaceAllString(ourWords, "> ")
		onlyTheirs(t, begin+" (marked, above)", finding.Suggest(begin+"\n"+marked+"\n\n"+theirWords), theirFinding)
	}
	for _, mark := range []string{"> ", ">", ">> ", "＞ ", "| ", ": ", "  > ", "I> ", "csirt> ", "» ", "》", "≫ ", "\u00a0> ", ">\t", "\u200b> ", "&gt; "} {
		marked := regexp.MustCompile(`(?m)^`).ReplaceAllString(ourWords, mark)
		onlyTheirs(t, "above "+mark, finding.Suggest(theirWords+"\n"+marked), theirFinding)
		onlyTheirs(t, "below "+mark, finding.Suggest(marked+"\n"+theirWords), theirFinding)
		lines := strings.SplitAfter(marked, "\n")
		onlyTheirs(t, "between "+mark, finding.Suggest(strings.Join(lines[:4], "")+"\n"+theirWords+"\n"+strings.Join(lines[4:], "")), theirFinding)
	}
}

// TestOurWordsSuggestNothing: our letter comes back without a mark, broken
// elsewhere, behind unknown marks.
func TestOurWordsSuggestNothing(t *testing.T) {
	t.Parallel()
	joined := strings.ReplaceAll(ourWords, ",\n", ", ")
	broken := strings.ReplaceAll(ourWords, " which", "\nwhich")
	for _, sent := range []string{ourWords, joined, broken, strings.ReplaceAll(ourWords, "\n", "\r\n"), regexp.MustCompile(`(?m)^`).ReplaceAllString(ourWords, "% ")} {
		onlyTheirs(t, sent, finding.Suggest(theirWords+"\n"+sent, "another", ourWords), theirFinding)
		onlyTheirs(t, sent, finding.Suggest(sent+"\n"+theirWords, ourWords), theirFinding)
	}
	// A word of ours that they write themselves is theirs.
	onlyTheirs(t, "theirs", finding.Suggest("WannaCry\n", ourWords), "infected||WannaCry||")
}

// TestDenialsSuggestNoInfection: what is not, may be, is planned or said by
// others is no finding.
func TestDenialsSuggestNoInfection(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"The host is not infected.", "This host isn't infected with WannaCry.", "It is unlikely to be infected.", "The scan for WannaCry was negative.", "WannaCry: not found", "We ruled out WannaCry.",
		"Nobody here has been compromised.", "We will reinstall the server.", "We are going to reinstall the server.", "Is this Mirai?", "Could it be WannaCry?", "You say it is infected with WannaCry.",
		"Your mail says that WannaCry was found.", "Should the password be changed?", "We asked the customer to reinstall it.", "There is no anti-virus software on it.",
		"This long line of a mail is broken by the mail program: we did not\nreinstall the host.", "この e-mail はウイルスチェック済みです。", "Thank you.\n-- \nWindows 7 and Mirai experts", "This email has been checked for viruses by Avast: no virus found",
		"WannaCryではなく、誤検知でした。", "マルウェア感染の有無を調査します。", "感染しているか確認します。", "感染しているかどうか調査中です。", "初期化していただくよう顧客に依頼しました。", "パスワードを変更するよう依頼しました。",
		"ウイルススキャンの結果、検知0件でした。", "ウイルス感染：無", "再インストール未実施です。", "感染の可能性は低いと判断しました。",
	} {
		onlyTheirs(t, text, finding.Suggest(text), noFinding)
	}
	for _, text := range []string{"We found no malware.", "We looked for WannaCry and found no malware.", "感染は確認されませんでした。", "Mirai についても調べましたが、感染の事実はありませんでした。", "不審な点はございませんでした。"} {
		onlyTheirs(t, text, finding.Suggest(text), "nothing||||")
	}
	for text, want := range map[string]string{
		"We removed WannaCry. A second scan found no malware.": "infected||WannaCry||cleaned",
		"Mirai に感染しておりましたので駆除しました。駆除後、感染は確認されませんでした。":          "infected||Mirai||cleaned",
		"It was not ours, but we reinstalled the router.":      "unknown|router|||reinstalled",
		"As you asked, we changed the password.":               "unknown||||password",
		"お客様に確認したところ、WannaCry に感染していたとのことです。":                  "infected||WannaCry||",
		"お客様の端末は長らく更新されておりませんでしたが、このたび調査した結果、WannaCry に感染し\nていたことが判明しました。": "infected||WannaCry||",
	} {
		onlyTheirs(t, text, finding.Suggest(text), want)
	}
}

// TestLongMails: the author's words count wherever they stand, and no mail takes
// long.
func TestLongMails(t *testing.T) {
	t.Parallel()
	onlyTheirs(t, "below", finding.Suggest(strings.Repeat("> 当該の端末は感染しています。\n", 400)+"\n"+theirWords), theirFinding)
	onlyTheirs(t, "Japanese", finding.Suggest("WannaCry に感染していました。\n"+strings.Repeat("感染", 10_000)), "infected||WannaCry||")
	for _, s := range []string{"no ", "windows ", "\non ", "on a@b 2026\n", "abababababababac\n", "On x wrote:\n> a\n", "From: x\n", "感染", "a\u0301", "\ufdfa", "さん、"} {
		begin := time.Now()
		finding.Suggest(strings.Repeat(s, 1<<20/len(s)), strings.Repeat("ab", 1<<19))
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%q takes %v", s, took)
		}
	}
}
