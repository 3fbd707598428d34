package notify

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"teiten/internal/phrase"
)

// maxExplanation is how much of a mail's beginning is searched for what it is
// about. What machines have to say fits in far less.
const maxExplanation = 6_000

// explanation is the beginning of what a mail says before the mail that it
// returns.
func explanation(text string) string {
	above, _ := splitReturned(text[:min(len(text), 2*maxExplanation)])
	return strings.ToValidUTF8(above[:min(len(above), maxExplanation)], "")
}

// unquoted leaves out the lines that a mail quotes.
func unquoted(text string) string {
	if !strings.Contains(text, ">") {
		return text
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		t := strings.TrimLeft(line, " \t")
		if strings.HasPrefix(t, ">") && !strings.HasPrefix(t, ">>>") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

var returnedHead = regexp.MustCompile(`(?m)^(Received: (from|by|\()|Return-Path: ?<|DKIM-Signature: |Delivered-To: ).*$`)

// splitReturned separates what a bounce says from the mail that it returns in
// its text.
func splitReturned(text string) (above, below string) {
	cut := len(text)
	if loc := returnedMark.FindStringIndex(text); loc != nil {
		cut = loc[0]
	}
	if loc := returnedHead.FindStringIndex(text); loc != nil && loc[0] < cut {
		cut = loc[0]
	}
	// A report that is nothing but the returned mail is looked at whole.
	if strings.TrimSpace(text[:cut]) == "" {
		return text, ""
	}
	return text[:cut], text[cut:]
}

var (
	// signatureLine separates a text from its signature (RFC 3676, 4.3); Outlook
	// draws a line above what it quotes.
	signatureLine = regexp.MustCompile(`(?m)^(-- ?|_{10,}|-{20,}|={20,}|\*{20,})[ \t]*$`)
	// quotedHead is the header of a quoted mail as Outlook writes it, without ">".
	quotedHead = phrase.Any(`(?im)^[ \t*]{0,4}(?:%s)[ \t*]*[:：].{0,300}\n(?:.{0,300}\n){0,3}?`+
		`[ \t*]{0,4}(?:sent|date|to|subject|gesendet|an|betreff|envoyé|objet|enviado|asunto|inviato|oggetto|送信日時|日時|宛先|件名|发送时间|主题|寄件日期|보낸 날짜|제목)`+
		`[ \t*]*[:：]`, phrase.Table{
		{"en", `from`, "From: CSIRT\nSent: Monday\n"},
		{"de, sv", `von|från|fra`, "Von: CSIRT\nGesendet: Montag\n"},
		{"romance", `de|da`, "De : CSIRT\nEnvoyé : lundi\n"},
		{"ja", `差出人|送信者`, "差出人: CSIRT\n送信日時: 2026年\n"},
		{"zh", `发件人|寄件者`, "发件人: CSIRT\n发送时间: 2026\n"},
		{"ko", `보낸 ?사람`, "보낸 사람: CSIRT\n제목: x\n"},
	})
	// echoHead is the line above our own words that an acknowledgment repeats.
	echoHead = phrase.Any(`(?im)^[ \t■◆●▼【\[<*=#-]{0,12}(?:%s)[ \t■】\]>*=#-]{0,12}[:：]?[ \t■◆●▼=-]*$`, phrase.Table{
		{"en", `(your|original) (message|request|inquiry|e-?mail|mail|report)( (was|is|as follows|reads))?|(message|request|ticket) (details|content|text)`,
			"Your message:"},
		{"ja", `(お?問い?合わ?せ|ご?連絡|受付|ご?投稿|送信)(の)?(内容|本文|詳細)`, "■お問い合わせ内容"},
		{"de", `ihre (nachricht|anfrage|meldung)`, "Ihre Nachricht:"},
		{"fr", `votre (message|demande)`, "Votre message :"},
		{"zh", `(您的|原始)?(问题|邮件|工单|举报)?(内容|描述)`, "问题描述："},
	})
	// wroteLine is the last line above a quotation.
	wroteLine = phrase.Any(`(?im)^[^\n]{0,200}(?:%s)[^\n]{0,200}[:：][ \t]*$`, phrase.Table{
		{"en", `\bwrote`, "On Mon, 30 Nov 2026 CSIRT wrote:"},
		{"de", `\bschrieb`, "Am 30.11.2026 schrieb CSIRT:"},
		{"fr", `\ba écrit`, "Le 30 novembre, CSIRT a écrit :"},
		{"es, pt", `\bescribió|\bescreveu`, "El lun, CSIRT escribió:"},
		{"it", `\bha scritto`, "Il giorno lun CSIRT ha scritto:"},
		{"nl, sv", `\bschreef|\bskrev`, "Op ma schreef CSIRT:"},
		{"ja", `(のメール|書きました|さんは)`, "2026年11月30日 CSIRT さんは書きました:"},
		{"zh", `写道|寫道`, "CSIRT 于2026年写道："},
		{"ru, pl", `пиш(ет|ете)|написал|napisał`, "30.11.2026, CSIRT пишет:"},
	})
	// deskLine is a line that a ticket system puts around its people's words.
	deskLine = phrase.Any(`(?im)^.{0,60}(?:%s).{0,60}$`, phrase.Table{
		{"en", `(type|write|enter|place)?.{0,10}(your )?(reply|response) above this line|reply above this line`, "##- Please type your reply above this line -##"},
		{"ja", `この(線|行)(より|の)上`, "##- この線より上に返信を入力してください -##"},
		{"de", `antwort (bitte )?(über|oberhalb) diese`, "##- Bitte geben Sie Ihre Antwort oberhalb dieser Zeile ein -##"},
		{"fr, es", `au-dessus de cette ligne|por encima de esta línea|acima desta linha`, "##- Veuillez répondre au-dessus de cette ligne -##"},
	})
)

// ownWords is what a mail says in its writer's own words: without the mail that
// it returns or quotes and without the signature. Only these words say what a mail is.
func ownWords(text string) string {
	own := unquoted(explanation(text))
	for _, pattern := range []*regexp.Regexp{quotedHead, wroteLine, signatureLine, echoHead} {
		// What stands above everything is no quotation but the way of a desk to begin.
		if loc := pattern.FindStringIndex(own); loc != nil && strings.TrimSpace(deskLine.ReplaceAllString(own[:loc[0]], "")) != "" {
			own = own[:loc[0]]
		}
	}
	return strings.TrimSpace(deskLine.ReplaceAllString(own, ""))
}

// ordinal is what stands before the dot of "5. Dezember".
var ordinal = regexp.MustCompile(`(^| )\d{1,2}$`)

// maxSentences is how many sentences of a mail are read one by one.
const maxSentences = 200

// sentences cuts a text at the ends of its sentences and paragraphs. A line
// that goes on in the next is one with it.
func sentences(text string) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if s := strings.Join(strings.Fields(b.String()), " "); s != "" && len(out) < maxSentences {
			out = append(out, s)
		}
		b.Reset()
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		for j, r := range line {
			b.WriteRune(r)
			after := line[j+utf8.RuneLen(r):]
			if strings.ContainsRune("。！？", r) || strings.ContainsRune(".!?", r) && (after == "" || after[0] == ' ') && !ordinal.MatchString(line[:j]) {
				flush()
			}
		}
		if line == "" || i+1 == len(lines) || endsLine(line) {
			flush()
			continue
		}
		b.WriteByte(' ')
	}
	flush()
	return out
}

