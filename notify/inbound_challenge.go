package notify

import (
	"regexp"
	"slices"

	"teiten/internal/phrase"
)

// isChallenge reports whether a mail asks its reader to prove that he is a person,
// or means what he wrote, before our mail is delivered. The mail waits until
// somebody does; nobody has answered.
//
// One sentence that ties the delivery to an action is enough. Else the subject, that
// the mail is held, and what is to be done have to come together.
func isChallenge(p *Mail) bool {
	own := ownWords(p.text)
	list := sentences(own)
	list = list[:min(len(list), 12)]
	tied := anyOf(list, challengeTied.MatchString)
	subject := challengeSubject.MatchString(p.subject)
	held := anyOf(list, challengeHeld.MatchString)
	act := anyOf(list, challengeAct.MatchString) || challengeAct.MatchString(p.subject)
	service := challengeService.MatchString(p.from + " " + p.fromName + " " + p.header.Get("X-Mailer") + " " + own[:min(len(own), 3000)])
	way := linkPattern.MatchString(p.text) || anyOf(list, replyAct.MatchString) || p.header.Get("X-Tmda-Confirm") != ""
	if p.header.Get("X-Tmda-Confirm") != "" || p.header.Get("X-Challenge-Response") != "" {
		return true
	}
	// That our mail was blocked or put into quarantine is no work of a person's.
	others := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return challengeHeld.MatchString(s) || challengeTied.MatchString(s) })
	if !way || tellsOfWork(others) && !subject && !service {
		return false
	}
	return tied || subject && (held || act) || held && act || service && (held || act)
}

var linkPattern = regexp.MustCompile(`(?i)https?://|<a\s|mailto:`)

