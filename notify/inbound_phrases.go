package notify

import "teiten/internal/phrase"

// The signs of a bounce: who sends it, what its subject and its text say.
var (
	// daemonLocal are the local parts of machines that write bounces.
	daemonLocal = phrase.Any(`(?i)^(%s)$`, phrase.Table{
		{"mailer daemon", `mailer[-_.]?daemon`, "MAILER-DAEMON"},
		{"postmaster", `post[-_]?master`, "postmaster"},
		{"mailer", `mail[-_.]?er`, "mailer"},
		{"mail daemon", `mail[-_.]?daemon`, "mail-daemon"},
		{"misspelt postmaster", `po+stmaster`, "pooostmaster"},
		{"delivery system", `mail[-_.]delivery[-_.](sub)?system`, "mail-delivery-subsystem"},
		{"MDaemon", `mdaemon`, "MDaemon"},
		{"a provider's postmaster", `twfpostmaster`, "twfpostmaster"},
		{"mail administrator", `mailadmin`, "mailadmin"},
		{"mail system", `mail-?system`, "mail-system"},
		{"Majordomo", `majordomo`, "majordomo"},
		{"Exchange", `noreply-maildelivery`, "noreply-maildelivery"},
		{"bounces", `bounces?`, "bounces"},
		{"bounces, with what they are about", `bounce-.*`, "bounce-1234"},
		{"delivery reports", `delivery-?(failure|status|report).*`, "delivery-status-notification"},
	})
	// daemonName are the names of machines that write bounces.
	daemonName = phrase.Any(`(?i)%s`, phrase.Table{
		{"mailer daemon", `mailer[- ]?daemon`, "Mailer-Daemon"},
		{"delivery system", `mail deliver(y|er)? ?(sub)?system`, "Mail Delivery Subsystem"},
		{"delivery subsystem", `delivery subsystem`, "Delivery Subsystem"},
		{"mail delivery", `mail delivery`, "Mail Delivery Service"},
		{"system administrator", `system administrator`, "System Administrator"},
		{"mail administrator", `mail administrator`, "Mail Administrator"},
		{"postmaster", `postmaster`, "The Postmaster"},
		{"InterScan", `interscan`, "InterScan MSS"},
		{"NDR administrator", `ndr administrator`, "NDR Administrator"},
		{"Microsoft", `microsoft (outlook|exchange)`, "Microsoft Outlook"},
		{"content filter", `content[- ]filter`, "Content-Filter at relay.example"},
		{"a gateway", `e-?mail interconnect`, "E-Mail Interconnect"},
		{"ja: delivery system", `配信システム`, "メール配信システム"},
	})

	bounceSubject = phrase.Any(`(?i)%s`, phrase.Table{
		{"undeliverable", `undeliver`, "Undeliverable: Infected host"},
		{"returned mail", `returned mail`, "Returned mail: see transcript for details"},
		{"returned to sender", `return(ed)? to sender`, "Mail returned to sender"},
		{"delivery", `delivery (status|fail|error|problem|notice|notification|report|has)`, "Delivery Status Notification (Failure)"},
		{"failure notice", `failure (notice|notification|delivery)`, "failure notice"},
		{"delivery failed", `deliver\w* (failed|failure|error|unsuccess)`, "Mail delivery failed: returning message to sender"},
		{"mail failure", `(mail|message|e-?mail)( delivery)? (failure|error|failed|status)`, "Message failure"},
		{"could not deliver", `(could|can) ?not (be )?deliver`, "Your mail could not be delivered"},
		{"not delivered", `(was|were|wasn'?t|not) (been )?deliver`, "Mail not delivered"},
		{"non-delivery", `non.?deliver`, "Non-delivery report"},
		{"unable to deliver", `unable to deliver`, "Unable to deliver your mail"},
		{"mail system error", `mail system error`, "Mail System Error - Returned Mail"},
		{"error sending", `error sending your (mail|message)`, "Error sending your mail"},
		{"rejected", `reject(ed|ion)`, "Message rejected"},
		{"failed delivery", `failed delivery`, "Failed delivery to desk@isp.example"},
		{"blocked", `blocked by`, "Mail blocked by policy"},
		{"blocked by the relay", `MTA-BLOCKED`, "MTA-BLOCKED: report"},
		{"bounce", `bounced?\b`, "Bounce: report"},
		{"no member", `not? (a )?member`, "You are not a member"},
		{"no member, in capitals", `NOT MEMBER`, "NOT MEMBER article from soc@cert.example"},
		{"user unknown", `user unknown`, "User unknown"},
		{"unknown user", `unknown (user|recipient|address)`, "Unknown recipient"},
		{"mailbox full", `mailbox (is )?full`, "Mailbox is full"},
		{"quota exceeded", `quota exceeded`, "Quota exceeded"},
		{"ja: delivery impossible", `配信(不能|不可|でき|エラー|に失敗|失敗)`, "メール配信エラー"},
		{"ja: sending impossible", `送信(不能|でき|エラー|に失敗|失敗)`, "送信できませんでした"},
		{"ja: not arrived", `不達`, "メール不達のお知らせ"},
		{"ja: not yet arrived", `未達`, "未達通知"},
		{"ja: error mail", `エラーメール`, "エラーメール"},
		{"ja: unknown recipient", `宛先(不明|エラー)`, "宛先不明"},
		{"ja: refused", `受信拒否`, "受信拒否のお知らせ"},
		{"de: undeliverable", `unzustellbar`, "Unzustellbar: Bericht"},
		{"de: not delivered", `nicht zugestellt`, "Ihre Nachricht wurde nicht zugestellt"},
		{"de: delivery", `zustellung`, "Zustellung nicht möglich"},
		{"de: failed", `fehlgeschlagen`, "Senden fehlgeschlagen"},
		{"fr: not delivered", `non remis`, "Non remis : rapport"},
		{"fr: failure", `échec`, "Échec de la remise"},
		{"es: could not be delivered", `no (se )?(ha )?(podido|puede|entreg)`, "No se ha podido entregar"},
		{"es: not delivered", `no entregad`, "Mensaje no entregado"},
		{"it: delivery failed", `mancata consegna`, "Mancata consegna"},
		{"it: undeliverable", `non recapitabile`, "Messaggio non recapitabile"},
		{"ru: undelivered", `недоставлен`, "Недоставленное сообщение"},
		{"ru: not delivered", `не доставлен`, "Письмо не доставлено"},
		{"ru: message not", `сообщение не`, "Сообщение не отправлено"},
		{"zh: returned letter", `退信`, "系统退信"},
		{"zh: returned mail", `退件`, "退件通知"},
		{"zh: cannot be delivered", `无法投递`, "邮件无法投递"},
		{"zh: cannot be delivered, traditional", `無法(傳|投)遞`, "郵件無法傳遞"},
		{"ko: returned", `반송`, "반송된 메일"},
		{"ko: sending failed", `전송 실패`, "메일 전송 실패"},
	})

	bounceText = phrase.Any(`(?i)%s`, phrase.Table{
		{"could not be delivered",
			`(could|can|did|was|were|wasn'?t|has|have|had)( ?not|n't)?( be(en)?)? (delivered|reach(ed)?|relayed|sent to)\b`,
			"Your message could not be delivered"},
		{"unable to deliver", `unable to (deliver|relay|send)`, "I am unable to deliver your message"},
		{"undeliverable", `undeliver(able|ed)`, "undeliverable mail"},
		{"delivery failed", `delivery (to|of|for|has|attempt|failed|failure|error|problem|status)`, "Delivery to these recipients"},
		{"delivery failed, words between", `deliv?e?r?y? .{0,80}(failed|aborted)`, "delivery of your mail to the list was aborted"},
		{"the following address", `following (address|recipient|user|domain)`, "the following addresses had errors"},
		{"fatal error", `fatal errors?`, "permanent fatal errors"},
		{"permanent error", `permanent(ly)? (error|fail)`, "This is a permanent error"},
		{"returned", `returned (to|mail|message|as)`, "It was returned to you"},
		{"user unknown",
			`(user|recipient|mailbox|account|address|host|domain)( name)?( is)? ` +
				`(unknown|not (found|recognized|listed|known|exist)|does ?n.t exist|unavailable|disabled|rejected|inactive|full)`,
			"User unknown"},
		{"unknown user", `unknown (user|recipient|address|host|mailbox)`, "Unknown host"},
		{"no such user", `no such (user|mailbox|address|recipient|domain|person)`, "No such user here"},
		{"not listed", `not listed in`, "not listed in Domino Directory"},
		{"over quota", `over ?quota`, "The user is over quota"},
		{"quota exceeded", `quota exceeded`, "Quota exceeded"},
		{"rejected", `rejected (your|the|by|recipient|address)`, "The server rejected your message"},
		{"access denied", `access denied`, "Access denied"},
		{"no member", `not a member`, "You are not a member of this list"},
		{"members only", `members? only`, "This list is for members only"},
		{"giving up", `giving up`, "Giving up on 192.0.2.1"},
		{"given up", `given up`, "I have given up"},
		{"no recipients", `no valid recipients?`, "503 no valid recipients"},
		{"the server said", `remote (host|server) said`, "Remote host said: 550"},
		{"SMTP error", `smtp error`, "SMTP error from remote mail server"},
		{"transcript", `transcript of session`, "----- Transcript of session follows -----"},
		{"reason", `failure reasons?`, "Failure reason: none given"},
		{"too large", `too large`, "Your message is too large"},
		{"size limit", `size limit`, "It exceeds the size limit"},
		{"sendmail", `while talking to`, "... while talking to mx.isp.example"},
		{"trouble", `trouble delivering`, "We had trouble delivering it"},
		{"a cloud service's notice", `"notificationtype":\s*"bounce"`, `{"notificationType": "Bounce"}`},
		{"ja: could not be sent", `送信できま`, "送信できませんでした"},
		{"ja: could not be delivered", `配信できま`, "配信できませんでした"},
		{"ja: could not be brought", `お届けでき`, "お届けできませんでした"},
		{"ja: bringing it", `届けること`, "届けることができません"},
		{"ja: could not be forwarded", `配送でき`, "配送できませんでした"},
		{"ja: failed to send", `送信に失敗`, "メールの送信に失敗しました"},
		{"ja: failed to deliver", `配信に失敗`, "配信に失敗しました"},
		{"ja: sending failed", `送信失敗`, "送信失敗"},
		{"ja: delivery failed", `配信失敗`, "配信失敗"},
		{"ja: not found", `見つかりません`, "宛先が見つかりません"},
		{"ja: does not exist", `存在しません`, "このアドレスは存在しません"},
		{"ja: that does not exist", `存在しない`, "存在しないアドレスです"},
		{"ja: refused", `受信(が)?(拒否|を拒否)`, "受信が拒否されました"},
		{"ja: because of an error", `エラーのため`, "エラーのため返送します"},
		{"ja: not arrived", `不達`, "不達です"},
		{"ja: unknown recipient", `宛先不明`, "宛先不明です"},
		{"ja: unsent", `未送信`, "未送信のメールです"},
		{"ja: cannot send", `送れません`, "メールを送れません"},
		{"ja: too much", `容量(を|が)?(超|オーバー)`, "容量を超えています"},
		{"ja: error", `エラー(メール|により|が発生)`, "エラーが発生しました"},
	})

	// codeInText are the reply codes of a dialogue (RFC 5321, 4.2) in a text.
	codeInText = phrase.Any(`%s`, phrase.Table{
		{"code and status", `(?:^|[^\d.])[45][0-5]\d[ \-]+#?[45]\.\d{1,3}\.\d{1,3}\b`, "550 5.1.1 no such user"},
		{"code after a word", `(?m:(?:said|response|reply|error|with|<<<|because|>)\W{0,12}[45][0-5]\d[ \-])`, "the host said: 550 no"},
		{"status in brackets", `\(#?[45]\.\d{1,3}\.\d{1,3}\b`, "no mailbox here by that name (#5.1.1)"},
		{"code at the start of a line", `(?m:^\s{0,8}[45][0-5]\d[ \-]\S)`, "  550 no such user"},
	})

	delayWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"delivery delayed", `delivery (status notification \(delay|delayed|is delayed|temporarily|has been delayed|delay)`, "Delivery delayed"},
		{"delayed mail", `\bdelayed\b.{0,40}(mail|message|delivery)`, "Delayed: your mail"},
		{"mail delayed", `(mail|message|delivery).{0,40}\bdelayed\b`, "Your message is being delayed"},
		{"warning", `warning: (could not|message|your|mail)`, "Warning: could not send message for past 4 hours"},
		{"not yet delivered", `not yet been delivered`, "It has not yet been delivered"},
		{"still trying", `still (trying|being retried|in the queue)`, "We are still trying"},
		{"will be tried again", `will (be retried|(keep|continue) (on )?(trying|retrying)|try again)`, "It will be retried"},
		{"nothing to do", `no action is required on your part`, "No action is required on your part"},
		{"attempts go on", `delivery attempts will continue`, "Delivery attempts will continue"},
		{"ja: delivery late", `配信(が)?(遅延|遅れ)`, "配信が遅延しています"},
		{"ja: sent again", `再送(を)?(試み|信を続け)`, "再送を試みます"},
		{"ja: not yet", `まだ(配信|送信)されて`, "まだ配信されていません"},
	})

	finalWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"permanent", `permanent(ly)? (error|fatal|fail)`, "permanent failure"},
		{"given up", `given up`, "We have given up"},
		{"giving up", `giving up`, "I'm giving up"},
		{"no further", `no further`, "No further attempts will be made"},
		{"will not be tried", `will not (be )?(tried|try)`, "It will not be tried again"},
		{"not going to try", `not going to try`, "I'm not going to try again"},
		{"fatal", `fatal errors`, "had permanent fatal errors"},
		{"failed for good", `delivery (has )?failed permanently`, "Delivery has failed permanently"},
	})

	// returnedMark is the line above the mail that a bounce returns in its text.
	returnedMark = phrase.Any(`(?im)^[ \t]*[-=*_#+]{0,40}[ \t]*(%s).*$`, phrase.Table{
		{"below this line", `below this line is a copy`, "--- Below this line is a copy of the message."},
		{"this is a copy", `this is a copy of (the|your)`, "This is a copy of your message"},
		{"original message", `original message\b`, "---- Original message ----"},
		{"original mail", `original mail info`, "Original mail information"},
		{"headers of the original", `(the )?headers? of the original`, "The headers of the original mail"},
		{"included", `included is a copy`, "Included is a copy of the mail"},
		{"returned message", `returned message`, "*** Returned message ***"},
		{"unsent message", `unsent message`, "----- Unsent message follows -----"},
		{"undelivered message", `undelivered message`, "Undelivered message"},
		{"message headers", `(the )?(original )?message headers? follow`, "The original message headers follow"},
		{"message header", `message header follows`, "Message header follows"},
		{"original attached", `the original message (is|was) (attached|included|follows)`, "The original message was included as attachment"},
		{"your message", `your (original )?message follows`, "Your message follows"},
		{"body", `body of (the )?(original )?message`, "Body of the original message"},
		{"returned mail", `returned mail follows`, "Returned mail follows"},
		{"returned, after a line", `---- ?returned`, "---- returned"},
		{"ja: former mail", `元のメール`, "-- 元のメール --"},
		{"ja: original message", `オリジナルメッセージ`, "-----オリジナルメッセージ-----"},
		{"ja: from here", `以下は(元|送信)`, "以下は送信されたメールです"},
	})
)