// wrapColumn is how long a line is at least that its writer's program broke.
const wrapColumn = 45

// endsLine reports whether a line ends what it says: a greeting, a field or a
// line that is shorter than one that was broken.
func endsLine(line string) bool {
	return strings.HasSuffix(line, ",") && len(line) < 60 || utf8.RuneCountInString(line) < wrapColumn && !wide(line) ||
		wide(line) && (utf8.RuneCountInString(line) < wrapColumn/3 || strings.HasSuffix(line, "様") || strings.HasSuffix(line, "です"))
}

// wide reports whether a line is mostly of wide letters.
func wide(line string) bool { return utf8.RuneCountInString(line)*2 < len(line) }

// substantive leaves out the sentences with which any mail begins: greeting,
// thanks, who writes.
func substantive(list []string) []string {
	for len(list) > 0 && (utf8.RuneCountInString(list[0]) < 3 || courtesy.MatchString(list[0])) {
		list = list[1:]
	}
	return list
}

// courtesy are the sentences with which people and machines begin alike.
var courtesy = phrase.Any(`(?i)^\W{0,8}(?:%s)\W{0,8}$`, phrase.Table{
	{"greeting", `(dear|hello|hi|hey|greetings|good (morning|day|afternoon|evening)|to whom it may concern)\b[^.,]{0,60}`, "Dear Example CSIRT,"},
	{"thanks", `(many )?(thank you|thanks)( very much| so much| again)?( (for|to)\b[^.,]{0,90})?`, "Thank you for your report."},
	{"who writes", `(this is|you have reached|we are) (the )?[^.]{0,60}(team|desk|support|department|noc|cert|csirt|service)( (of|at) [^.]{0,40})?`,
		"This is the abuse desk of Example ISP."},
	{"de", `(sehr geehrte|guten tag|hallo|liebe[rs]?)\b[^.,]{0,60}|(vielen |herzlichen )?dank( für[^.,]{0,60})?`, "Sehr geehrte Damen und Herren,"},
	{"fr", `(bonjour|madame|monsieur|cher)\b[^.,]{0,60}|(nous vous remercions|merci)( (pour|de)[^.,]{0,60})?`, "Bonjour,"},
	{"es, pt, it", `(hola|estimad|buenos|ol[áa]|prezad|caro|gentile|buongiorno|salve)[^.,]{0,60}|(muchas |muito )?(gracias|obrigad[oa]|grazie)( (por|pelo|pela|per)[^.,]{0,60})?`, "Estimado cliente:"},
	{"nl, sv", `(beste|geachte|hej|hei)\b[^.,]{0,60}|(dank u|bedankt|tack|takk)( (voor|för|for)[^.,]{0,60})?`, "Beste heer,"},
	{"ru, pl", `(здравствуйте|уважаем|добрый|dzień dobry|witam|szanown)[^.,]{0,60}|(спасибо|благодарим|dziękujemy)( [^.,]{0,60})?`, "Здравствуйте!"},
	{"ja: name", `[^。]{0,60}(様|御中|各位|ご担当者様?)`, "サンプル CSIRT ご担当者様"},
	{"ja: greeting", `(いつも|平素)?(より|は)?[^。]{0,30}(お世話になって(おり|い)ます|お世話になります|失礼いたします)`, "いつもお世話になっております。"},
	{"ja: thanks", `[^。]{0,60}(ありがとうございま(す|した)|御礼申し上げます)`, "お問い合わせいただき、誠にありがとうございます。"},
	{"ja: who writes", `[^。]{0,40}(窓口|サポート|センター|デスク|担当|チーム|係|課|部|と申し|事務局)(の[^。]{1,12})?(です|でございます|ます)`, "サンプルネット abuse 窓口です。"},
	{"zh", `(您好|你好|尊敬的|亲爱的)[^。，,]{0,30}|(非常)?(感谢|谢谢|感謝|謝謝)(您|你)?的?[^。，,]{0,30}`, "尊敬的用户："},
	{"ko", `(안녕하세요|안녕하십니까)[^.,]{0,40}|고객님|[^.]{0,40}(감사합니다|감사드립니다)`, "안녕하세요."},
})
