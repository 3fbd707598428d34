package finding

import "teiten/internal/phrase"

// scannedBy is a line that a program put below the mail.
var scannedBy = phrase.Any(`(?i)%s`, phrase.Table{
	{"scanned", `(this|the) (e-?mail|message)\b.{0,60}\b(scanned|checked|virus|malware)`, "This e-mail has been scanned"},
	{"virus-free", `virus[- ]?free`, "Virus-free."},
	{"no virus found", `virus found in this`, "No virus found in this message."},
	{"AVG", `checked by avg`, "Checked by AVG"},
	{"ja: this mail", `本メール.{0,30}(ウイルス|ウィルス)`, "本メールはウイルスの検査を受けています"},
	{"ja: checked", `(ウイルス|ウィルス)チェック済`, "ウイルスチェック済"},
})

var (
	// separator is a line below which another mail stands.
	separator = phrase.Any(`(?i)^(%s)`, phrase.Table{
		{"words in a line", `[-=_*~#─━<\[【(]{1,80}\s*(以下、?\s*)?` +
			`(original message|original mail|forwarded (message|by)|reply message|` +
			`元のメッセージ|元のメール|オリジナルメッセージ|転送メッセージ|転送された?メッセージ|引用|原文|` +
			`ursprüngliche nachricht|weitergeleitete nachricht|message d'origine|message original|message transféré|` +
			`mensaje original|messaggio originale|oorspronkelijk bericht|原始邮件|原始郵件|원본 메시지)`, "-----Original Message-----"},
		{"line", `_{20,}$`, "________________________________"},
		{"forwarded", `begin forwarded message:`, "Begin forwarded message:"},
		{"de: forwarded", `anfang der weitergeleiteten`, "Anfang der weitergeleiteten Nachricht:"},
		{"fr: forwarded", `début du message`, "Début du message transféré :"},
	})

	// otherHeader is a line of the header that a mail program quotes, other than
	// the author's.
	otherHeader = phrase.Any(`(?i)^\W{0,3}(%s)\s?\*{0,2}\s?:`, phrase.Table{
		{"en", `sent|date|to|cc|subject|reply-to`, "Subject:"},
		{"de", `gesendet|datum|an|betreff`, "Betreff:"},
		{"fr", `envoyé|date|à|objet`, "Objet :"},
		{"es", `enviado( el)?|fecha|para|asunto`, "Asunto:"},
		{"it", `inviato|data|oggetto`, "Oggetto:"},
		{"nl", `verzonden|aan|onderwerp`, "Onderwerp:"},
		{"ja", `送信日時|日時|送信日|宛先|件名`, "件名:"},
		{"zh", `发送时间|收件人|主题`, "主题:"},
		{"zh, traditional", `寄件日期|收件者|主旨`, "主旨:"},
		{"ko", `보낸 날짜|받는 사람|제목`, "제목:"},
	})

	// wroteLine says who wrote what stands below.
	wroteLine = phrase.Any(`(?i)(%s)`, phrase.Table{
		{"wrote", `\b(wrote|said|writes|schrieb|écrit|a écrit|escribió|ha scritto|schreef|skrev|escreveu|写道)\s?:$`, "On Monday, the desk wrote:"},
		{"de, nl, sv: the verb before the name", `^(am|den|op) .*\b(schrieb|schreef|skrev)\b.*:$`, "Am 1.12.2026 schrieb Max Muster:"},
		{"ja: wrote", `((さん|様|氏|>|\w)(は|が|から).{0,60}|に.{0,60}(さん|様|氏|>)(は|が)?)` +
			`(書きました|書いた|書かれました|送信しました)\s?[::。]?$`, "山田さんは書きました:"},
		{"ja: day", `^\d{4}[年/.-]\d{1,2}[月/.-]\d{1,2}日?.*(@.*|のメール|wrote)\s?:$`, "2026年12月1日 desk@isp.example:"},
		{"ja: mail", `のメール:$`, "山田様のメール:"},
	})
)
