package notify

import "teiten/internal/phrase"

var (
	// ticketWords are words for a number, as the first group, and the number.
	ticketWords = phrase.Any(`(?i)(%s)\s{0,9}(?:[は:#=]\s{0,9}){0,2}(?:ist\s)?[\[【「『(<]?\s?#?([a-z0-9][a-z0-9_-]{0,39})`, phrase.Table{
		{"ja", `(?:受付|受理|お?問い?合わ?せ|管理|案件|整理|チケット|インシデント|ケース|リクエスト|依頼|申請|照会|事案|対応|通報)` +
			`(?:用)?(?:番号|№|ナンバー|no\.?|id)`, "お問い合わせ番号は【12345】"},
		{"zh", `(?:工单|受理|案件)编?号`, "工单编号: 12345"},
		{"ko", `(?:접수|문의|티켓) ?번호`, "접수번호: 12345"},
		{"de: ticket", `ticketnummer`, "Ihre Ticketnummer ist 12345"},
		{"de: case", `vorgangsnummer`, "Vorgangsnummer: 12345"},
	})

	// ticketWordsEnglish are an English word, as the first group, what makes it
	// the name of a number, and the number.
	ticketWordsEnglish = phrase.Any(`(?i)\b(ticket|case|incident|request|reference|ref\.?|inquiry|enquiry|tracking|issue)`+
		`%s ?[\[("]?#?([a-z0-9][a-z0-9_-]{1,39})`, phrase.Table{
		{"number", `[ -]?(?:id|no\.|number|nr\.?|key|code)(?: is| for (?:this|your) \w{1,20} is)? ?[:#=]{0,2}`, "The ticket number is 12345"},
		{"no", ` ?no ?[:#]`, "Case No: 12345"},
		{"sign", ` ?[:#=]{1,2}`, "Ref: 12345"},
		{"is", ` is #`, "Your request is #12345"},
	})

	// otherNumbers are what looks like the keys of a ticket system and is none.
	otherNumbers = phrase.Any(`(?i)^(?:%s)-?\d`, phrase.Table{
		{"ours", `TT`, "TT-2026-000001"},
		{"vulnerabilities", `CVE|CWE|CAPEC|GHSA|JVN|JVNDB|JVNVU|VU|ZDI|EDB`, "CVE-2026-0001"},
		{"advisories", `DSA|DLA|RHSA|USN|MS\d\d|KB|AA\d\d`, "MS17-010"},
		{"standards", `RFC|ISO|IEC|NIST|SP|FIPS`, "RFC5965"},
		{"character sets", `UTF|EUC`, "UTF-8"},
		{"cryptography", `SHA|MD|AES|RSA|TLS|SSL`, "SHA256"},
		{"network", `SMB|ASN?|IP|IPV|TCP|UDP|PORT`, "AS64500"},
		{"time", `UTC|GMT|JST`, "UTC9"},
		{"systems", `X|WIN|WINDOWS`, "WIN11"},
		{"others", `COVID|HTTP|TA|APT|UNC|CP|GB|BIG`, "APT28"},
	})
)