var (
	// challengeTied says that our mail is delivered when we do something.
	challengeTied = phrase.Any(`(?i)%s`, phrase.Table{
		{"action for delivery", `\b(click|open|visit|follow|reply|respond|confirm|go to|press|complete|enter|solve|verify|use)\b.{0,120}\b(to|so that|in order|for)\b.{0,40}` +
			`\b(deliver|delivery|be delivered|release|let (it|your|the).{0,20}through|reach (me|us|the|its)|be (released|accepted))`, "click the link to have your mail delivered"},
		{"delivery by action", `\b(to|in order to|for)\b.{0,20}\b(have|get|allow|complete|release|deliver|be|ensure)\b.{0,50}(deliver(y|ed)?|released?|through|accepted|(message|mail))\b` +
			`.{0,60}\b(click|open|visit|follow|reply|respond|confirm|press|complete|solve|verify|enter)\b`, "To have it delivered, please open the page below"},
		{"will be delivered once", `\b(will|can|would)( only| not)? be (delivered|released|accepted|forwarded|read)\b.{0,50}\b(once|after|when|as soon as|until|unless|if|only)\b.{0,10}\byou\b`,
			"It will be delivered once you confirm"},
		{"before", `\bbefore\b.{0,60}\b(reach(es)?|delivered|arrives?|accepted|read)\b.{0,80}\b(confirm|click|complete|verify|captcha|visit|open|solve)\b`,
			"Before it reaches the inbox, please complete the CAPTCHA"},
		{"prove", `\b(prove|show|verify|confirm|demonstrate|make sure)( to (us|me))? (that )?you('re| are) (a |an |not a )?(\w+ )?(human|person|real|robot|machine|spammer|bot|legitimate)`,
			"show that you are human"},
		{"de", `um (ihre|die|diese) (nachricht|e-?mail|mail)[^.]{0,40}(zuzustellen|zustellen|freizugeben)|(zugestellt|freigegeben)[^.]{0,30}(sobald|wenn|nachdem) sie`,
			"Um Ihre Nachricht zuzustellen, klicken Sie hier"},
		{"fr", `(pour|afin) (que|de)[^.]{0,60}(remis|distribué|délivré|transmis|acheminé|parvenir|livré)|(cliquez|répondez)[^.]{0,80}(remis|distribué|délivr|transmis|livré)`,
			"Pour que votre message soit remis, cliquez ici"},
		{"es, pt", `para que (su|el|tu|a sua|sua|o seu|seu) [^.]{0,40}(entreg|llegue|chegue)|(será|seja) entreg[^.]{0,40}(cuando|quando|após|después|si |se )`, "Para que su mensaje sea entregado, haga clic"},
		{"it, nl", `(affinché|perché) (il|la) [^.]{0,40}(consegnat|recapitat)|om (uw|je) [^.]{0,30}(af te leveren|te bezorgen|af te laten)`, "Affinché il messaggio sia consegnato, clicchi"},
		{"sv, da", `för att (ditt|ert) [^.]{0,40}(levereras|komma fram)|for at (din|deres) [^.]{0,40}(leveres|leveret)`, "För att ditt meddelande ska levereras, klicka"},
		{"ru, pl", `чтобы [^.]{0,60}(доставлен|доставить)|aby [^.]{0,60}(dostarczon|doręczon)`, "Чтобы письмо было доставлено, перейдите"},
		{"ja: to deliver", `(配信|配送|お届け|送達|受信|受け取)[^。]{0,20}(には|ために|ため|するには)[^。]{0,60}(クリック|アクセス|返信|確認|認証|開い|押)`, "お届けするには、下記をクリックしてください"},
		{"ja: when done", `(クリック|アクセス|返信|認証|承認|確認)[^。]{0,50}(すると|されると|いただく(と|こと)|まで|後に?|ことで)[^。]{0,50}(配信|配送|届|送達|受信(され|し))`, "リンクにアクセスすると、メールが配信されます"},
		{"ja: person", `(ロボット|機械|自動送信|スパム)(では|で)(ない|ありません)[^。]{0,30}(確認|証明)|人間である`, "ロボットではないことを確認"},
		{"zh", `(点击|點擊|访问|回复|回覆|验证|驗證|确认)[^。]{0,60}(投递|投遞|送达|送達|放行|接收)|(投递|投遞|送达|送達|放行)[^。]{0,40}(点击|點擊|访问|回复|验证|驗證|确认)`, "请点击以下链接以投递您的邮件"},
		{"ko", `(클릭|접속|회신|인증|확인)[^.]{0,50}(전달|배달|수신)(됩|되|하)|(전달|배달)[^.]{0,40}(클릭|접속|인증)`, "링크를 클릭하면 메일이 전달됩니다"},
	})
	challengeSubject = phrase.Any(`(?i)%s`, phrase.Table{
		{"confirm your mail", `(confirm|verify|verification of|validate|authenticate|approve) (that you sent |you sent |sending )?(your|the|this) (message|mail|e-?mail|delivery)`, "Please confirm your message to desk@isp.example"},
		{"sender verification", `(sender|e-?mail|message|mail|delivery)( address)? (verification|confirmation|authentication|validation)( is)?( required| request| needed)?`, "Sender verification required"},
		{"your mail waits", `(message|mail|e-?mail)\b.{0,30}\b(awaiting|pending|requires?|needs?|waiting)\b.{0,20}(verification|confirmation|approval|authori[sz]ation|delivery|release)`,
			"Your email requires verification"},
		{"required", `^(\[\w+\] )?(verification|confirmation|authentication)( is)? (required|needed)`, "Verification required"},
		{"challenge", `challenge[- ]response|\bcaptcha\b|anti-?spam (verification|confirmation|challenge)|are you (a )?human`, "Challenge-response: your mail"},
		{"action", `action required.{0,30}(deliver|your (mail|message|e-?mail))`, "Action required to deliver your message"},
		{"de, fr", `(bestätig|verifizier)\w*.{0,30}(nachricht|e-?mail|absender)|(absender|nachricht).{0,20}bestätig|(confirm|valid|authentifi)\w*.{0,30}(votre|l'envoi|expéditeur)`, "Bitte bestätigen Sie Ihre Nachricht"},
		{"es, pt, it", `(confirm|verifi)\w*.{0,20}(su|seu|sua|el|tu|il|suo) .{0,10}(mensaje|correo|mensagem|e-?mail|messaggio)|(confirmación|confirmação|conferma) .{0,20}(remitente|remetente|mittente|envío|envio)`,
			"Confirme su mensaje"},
		{"ru, pl", `подтвердите.{0,30}(письм|отправ|сообщен)|potwierdź.{0,30}(wiadomo|wysłan)`, "Подтвердите ваше письмо"},
		{"ja", `(送信者|差出人|メール|送信)(の|元)?(本人)?(確認|認証)(の?(お願い|依頼|が必要)|手続)|(メール|送信).{0,12}(承認|認証)(待ち|が必要|のお願い)`, "送信者確認のお願い"},
		{"zh, ko", `(发件人|發件人|寄件人|邮件|郵件)(身份)?(验证|驗證|确认|確認)|(발신자|메일) ?(인증|확인)( ?요청)?`, "发件人验证"},
	})
	// challengeHeld says that our mail was not delivered yet.
	challengeHeld = phrase.Any(`(?i)%s`, phrase.Table{
		{"en", `\b(your|the|this) (e-?mail|mail|message)\b.{0,80}\b(is|has been|was|is being) (currently |being |temporarily )?(held|on hold|quarantined|queued|pending|waiting|awaiting|suspended|delayed|blocked|not (yet )?(been )?delivered|placed)`,
			"your mail to desk@isp.example is held"},
		{"en: not yet", `\b(has|have) not (yet )?(been )?(delivered|reached|received)\b|\bnot (yet )?(on|in) (my|our|the|his|her) (list|address|approved|contacts|white)|\bfirst time\b.{0,60}\b(write|mail|contact|sent)`,
			"It has not yet been delivered"},
		{"de, fr", `(zurückgehalten|noch nicht zugestellt|in (der )?quarantäne|wartet auf)|(en attente|n'a pas (encore )?été (remis|distribué|délivré)|retenu|mis en quarantaine)`, "Ihre Nachricht wird zurückgehalten"},
		{"es, pt, it", `(retenid|en espera|retid|em espera|aguardando|trattenut|in attesa|en cuarentena)`, "Su mensaje está retenido"},
		{"nl, sv, ru, pl", `(vastgehouden|wacht op|hålls kvar|väntar på|задержан|ожидает|wstrzyman|oczekuje)`, "Uw bericht wordt vastgehouden"},
		{"ja", `(保留|一時(的に)?(保管|預か)|隔離|待機)(されて|して|され)[^。]{0,10}(い|お)|(まだ|未だ)[^。]{0,20}(届いて|配信され)`, "メールは保留されています"},
		{"zh, ko", `(暂时|暫時|已被)?(保留|隔离|隔離|拦截|攔截|等待)|(보류|대기)`, "您的邮件已被保留"},
	})
	// challengeAct says what we should do.
	challengeAct = phrase.Any(`(?i)%s`, phrase.Table{
		{"en", `\b(confirm|verify|authenticate|validate|click|captcha|human|prove|register as|authori[sz]e yourself|whitelist(ed)?|approved? senders?)\b`, "please confirm"},
		{"reply", `\b(just |simply )?(reply|respond) to this (message|mail|e-?mail)\b`, "just reply to this message"},
		{"de, fr", `(bestätigen|klicken sie|anklicken)|(cliquer|cliquez|confirmez|valider|authentifier)`, "Bitte klicken Sie hier"},
		{"es, pt, it", `(haga clic|pulse|confirme|clique|verifique|clicc|confermi|confermare)`, "Haga clic aquí"},
		{"nl, sv, ru, pl", `(klik|bevestig|klicka|bekräfta|перейдите|подтвердите|нажмите|kliknij|potwierdź)`, "Klik hier"},
		{"ja", `(クリック|アクセス)し|(認証|承認|確認)(を)?(お願い|して(くだ|下さ|いただ)|手続)`, "下記をクリックしてください"},
		{"zh, ko", `(点击|點擊|验证|驗證|确认您)|(클릭|인증)`, "请点击"},
	})
	replyAct = phrase.Any(`(?i)%s`, phrase.Table{
		{"en", `\b(reply|respond|replying|responding) to this (message|mail|e-?mail)|\breply with\b|\b(just|simply) (hit|press) reply`, "just reply to this message"},
		{"ja", `(この|本)メール(に|へ)(その|この)?(まま)?[^。]{0,10}返信`, "このメールにそのまま返信してください"},
		{"others", `antworten sie (einfach )?auf diese|répond(re|ez) à ce (message|mail)|respond(a|er) a este|responda (a )?est[ea]|ответьте на это|回复(此|本)邮件|이 메일에 회신`, "Antworten Sie auf diese E-Mail"},
	})
	// challengeService are the services and programs that ask such things.
	challengeService = phrase.Any(`(?i)%s`, phrase.Table{
		{"services", `\b(boxbe|spam ?arrest|tmda|mailblocks|choicemail|bluebottle|sendio|mailinblack|qconfirm|knowspam|spamlion|vanquish|asrg challenge|mailsentinel|cleanmail challenge)\b`,
			"Spam Arrest"},
		{"providers", `suspect e-?mail block|anti ?spam uol|spamblocker`, "AntiSpam UOL"},
	})
)
