package notify

import (
	"regexp"

	"teiten/internal/phrase"
)

// wordRule says what words in a bounce mean.
type wordRule struct {
	reason string
	status string // for bounces without a code (RFC 3463)
	dead   bool   // the address will never take mail
	words  *regexp.Regexp
}

// wordRules are tried in order: the first that matches decides. Refusals of
// content or sender come before unknown users, because a refusal often names
// the user too; a full mailbox proves that the user exists.
var wordRules = []wordRule{
	{"policy", "5.7.1", false, limitWords},
	{"full", "5.2.2", false, fullWords},
	{"size", "5.3.4", false, sizeWords},
	{"moved", "5.1.6", true, movedWords},
	{"disabled", "5.2.1", true, disabledWords},
	{"host", "5.1.2", true, dnsWords},
	{"unknown", "5.1.1", true, unknownWords},
	{"host", "5.1.2", true, hostWords},
	{"route", "4.4.1", false, routeWords},
	{"policy", "5.7.1", false, policyWords},
}

var (
	// limitWords are of a relay, mostly our own, that takes no more from us now.
	limitWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"sender's limit", `\b(sender|you|your (account|domain|ip|server)|(this|the) (account|domain|user))( \w+){0,4} (exceeded|reached|over|hit|above)( \w+){0,4} ` +
			`(limit|quota|allowance|rate)|\b(sending|outbound|outgoing|daily|hourly|monthly|per[- ](day|hour)|message|recipient|submission|rate)s? ?(\w+ )?(limit|quota)s?( has been| is| was)?( exceeded| reached)?\b`,
			"the sender has reached the daily limit for message recipients"},
		{"too many", `too many (messages|recipients|mails|e-?mails|connections|emails)|(receiving|sending|sent) (mail|messages|e-?mail)s? (at a rate|too (quickly|fast|many))|too (quickly|fast) from`,
			"too many messages from you"},
		{"throttled", `throttl|rate[- ]?limit|frequency limited`, "you are throttled"},
		{"ja: limit", `送信(数|件数|通数|量)?(の)?(制限|上限)`, "送信数の上限に達しました"},
	})

	// filterWords are those of a filter, narrower than policyWords: a server that
	// rejects an unknown user is no filter.
	filterWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"spam", `\b(spam|junk|virus|malware|phish|infected|unsolicited|bulk)`, "message blocked due to spam content"},
		{"lists", `(black|block|deny|grey|gray) ?list|\b(dns|rb|sp)bl\b|spamhaus|listed (at|in|on|by)`, "on a blocklist"},
		{"content", `content (filter|rejected|denied|is not)|(message|mail|content|attachment)s? (was |is |has been )?(blocked|rejected|refused|denied|filtered)`, "Message rejected by content filter"},
		{"policy", `\bpolicy\b|polic(y|ies) (violation|reasons?)|prohibited|forbidden`, "for policy reasons"},
		{"authentication", `\b(dmarc|spf|dkim)\b|authenticat`, "fails DMARC"},
		{"reputation", `reputation|suspicious`, "poor reputation"},
		{"blocked", `\bblocked\b`, "blocked"},
		{"ja", `迷惑メール|スパム|ウイルス|受信拒否|フィルタ`, "迷惑メールと判定されました"},
	})

	// passing are words of troubles that pass.
	passing = phrase.Any(`(?i)%s`, phrase.Table{
		{"try again", `try(ing)? (again|later)|again later|servfail|temporar|timed? ?out|greylist|graylist`, "Host not found, try again"},
		{"ja", `一時的|しばらく`, "一時的なエラー"},
	})

	fullWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"something is full",
			`(mailbox|mail box|inbox|user|account|recipient|quota|storage|disk).{0,40}` +
				`(is |are |has )?(full|over ?quota|exceed|over (the )?(limit|quota))`,
			"mailbox for user desk is full"},
		{"over quota", `over ?quota`, "Over quota"},
		{"exceeds", `(exceed|out of).{0,30}(quota|storage|mailbox)`, "would exceed mailbox"},
		{"quota exceeded", `quota exceeded`, "Quota exceeded"},
		{"no storage", `insufficient (system )?(storage|disk)`, "452 Insufficient system storage"},
		{"de, fr", `(postfach|speicher|kontingent).{0,30}(voll|überschritten|erschöpft)|(bo[iî]te|quota|espace).{0,40}(pleine|plein|dépassé|saturée)`, "Das Postfach ist voll"},
		{"es, pt, it", `(buz[óo]n|caixa|casella|cuota|cota).{0,40}(llen[oa]|cheia|pien[ao]|excedid|superad|lotad)`, "El buzón está lleno"},
		{"nl, sv, pl", `(postvak|mailbox|brevlåda|skrzynka).{0,30}(vol|full|pełna|przepełniona)`, "Het postvak is vol"},
		{"ru", `(ящик|квота).{0,30}(переполнен|превышен|заполнен)`, "Почтовый ящик переполнен"},
		{"zh", `(邮箱|郵箱|信箱|邮件空间|容量|空间|空間)[^。]{0,12}(已满|已滿|不足|超出|超过|超過)`, "邮箱已满"},
		{"ko", `(편지함|메일함|용량)[^.]{0,16}(초과|가득|부족)`, "편지함 용량 초과"},
		{"ja: mailbox full", `メールボックス.{0,10}(一杯|いっぱい|容量)`, "メールボックスが一杯です"},
		{"ja: too much", `容量.{0,10}(超|オーバー)`, "容量を超えています"},
	})

	sizeWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"size of the mail", `(message|mail).{0,20}(size|too (large|big|long))`, "Message size exceeds fixed limit"},
		{"size limit", `size limit`, "exceeds size limit"},
		{"too large", `too (large|big)`, "It is too big"},
		{"maximum", `maximum.{0,15}size`, "maximum allowed size"},
		{"ja: size", `サイズ.{0,10}(超|制限)`, "サイズが制限を超えています"},
	})

	movedWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"moved", `(user|recipient|account|mailbox).{0,30}(has )?moved`, "User has moved"},
		{"new address", `new address is`, "The new address is desk@isp.example"},
		{"replaced", `has been replaced by`, "This address has been replaced by desk@isp.example"},
	})

	disabledWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"account disabled",
			`(account|mailbox|user|recipient|address)( \S+)?.{0,25}` +
				`(disabled|suspended|inactive|locked|deactivated|expired|discontinued|closed|terminated|currently suspended|` +
				`no longer (active|available|in use|on server|valid|exists?))`,
			"The account has been disabled"},
		{"disabled account", `(disabled|suspended|inactive) (account|mailbox|user)`, "Inactive user"},
		{"takes no mail", `not accept.{0,20}any mail`, "does not accept any mail"},
		{"left", `no longer (employed|with|work)`, "She is no longer with us"},
		{"fr: inactive", `utilisateur.{0,20}inactif`, "Utilisateur inactif"},
	})

	unknownWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"user unknown",
			`(user|recipient|mailbox|account|address|person|name|alias)( name)?[^\n]{0,60}?( is)? ` +
				`(unknown|not (be )?(found|recognized|recognised|listed|known|exist)|does ?n[o']t exist|does not exist|` +
				`doesn't exist|doesn't have|nonexistent|undefined|invalid|not valid|possibly incorrect)`,
			"User desk@isp.example does not exist"},
		{"unknown user",
			`(unknown|invalid|unrecognized|nonexistent|non-existent|undeliverable|bad|no valid|illegal) ` +
				`(local |remote |destination )?(user|recipient|address|mailbox|account|alias|destination|login)`,
			"Invalid recipient"},
		{"no such", `no (such|mailbox)\b`, "No such person at this address"},
		{"no mailbox", `no mailbox here`, "Sorry, no mailbox here by that name"},
		{"not listed", `not listed in`, "not listed in Domino Directory"},
		{"no customer", `not our customer`, "not our customer"},
		{"user not", `user (not|doesn't|isn't)`, "User not local"},
		{"Exim", `unrouteable address`, "Unrouteable address"},
		{"address not found", `address (not found|error)`, "Address not found"},
		{"not known", `is not a (known|valid) (user|address|mailbox)`, "desk is not a known user"},
		{"not valid", `not a valid (mailbox|user|recipient)`, "not a valid mailbox"},
		{"address rejected",
			`recipient address(es)? rejected ?: ?(access denied|undeliverable|user)`,
			"Recipient address rejected: Access denied"},
		{"recipient rejected", `recipient (rejected|not found|unknown)`, "Recipient rejected"},
		{"please check", `check (the|if) .{0,25}address`, "Please check the recipient address"},
		{"ja: recipient unknown",
			`(宛先|送信先|メールアドレス|ユーザー?|アカウント).{0,20}(見つかりま|存在し(ません|ない)|不明|間違)`,
			"宛先のメールアドレスが見つかりません"},
		{"ja: unknown recipient", `不明な(宛先|ユーザ)`, "不明なユーザ"},
		{"zh: no such user", `(用户|用戶|收件人|帐号|帳號|账号|地址|信箱|邮箱)[^。]{0,10}(不存在|未找到|无效|無效)`, "用户不存在"},
		{"ko: no such user", `(사용자|수신자|계정|주소)[^.]{0,14}(존재하지|없는|없습니다|찾을 수)`, "존재하지 않는 사용자: 수신자가 존재하지 않습니다"},
		{"de: unknown", `(empfänger|benutzer|adresse|postfach)[^.]{0,30}(unbekannt|existiert nicht|nicht gefunden|ungültig)`, "Empfänger unbekannt"},
		{"fr: unknown", `(destinataire|utilisateur|adresse|bo[iî]te)[^.]{0,30}(inconnu|n'existe pas|introuvable|invalide)`, "Destinataire inconnu"},
		{"es, pt, it: unknown", `(destinatari[oa]|usu[áa]rio|utente|direcci[óo]n|endereço|indirizzo)[^.]{0,30}(desconocid|desconhecid|sconosciut|no existe|não existe|inesistente|non esiste)`,
			"Destinatario desconocido"},
		{"ru: unknown", `(пользователь|адрес|получатель|ящик)[^.]{0,30}(не существует|не найден|неизвестен)`, "Пользователь не существует"},
	})

	// dnsWords are the answers of the DNS that a domain does not exist or takes no mail.
	dnsWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"NXDOMAIN", `\bNXDOMAIN\b`, "responded with code NXDOMAIN"},
		{"domain name not found", `domain name not found`, "Domain name not found: isp.example"},
		{"no mail host", `had no relevant answers|no mx record found`, "lookup of isp.example had no relevant answers"},
	})

	hostWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"host unknown", `host( name)? (unknown|not found)`, "Host unknown"},
		{"domain not found",
			`(domain|host)( name)?[^\n]{0,60}( is)? ` +
				`(not found|unknown|invalid|does ?n[o']t exist|couldn'?t be found|could not be found|cannot be found)`,
			"The domain isp.example could not be found"},
		{"unknown host", `unknown (host|domain)`, "Unknown host"},
		{"NXDOMAIN", `NXDOMAIN`, "DNS: NXDOMAIN"},
		{"no record", `no (mx|such)[^\n]{0,15}(record|domain|host)`, "no MX record"},
		{"DNS error", `(name service|dns) error.{0,60}(not found|nxdomain)`, "DNS error: name not found"},
		{"name not found", `domain name not found`, "Domain name not found"},
		{"Exim", `unrouteable (mail )?domain`, "Unrouteable mail domain"},
		{"no answers", `had no relevant answers`, "The search had no relevant answers"},
		{"no route", `no route to host`, "No route to host"},
		{"ja: domain", `ドメイン.{0,15}(存在し|見つかりま)`, "ドメインが存在しません"},
	})

	routeWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"connection", `(connection|operation) (timed out|refused|reset|dropped)`, "Connection refused"},
		{"timeout", `time(d)? ?out`, "timeout"},
		{"retry time", `retry time`, "retry time not reached"},
		{"hop count", `hop count`, "hop count exceeded"},
		{"hops", `too many hops`, "Too many hops"},
		{"loop", `loop`, "mail loop detected"},
		{"could not connect", `could not (find a gateway|connect)`, "could not connect to host"},
		{"our requests", `did not accept our requests`, "did not accept our requests to connect"},
		{"did not accept", `did not accept our`, "did not accept our connection"},
		{"socket", `socket error`, "Socket error"},
		{"network", `network (error|problem|failure|is)`, "Network is down"},
		{"unreachable", `unreachable`, "unreachable"},
		{"expired", `expired`, "Message expired"},
		{"too long", `too long`, "it has been in transit too long"},
		{"queue", `queue`, "in the queue for 5 days"},
		{"aborted", `aborted after`, "aborted after 10 attempts"},
		{"ja: time limit", `期限`, "配送期限が過ぎました"},
		{"ja: timeout", `時間切れ`, "時間切れです"},
	})

	policyWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"spam", `spam`, "looks like spam"},
		{"blacklist", `blacklist`, "on a blacklist"},
		{"black list", `black list`, "on a black list"},
		{"blocked or block list", `block(ed|list)`, "on a blocklist"},
		{"blocked", `blocked`, "blocked"},
		{"denied", `denied`, "Relaying denied"},
		{"policy", `policy`, "for policy reasons"},
		{"not permitted", `not (permitted|allowed|authori[sz]ed|a member)`, "not authorised"},
		{"not sent", `n.t sent`, "isn't sent"},
		{"members", `member`, "for members"},
		{"rejected", `reject(ed|s)?`, "Message rejected"},
		{"refused", `refused`, "Mail refused"},
		{"prohibited", `prohibited`, "Prohibited attachment"},
		{"virus", `virus`, "virus found"},
		{"reputation", `reputation`, "poor reputation"},
		{"DMARC", `dmarc`, "fails DMARC"},
		{"SPF", `\bspf\b`, "SPF check failed"},
		{"DKIM", `\bdkim\b`, "no DKIM signature"},
		{"relay", `relay`, "we do not relay"},
		{"authentication", `authenticat`, "Unauthenticated mail"},
		{"bulk", `bulk`, "bulk mail"},
		{"content", `content`, "because of its content"},
		{"forbidden", `forbidden`, "Forbidden"},
		{"unsolicited", `unsolicited`, "likely unsolicited mail"},
		{"frequency", `frequency limited`, "frequency limited"},
		{"rate", `rate limit`, "rate limit exceeded"},
		{"ja: reception refused", `受信拒否`, "受信拒否"},
		{"ja: refused", `拒否`, "拒否されました"},
	})

	// aboutSender are words and codes that are about us, not about the recipient.
	aboutSender = phrase.Any(`(?i)%s`, phrase.Table{
		{"sender rejected", `sender (address )?(rejected|denied|verify|not|unknown|is not|domain)`, "Sender address rejected"},
		{"our domain", `domain of sender`, "Domain of sender address does not resolve"},
		{"status", `^5\.1\.[78]$`, "5.1.8"},
		{"after MAIL", `(in reply to|after|with|to) (a )?MAIL FROM`, "in reply to MAIL FROM command"},
		{"dialogue", `<<< ?5\d\d.*sender`, "<<< 550 unknown sender"},
		{"domain name", `invalid domain name`, "Invalid domain name"},
		{"our server", `your (ip|server|host|domain)`, "your IP is listed"},
	})
)

