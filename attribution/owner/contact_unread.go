package owner

import "teiten/internal/phrase"

var (
	// notThere marks, in front of an address, that one should not write to it.
	notThere = phrase.Any(`(?i)%s`, phrase.Table{
		{"not", `\b(?:do not|don't|dont|never|not be|not for|not to|not via|cannot|should not|must not|instead of|rather than|avoid)\b`, "Please do not send reports to"},
		{"de", `\bnicht (?:an|per|via|mehr)\b`, "Bitte nicht an"},
		{"fr", `\bne (?:pas|plus)\b`, "Merci de ne pas écrire à"},
		{"fr, with the verb", `\bn(?:e |')[a-zé]+ (?:pas|plus)\b`, "N'envoyez pas de plaintes à"},
		{"es", `\bno (?:env[ií]\p{L}*|escrib\p{L}*|use|utilice|mande\p{L}*)`, "No envíe denuncias a"},
		{"pt", `\bnão (?:envi\p{L}*|escrev\p{L}*|use|utilize|mande\p{L}*)`, "Não envie denúncias para"},
		{"it", `\bnon (?:invi\p{L}*|scriv\p{L}*|usare|usate|utilizzare)`, "Non inviare segnalazioni a"},
		{"nl", `\bniet (?:naar|aan|via)\b`, "Stuur klachten niet naar"},
		{"pl", `\bnie (?:wysyłaj\p{L}*|pisz\p{L}*|używaj\p{L}*)`, "Nie wysyłaj zgłoszeń na"},
		{"tr", `göndermeyin`, "göndermeyiniz"},
		{"ru", `не (?:отправля\p{L}*|пиш\p{L}*|присыла\p{L}*|использ\p{L}*)`, "не отправляйте жалобы на"},
		{"vi", `(?:không|đừng|vui lòng không) (?:gửi|dùng)`, "Vui lòng không gửi"},
		{"zh", `(?:请勿|請勿|不要|请不要|請不要|切勿)`, "请勿发送至"},
	})

	// notThereBehind marks the same behind an address.
	notThereBehind = phrase.Any(`(?i)%s`, phrase.Table{
		{"not for", `^[)>"'\s,:-]*(?:\(?\s*)?(?:is |are )?not (?:for|an? abuse)\b`, " is not for abuse complaints"},
		{"ja: is not", `ではありません`, "は窓口ではありません"},
		{"ja: please do not", `ないでください`, "には送らないでください"},
		{"ja: without", `しないで`, "には連絡しないで"},
		{"ja: please refrain", `ご遠慮`, "へのメールはご遠慮ください"},
		{"ja: please refrain, another word", `お控え`, "への送信はお控えください"},
		{"ko: do not", `(?:보내지|사용하지|이용하지)\s*마`, "로 보내지 마세요"},
		{"tr", `göndermeyin`, " adresine göndermeyiniz"},
	})

	// encouraged are words with a "not" that ask to write.
	encouraged = phrase.Any(`(?i)%s`, phrase.Table{
		{"hesitate", `(?:do not|don't|dont|never)\s+(?:hesitate|forget|fail|worry)`, "Please do not hesitate to contact"},
		{"answers", `(?:if|when|where)\s+(?:you\s+)?(?:do not|don't|have not|haven't|did not|didn't)\s+(?:get|receive|hear|have)`, "If you do not receive an answer from us"},
		{"de", `zögern sie nicht`, "Zögern Sie nicht"},
		{"fr", `n'hésitez pas`, "N'hésitez pas à écrire à"},
		{"es", `no dude\p{L}*`, "No dude en escribir a"},
		{"pt", `não hesite\p{L}*`, "Não hesite em escrever para"},
	})

	// notRead says that nobody reads, or takes, what is sent.
	notRead = phrase.Any(`(?i)%s`, phrase.Table{
		{"not monitored", `\b(?:not|never|no longer|isn't|aren't|is not|are not)\s+(?:being\s+|actively\s+|regularly\s+|currently\s+|longer\s+|to be\s+|be\s+)*` +
			`(?:monitored|read|checked|attended|watched|reviewed|processed|accepted|answered|staffed|manned|in use|used|active|maintained|valid|functional|working|supported|available)\b`,
			"This mailbox is not monitored"},
		{"un-", `\b(?:un-?monitored|un-?attended|un-?read|un-?used|un-?staffed|un-?manned|send[- ]only|outgoing only|auto-?(?:deleted|discarded))\b`, "an unmonitored mailbox"},
		{"will be ignored", `\b(?:will|shall|may|are|is|gets?|being)\s+(?:be\s+|automatically\s+|silently\s+|all\s+)*(?:ignored|discarded|deleted|rejected|bounced|dropped|trashed|disregarded)\b`,
			"mail to this address will be ignored"},
		{"nobody reads", `\b(?:nobody|no one|no-one|none)\s+(?:reads|checks|monitors|answers|watches)\b`, "nobody reads this mailbox"},
		{"not accept", `\b(?:do|does|can|will|we)\s*(?:not|n't|no longer)\s+(?:accept|process|read|monitor|check|respond to|answer|handle|review|receive)\b`, "We do not accept reports by e-mail"},
		{"out of use", `\b(?:defunct|obsolete|deprecated|decommissioned|discontinued|abandoned|disabled|deactivated|retired|dead)\b`, "this mailbox is deprecated"},
		{"de", `(?:nicht|nicht mehr|nicht aktiv|nicht regelmäßig)\s+(?:gelesen|überwacht|bearbeitet|beantwortet|verwendet|genutzt|akzeptiert|abgerufen)`, "Dieses Postfach wird nicht gelesen"},
		{"fr", `n'est (?:pas|plus) (?:lue?|surveillée?|consultée?|relevée?|utilisée?|suivie?|traitée?)`, "Cette adresse n'est pas surveillée"},
		{"es", `no (?:se (?:lee|revisa|monitorea|atiende|procesa|acepta)n?|(?:es|está|será) (?:monitoread|monitorizad|leíd|revisad|atendid|supervisad)[oa])`, "Este buzón no se lee"},
		{"pt", `não (?:é|são|será|está) (?:lid|monitorad|verificad|monitorizad|acompanhad|utilizad)[oa]`, "Esta caixa não é monitorada"},
		{"it", `non (?:è|viene|vengono) (?:monitorat|lett|presidiat|controllat|utilizzat)[oaei]`, "Questa casella non è monitorata"},
		{"nl", `niet (?:gelezen|gecontroleerd|gemonitord|bewaakt|gebruikt|beantwoord)`, "Deze mailbox wordt niet gelezen"},
		{"pl", `nie jest (?:monitorowan|czytan|sprawdzan|obsługiwan|używan)\p{L}`, "Ta skrzynka nie jest monitorowana"},
		{"ru", `не (?:читается|проверяется|обслуживается|отслеживается|используется|мониторится|рассматриваются|принимаются)`, "Этот ящик не проверяется"},
		{"ja: not done", `(?:確認|監視|閲覧|受信|対応|返信|使用|利用|運用|受付|受け付け)(?:して|を?行って|されて)?(?:い|おり)(?:ません|ない)`, "このメールは監視していません"},
		{"ja: not taken", `(?:受け付け|読んで|読まれて|見て|使われて|使って)(?:い|おり|て(?:い|おり))(?:ません|ない)`, "メールでの報告は受け付けておりません"},
		{"ja: for sending", `送信専用`, "送信専用アドレスです"},
		{"ja: ended", `(?:廃止|停止)(?:しました|されました|済)`, "このアドレスは廃止されました"},
		{"ko", `(?:확인|모니터링|사용|수신|처리)(?:하지|되지)\s*않|발신\s*전용`, "이 메일은 확인하지 않습니다"},
		{"zh", `(?:不(?:会)?(?:查看|阅读|监控|处理|接收|受理|回复|再使用)|无人(?:查看|值守|监控)|已停用|不被监控|不會(?:查看|閱讀|處理)|無人(?:查看|值守))`, "此邮箱无人查看"},
		{"tr", `(?:izlenmemektedir|okunmamaktadır|kontrol edilmemektedir|kullanılmamaktadır)`, "Bu posta kutusu izlenmemektedir"},
		{"vi", `không (?:được )?(?:theo dõi|kiểm tra|đọc|sử dụng)`, "Hộp thư này không được theo dõi"},
	})

	// mailboxWords are words for a mailbox or a report: without one, a line that says
	// "not used" is about something else, such as a part of the range.
	mailboxWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"mail", `e-?mail|mail-?box|\bmails?\s+(?:sent|to|is|are|will)\b`, "This mailbox"},
		{"inbox", `\binbox`, "the inbox"},
		{"address", `\b(?:this|the) (?:address|account|contact|poc)\b`, "This address"},
		{"report", `\b(?:reports?|complaints?|notices?|messages?|submissions?|correspondence)\b`, "Reports"},
		{"de", `postfach|nachricht|meldung|beschwerde|adresse`, "Dieses Postfach"},
		{"fr", `courriel|boîte|adresse|plainte|signalement`, "Cette boîte"},
		{"es, pt, it", `correo|buz[oó]n|caixa|casella|dirección|endereço|indirizzo|denuncia|denúncia|reclam|segnalazion`, "Este buzón"},
		{"nl, pl", `postbus|klacht|skrzynk|adres|zgłosze`, "Ta skrzynka"},
		{"ru", `почт|ящик|адрес|жалоб|письм|сообщени`, "Этот ящик"},
		{"ja", `メール|アドレス|連絡先|窓口|報告|通報|お問い?合わせ`, "このメール"},
		{"ko", `메일|주소|신고`, "이 메일"},
		{"zh", `邮箱|邮件|地址|信箱|郵件|投诉|举报`, "此邮箱"},
		{"tr, vi", `posta|adres|hộp thư|địa chỉ`, "Bu posta kutusu"},
	})

	// someTimes are words by which a mailbox is read, only not always.
	someTimes = phrase.Any(`(?i)%s`, phrase.Table{
		{"24 hours", `\b24\s*(?:[x*/]\s*7|hours|hrs|h\b|時間)`, "not monitored 24/7"},
		{"office hours", `\b(?:outside|after|out of|non-?)\s*(?:of\s+)?(?:office|business|working|normal)`, "not monitored outside office hours"},
		{"days", `\b(?:weekends?|holidays?|nights?|around the clock|real[- ]time)\b`, "not read at weekends"},
		{"without facts", `\b(?:without|lacking|missing|incomplete|not (?:contain|includ)\w*|unless|anonymous|duplicate|if (?:they|it|you|no)|that (?:do|are|lack))\b`, "reports without logs will be ignored"},
		{"ja: nights and days off", `夜間|休日|土日|祝日|時間外|場合は`, "夜間は対応しておりません"},
	})

	// readerless are local parts that say that nobody reads what comes.
	readerless = phrase.Any(`(?:^|[._+-])(?:%s)(?:[._+-]|\d*$)`, phrase.Table{
		{"no reply", `(?:no|not|non|do[._-]?not|dont|never)[._-]?(?:reply|replay|respond|response|answer|return)s?`, "no-reply"},
		{"no mail", `(?:no|do[._-]?not|dont|never)[._-]?(?:e?[._-]?mails?|contact|write|use|send|spam|body)`, "no-email"},
		{"null", `(?:dev[._-]?)?null|nil|void|none|nowhere|no[._-]?one`, "devnull"},
		{"hole", `black[._-]?hole|sink[._-]?hole|bit[._-]?bucket|trash|discard|junk|garbage`, "blackhole"},
		{"unread", `un[._-]?(?:monitored|attended|read|used|known|assigned)|invalid|deleted|disabled|dummy|placeholder`, "unattended"},
		{"machine", `mailer[._-]?daemon|auto[._-]?(?:reply|responder|mail(?:er)?)|bounces?`, "mailer-daemon"},
	})

	// deskWords are the local parts of desks (RFC 2142, and what networks use).
	deskWords = phrase.Any(`(?i)(?:^|[._+-])(?:%s)(?:[._+-]|\d*$)`, phrase.Table{
		{"complaints", `[a-z]*abuse[a-z]*|spam|complaints?|report(?:s|ing)?|trust`, "net-abuse"},
		{"security", `security|sec|[a-z]*csirt|[a-z]*cert|irt|soc|incidents?|infosec|fraud|phish(?:ing)?`, "isp-csirt"},
		{"network", `[a-z]*noc[a-z]*|net(?:work)?(?:s|ing|ops|admin|work)?|ip[-._]?(?:adm(?:in)?|addr(?:ess)?|team|manager|mgmt|noc|reg)?|routing|peering|bgp|lir|as\d+|isp|redes?`, "noc"},
		{"technical", `tech(?:nical|support)?|eng(?:ineering)?|ops|operations?|operacion(?:es)?|sys(?:tems?|admin|ops?)?|it|suporte|soporte|unix|server|infra(?:structure)?`, "tech"},
		{"names", `(?:post|host|web|dns|name)master|dns|domains?|registr\p{L}*|whois|ripe|arin|apnic|lacnic|afrinic`, "hostmaster"},
		{"office", `info|contact|admin(?:istrator|istration)?|office|help(?:desk)?|support|service(?:desk)?s?|team|desk|customer(?:service|care)?|legal|mail|root|nic|staff|group`, "info"},
	})
)
