package owner

import "teiten/internal/phrase"

// The pieces of addresses that are written so that harvesters do not find them.
const (
	openBracket  = `[(\[{<【「]`
	closeBracket = `[)\]}>】」]`
	atWords      = `(?:at|@|a|アット(?:マーク)?|골뱅이)`
	dotWords     = `(?:dot|\.|ドット|점)`
)

var (
	// obfuscated finds addresses that are written so that harvesters do not find
	// them: the local part with its "at", and the domain.
	obfuscated = phrase.Any(`(?i)(%s)\s*([a-z0-9-]+(?:(?:\.|\s*`+openBracket+`\s*`+dotWords+`\s*`+closeBracket+`\s*)[a-z0-9-]+)+)`, phrase.Table{
		{"at in brackets", `[a-z0-9._+-]{1,64}\s*` + openBracket + `\s*` + atWords + `\s*` + closeBracket, "desk (at) isp [dot] example"},
		{"abuse at", `\babuse\s+at`, "abuse at isp.example"},
	})

	// spelled finds addresses of which both signs are words.
	spelled = phrase.Any(`(?i)%s`, phrase.Table{
		{"at and dot", `\b([a-z0-9._+-]{1,64})\s+at\s+([a-z0-9-]+(?:\s+dot\s+[a-z0-9-]+)+)\b`, "desk at isp dot example"},
	})

	// complaintWords mark the lines that name an address for complaints.
	complaintWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"abuse, in many languages", `abus[eoi]`, "for abuse reports"},
		{"abus", `\babus\b`, "Signaler un abus"},
		{"spam", `spam`, "spam reports"},
		{"complaint", `complain`, "Complaints"},
		{"security", `security`, "network security"},
		{"CSIRT", `csirt`, "our CSIRT"},
		{"CERT", `\bcert\b`, "ISP CERT"},
		{"hacking", `hack`, "hacking attempts"},
		{"intrusion", `intrusion`, "intrusions"},
		{"phishing", `phish`, "phishing"},
		{"malware", `malware`, "malware"},
		{"attack", `attack`, "attacks"},
		{"de", `missbrauch`, "Missbrauch melden"},
		{"nl", `misbruik`, "misbruik"},
		{"pl", `nadużyc`, "zgłaszanie nadużyć, nadużycia"},
		{"pl, without marks", `naduzyc`, "naduzycia"},
		{"pt: complaint", `denúncia`, "Denúncias"},
		{"es: complaint", `denuncia`, "denuncias"},
		{"es, pt: claim", `reclama`, "reclamaciones"},
		{"tr: complaint", `şikayet`, "şikayet"},
		{"tr: abuse", `kötüye`, "kötüye kullanım"},
		{"vi: abuse", `lạm dụng`, "lạm dụng"},
		{"vi: complaint", `khiếu nại`, "khiếu nại"},
		{"ru: abuse", `злоупотреб`, "злоупотребления"},
		{"ru: complaint", `жалоб`, "жалобы"},
		{"ru: spam", `спам`, "спам"},
		{"ja: wrongful", `不正`, "不正アクセス"},
		{"ja: nuisance", `迷惑`, "迷惑メール"},
		{"ja: complaint", `苦情`, "苦情窓口"},
		{"ja: report", `通報`, "通報先"},
		{"ja: infringement", `侵害`, "権利侵害"},
		{"ja: spam", `スパム`, "スパム"},
		{"ja: security", `セキュリティ`, "セキュリティ窓口"},
		{"ja: incident", `インシデント`, "インシデント対応"},
		{"zh: abuse", `滥用`, "网络滥用"},
		{"zh: abuse, traditional", `濫用`, "濫用"},
		{"zh: complaint", `投诉`, "投诉"},
		{"zh: complaint, traditional", `投訴`, "投訴"},
		{"zh: appeal, traditional", `申訴`, "申訴"},
		{"zh: report", `举报`, "举报"},
		{"zh: report, traditional", `檢舉`, "檢舉"},
		{"zh: junk", `垃圾`, "垃圾邮件"},
		{"ko: infringement", `침해`, "침해사고"},
		{"ko: hacking", `해킹`, "해킹"},
		{"ko: spam", `스팸`, "스팸"},
		{"ko: report", `신고`, "신고"},
		{"ko: abuse", `악용`, "악용"},
	})

	// otherWords mark addresses for something else.
	otherWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"NOC", `\bnoc\b`, "NOC"},
		{"peering", `peering`, "for peering"},
		{"routing", `routing`, "routing questions"},
		{"technical", `technical`, "technical contact"},
		{"tech", `\btech\b`, "tech"},
		{"sales", `sales`, "sales"},
		{"support", `support`, "customer support"},
		{"billing", `billing`, "billing"},
		{"hostmaster", `hostmaster`, "hostmaster"},
		{"registration", `registr`, "registration"},
		{"WHOIS", `whois`, "WHOIS data"},
		{"DNS", `\bdns\b`, "DNS"},
		{"changes", `changes`, "changes to this record"},
		{"ja: technical", `技術`, "技術担当"},
		{"ko: operation", `운영`, "운영"},
	})

	// customerWords say that a part of the network, or all of it, is in other hands.
	customerWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"customer", `\b(?:customer|tenant|client|lessee|end[- ]?user|subscriber|reseller|downstream)`, "contact the customer"},
		{"lease", `\b(?:leas(?:ed?|ing)|rent(?:ed|al)?|assigned to|delegated to|sub-?(?:allocat|delegat|assign|let)\w*|reassign\w*|used by|operated by|on behalf of)\b`, "leased to Example Hosting"},
		{"de", `\bKunden?\b|vermietet`, "an den Kunden"},
		{"fr, es, pt", `\bclient(?:e|es|s)?\b|louée?|arrendad|alugad`, "do cliente"},
		{"ru", `клиент|аренд`, "клиента"},
		{"ja", `顧客|お客様|利用者|貸与|割り当て先|再割り当て|ユーザー`, "顧客に割り当て"},
		{"ko, zh", `고객|임대|客户|客戶|租用|租赁|用户`, "租用"},
	})

	// The remarks of APNIC about the addresses of incident response teams: the
	// address, and the day of a successful check.
	saidInvalid = phrase.Any(`(?i)([^\s"'<>(),;]+@[^\s"'<>(),;]+)["'>)]*\s+%s`, phrase.Table{
		{"invalid", `(?:is|was|has been|was found)\s+(?:marked\s+|flagged\s+)?(?:as\s+)?` +
			`(?:invalid|not valid|unreachable|undeliverable)\b`, "abuse@isp.example is invalid"},
	})
	saidValidated = phrase.Any(`(?i)([^\s"'<>(),;]+@[^\s"'<>(),;]+)["'>)]*\s+%s(?:\s+on\s+(\d{4}[-/.]?\d{2}[-/.]?\d{2}))?`, phrase.Table{
		{"validated", `(?:is|was|has been)\s+(?:successfully\s+)?validated\b`, "abuse@isp.example was validated on 2026-01-31"},
	})
)