// The signs of a complaint.
var (
	feedbackText = phrase.Any(`(?i)%s`, phrase.Table{
		{"report for a mail", `email abuse report for an? e?-?mail`, "This is an email abuse report for an email message"},
		{"abuse report", `this is an? .{0,40}abuse report`, "This is a spam abuse report"},
		{"field", `feedback-type:`, "Feedback-Type: abuse"},
		{"a cloud service's notice", `"notificationtype":\s*"complaint"`, `{"notificationType": "Complaint"}`},
		{"spam complaint", `spam complaint`, "A spam complaint"},
	})
	feedbackSubject = phrase.Any(`(?i)^(%s)`, phrase.Table{
		{"complaint", `complaint about message from`, "complaint about message from 192.0.2.1"},
		{"abuse report", `abuse report`, "Abuse report"},
		{"feedback report", `email feedback report`, "Email Feedback Report for IP 192.0.2.1"},
		{"FBL", `fbl report`, "FBL report"},
		{"spam", `spam (complaint|report)`, "Spam report"},
		{"feedback loop", `\[?feedback[- ]loop`, "[Feedback-Loop] mail"},
	})
)

// The signs of an automatic answer.
var (
	// autoStart are beginnings of subjects.
	autoStart = phrase.Any(`(?i)^\s*%s`, phrase.Table{
		{"automatic reply",
			`auto(matic(ally)?|mated)?[-_: ]*` +
				`(re|reply|response|respon|answer|generated|submitted|antwort|message|away|mail)`,
			"Automatic reply: report"},
		{"out of office", `out[- ]of[- ](the[- ])?office`, "Out of Office: report"},
		{"out of office, short", `ooo\b`, "OOO report"},
		{"vacation", `vacation`, "Vacation message"},
		{"away", `away (until|from)`, "Away until Monday"},
		{"on holiday", `on (vacation|leave|holiday)`, "On holiday"},
		{"I am away", `i am (away|out|on)`, "I am away"},
		{"currently away", `currently (away|out)`, "Currently out"},
		{"de: away", `abwesen`, "Abwesenheitsnotiz"},
		{"de: automatic", `automatische`, "Automatische Antwort"},
		{"fr: automatic", `réponse auto`, "Réponse automatique"},
		{"fr: away", `absence`, "Absence du bureau"},
		{"it: automatic", `risposta auto`, "Risposta automatica"},
		{"es: automatic", `respuesta auto`, "Respuesta automática"},
		{"ja: automatic", `自動(返信|応答|配信|送信)`, "自動配信メール"},
		{"ja: away", `不在`, "不在通知"},
		{"ja: on holiday", `休暇`, "休暇中です"},
	})
	// autoWords are words of subjects.
	autoWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"ja: automatic", `自動(返信|応答)`, "【自動返信】お問い合わせ"},
		{"ja: accepted", `受付(完了|いたしました|しました)`, "受付完了のお知らせ"},
		{"ticket opened",
			`(ticket|request|case|incident|report|inquiry|message|mail|e-?mail).{0,30}` +
				`(received|created|opened|registered|logged|acknowledg)`,
			"Your ticket was created"},
		{"received a request", `(received|acknowledg\w*) .{0,20}(ticket|request|report|inquiry)`, "Received your report"},
		{"we have received", `we (have )?received your`, "We have received your mail"},
		{"thank you", `thank you for (contacting|your (e-?mail|message|report|inquiry|enquiry))`, "Thank you for contacting us"},
		{"zh: automatic", `自动回复`, "自动回复：报告"},
		{"zh: automatic, traditional", `自動回覆`, "自動回覆"},
		{"ko: automatic", `자동 ?응답`, "자동 응답"},
	})
	autoText = phrase.Any(`(?i)%s`, phrase.Table{
		{"this is automatic", `this is an auto(mated|matic)( \w+)? (re|mess|mail|e-?mail|acknow)`, "This is an automated reply."},
		{"automatically generated", `auto(matically)?[- ]generated (mail|e-?mail|message|re)`, "This is an automatically generated message"},
		{"do not reply", `do not (reply|respond) to this (mail|e-?mail|message)`, "Please do not reply to this e-mail"},
		{"I am away",
			`(i am|i'm|i will be) (currently )?(out of|away|on (vacation|leave|holiday))`,
			"I am currently out of the office"},
		{"ja: this mail is automatic", `このメールは(、)?(自動|システム)`, "このメールはシステムから送られました"},
		{"ja: automatic", `自動(返信|応答|配信|送信)(メール|して|にて|いたし)`, "自動送信しています"},
		{"ja: no answers", `返信(は|いただいても).{0,20}(できません|お受け)`, "ご返信いただいてもお答えできません"},
	})
)