// addressGroup is the pattern of a mail address in a text, as a group.
const addressGroup = `([A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}[A-Za-z0-9])`

// recipientLead is what stands before the address that a bounce is about.
var recipientLead = phrase.Any(`(?i)%s\s*[-:*>]*\s*[<\["'(]?`+addressGroup, phrase.Table{
	{"dialogue", `RCPT TO:?`, "RCPT TO:<desk@isp.example>"},
	{"field", `final-recipient:[^;\n]*;`, "Final-Recipient: rfc822; desk@isp.example"},
	{"recipient", `recipient(?:s| address)?(?: is|:)?`, "Recipient address: desk@isp.example"},
	{"delivered to", `delivered to:?`, "could not be delivered to: <desk@isp.example>"},
	{"deliver to", `deliver (?:your |the |this )?(?:message|mail|e-?mail)? ?to:?`, "unable to deliver your message to desk@isp.example"},
	{"delivering to", `delivering your mail to`, "trouble delivering your mail to desk@isp.example"},
	{"not delivered to", `could not be delivered to:?`, "could not be delivered to desk@isp.example"},
	{"undeliverable to", `undeliverable to`, "Undeliverable to desk@isp.example"},
	{"addressed to", `addressed to:`, "addressed to: desk@isp.example"},
	{"delivery failed", `delivery failed:`, "Delivery failed: desk@isp.example"},
	{"delivery to", `delivery to`, "Delivery to desk@isp.example"},
	{"message to", `message to:`, "Your message to: desk@isp.example"},
	{"failed address", `failed (?:address|recipient)(?:es)?:?`, "Failed address: desk@isp.example"},
	{"user", `user`, "User desk@isp.example"},
	{"sorry", `sorry, .{0,80}address:?`, "Sorry, we could not reach this address: desk@isp.example"},
	{"following address", `following address(?:es)?[^\n]{0,40}:?`, "The following addresses had errors: desk@isp.example"},
	{"ja: address", `アドレス[^\n]{0,30}`, "アドレス desk@isp.example"},
	{"ja: recipient", `宛先[^\n]{0,10}`, "宛先: desk@isp.example"},
})
