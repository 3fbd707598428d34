package notify

import "teiten/internal/phrase"

// The sentences of automatic answers. Each has to be the first that a mail says
// (after its greeting), or to come with another sign.
var (
	// robotWords say themselves that a machine speaks.
	robotWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"this is automatic", `\b(this|the following) (is|was|has been) (an? )?(auto(mated|matic(ally)?|[- ]?generated)|computer[- ]generated|system[- ]generated)`,
			"This is an automated reply."},
		{"this mail was sent automatically", `^this (e-?mail|mail|message|reply|response|notice)( address)? (is|was|has been) (sent |generated |created )?` +
			`(auto(matically|mated|matic)?|by (an?|our|the) (automat|system|robot|autorespond))`, "This message was generated automatically."},
		{"automatic, at the beginning", `^\W{0,6}auto(mated|matic)?[- ]?(reply|response|acknowledg|message|notification|e-?mail)`, "*** Automated response ***"},
		{"do not reply", `^(please )?(do not|don't) (reply|respond) to this (mail|e-?mail|message)`, "Please do not reply to this e-mail"},
		{"ja: this mail is automatic", `(この|本)(メール|連絡|通知)は[^。]{0,30}(自動|システム)[^。]{0,20}(送|返信|配信|発信|応答)`, "このメールは自動返信です。システムから送信しています"},
		{"ja: this mail is automatic, short", `^\W{0,9}(この|本)(メール|連絡)は[^。]{0,12}自動`, "本メールは自動返信メールです"},
		{"ja: automatic", `自動(で|にて|的に)?(返信|応答|配信|送信)(を)?(して(おり|い)ま|させていただいて|いたして(おり|い)ま|でお送り|にてお送り)`, "自動送信しております"},
		{"de", `^(dies|diese|das) [^.]{0,40}automatisch (generiert|erstellt|erzeugt|versendet|verschickt|gesendet)|^dies ist eine automatische`, "Diese Nachricht wurde automatisch erstellt."},
		{"fr", `^(ceci|ce (message|courriel|mail)|cet e-?mail) (est|a été) [^.]{0,30}automatique|^message automatique`, "Ceci est un message automatique."},
		{"es", `^est[ea] (es un |correo |mensaje |respuesta )[^.]{0,40}(automátic|generad[oa])`, "Este es un mensaje automático."},
		{"pt", `^est[ae] (é uma |e-?mail |mensagem |resposta )[^.]{0,40}(automátic|gerad[oa])`, "Esta é uma mensagem automática."},
		{"it", `^quest[oa] (è un|e-?mail|messaggio|risposta)[^.]{0,40}automatic`, "Questo è un messaggio automatico."},
		{"nl", `^dit (is een|bericht)[^.]{0,40}automatisch`, "Dit is een automatisch bericht."},
		{"sv, da, no", `^det(ta|te)? (är|er) [^.]{0,30}auto(matisk|svar|genere)`, "Detta är ett automatiskt svar."},
		{"ru", `^(это|данное) [^.]{0,40}(автоматическ|автоматически)`, "Это автоматическое уведомление."},
		{"pl", `^(to|ta|niniejsza) [^.]{0,40}(automatyczn|wygenerowan)`, "Ta wiadomość została wygenerowana automatycznie."},
		{"zh", `(本|此|这是)[^。]{0,10}(邮件|郵件|信件|系统)[^。]{0,10}自[动動](发|發|回|生成|產生)`, "本邮件由系统自动发送"},
		{"zh: this is", `^(这|這)是[^。]{0,10}自[动動]`, "这是一封自动回复邮件"},
		{"ko", `(본|이) ?메일은[^.]{0,20}(자동|시스템)|자동(으로)? ?(발송|회신|응답)[^.]{0,10}(메일|입니다|되었)`, "본 메일은 자동으로 발송되었습니다"},
	})

	// ackWords say that our mail came in, and no more.
	ackWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"something was opened",
			`\b(ticket|request|case|incident|report|inquiry|enquiry|message|e-?mail|complaint|submission|query|issue|notification)s?\b` +
				`[^.]{0,50}\b(has|have|was|were|is|been) (now |just )?(been )?(successfully |automatically |now |just )?` +
				`(received|created|opened|registered|logged|acknowledged|submitted|assigned|queued|accepted|generated|recorded|entered|filed|added|raised|routed)\b`,
			"A new ticket has been opened for your message"},
		{"we have received",
			`\bwe('ve| have| are| did)? (just |now )?(acknowledge|confirm(ed)? (the )?(receipt|that we)|(received|got|registered|logged|recorded) (your|the|it|an?|this (e-?mail|mail|message|report|request))\b)`,
			"We have received your report"},
		{"receipt", `\b(confirm|acknowledg)\w* (the )?(receipt|reception|that we|that your)|\breceipt of your\b`, "This is to confirm the receipt of your mail"},
		{"got it", `^(just )?confirming that we (got|received)|^we('ve| have)? got your`, "Just confirming that we got your request."},
		{"number", `\byour (new )?(ticket|case|request|reference|tracking|incident|support)( (ticket|case|request))? ?(number|id|no\.?|#|reference)`, "Your ticket number is 12345"},
		{"assigned a number", `\b(assigned|given) (it )?(the )?(an? )?(ticket|case|reference|tracking|incident)`, "It was assigned case 12345"},
		{"thanks for contacting", `^(thank you|thanks) for (contacting|reaching out|getting in touch|writing)[^.]{0,60}(received|respond|reply|get back|soon|shortly)`,
			"Thank you for contacting us, we will get back to you shortly"},
		{"will be handled", `\b(your|this) (ticket|request|report|message|e-?mail|mail|inquiry|complaint)[^.]{0,40}(will be|is being) (reviewed|processed|handled|answered|investigated|forwarded|dealt)`,
			"Your report will be reviewed by our staff"},
		{"ja: taken", `(お?問い?合わ?せ|ご?連絡|ご?報告|通報|メール|ご?依頼|ご?申請|ご?相談|ご?意見|チケット|リクエスト|内容)[^。]{0,14}(を|が|は)[^。]{0,10}` +
			`(承り|受け付け|受付け|受付(完了|いた|し)|受理|受領|受信いた|登録(いた|され|し)|作成(いた|され)|発行(いた|され))`, "お問い合わせを承りました。"},
		{"ja: accepted", `受付(を)?(完了|いたしました|しました|致しました)|受け付けました|受け付けいたしました|承りました`, "受付完了のお知らせ"},
		{"ja: number", `(受付|お?問い?合わ?せ|チケット|整理|案件)(番号|no)[^。]{0,40}(です|となります|でございます|ご?連絡|発行)`, "受付番号は 12345 です"},
		{"ja: in order", `(内容|担当(者|部署)?)[^。]{0,20}(確認(の(うえ|上)|後|次第|し、)|より)[^。]{0,24}(返信|回答|ご?連絡|対応)(を)?(いたします|致します|させていただきます|差し上げます)`,
			"内容を確認のうえ、担当者よりご連絡いたします。"},
		{"de", `(ticket|anfrage|nachricht|meldung|e-?mail|anliegen|mail|vorgang)[^.]{0,50}(erhalten|eingegangen|eröffnet|erstellt|registriert|angelegt|erfasst|entgegengenommen)`,
			"Ihre Anfrage ist bei uns eingegangen."},
		{"fr", `(avons bien reçu|bien (été )?(reçue?|enregistrée?|prise? en compte)|(ticket|demande|message|courriel)[^.]{0,40}(créée?|ouverte?|enregistrée?|reçue?))`, "Nous avons bien reçu votre message."},
		{"es", `(hemos recibido|ha sido (recibid|cread|registrad)|se ha (creado|abierto|registrado)|hemos (abierto|registrado|creado))`, "Hemos recibido su mensaje."},
		{"pt", `(recebemos (a )?(sua|seu|o)|foi (recebid|criad|registrad|abert)|(chamado|ticket|protocolo)[^.]{0,40}(aberto|criado|registrado))`, "Recebemos a sua mensagem."},
		{"it", `(abbiamo ricevuto|è stat[oa] (ricevut|apert|creat|registrat|presa in carico))`, "Abbiamo ricevuto la Sua richiesta."},
		{"nl", `(hebben (uw|je|jouw) [^.]{0,30}(ontvangen|geregistreerd)|is (goed )?(ontvangen|aangemaakt|geregistreerd)|(bericht|melding|ticket|verzoek)[^.]{0,30}(ontvangen|aangemaakt))`,
			"Wij hebben uw bericht ontvangen."},
		{"sv, da, no", `(har (nu )?(tagit emot|mottagit|modtaget|mottatt|registrerat|skapats)|(ärende|sak|henvendelse|ticket)[^.]{0,30}(skapats|registrerats|mottagits|oprettet|opprettet|registrert))`,
			"Vi har mottagit ditt ärende."},
		{"ru", `(обращение|заявка|запрос|письмо|сообщение|тикет|жалоба)[^.]{0,40}(получен|принят|зарегистрирован|создан|открыт)|мы получили ваш`, "Ваше обращение зарегистрировано."},
		{"pl", `(zgłoszenie|wiadomość|ticket|sprawa)[^.]{0,40}(otrzyman|przyjęt|zarejestrowan|utworzon)|otrzymaliśmy (twoj|pańs|państwa)`, "Państwa zgłoszenie zostało zarejestrowane."},
		{"zh", `(我们|我們|系统|系統)?(已|已经|已經)(经)?(收到|接收|受理|创建|建立|登记|記錄|记录)[^。]{0,30}|(邮件|郵件|工单|工單|请求|請求|举报|投诉|来信|來信|問題|问题|反馈)[^。]{0,16}(已|被)[^。]{0,6}(收到|受理|创建|建立|提交|登记)`,
			"我们已收到您的邮件"},
		{"ko", `(문의|신고|메일|요청|접수|티켓)[^.]{0,20}(접수(되었|하였|했|됐|완료)|등록(되었|됐)|수신(되었|하였)|생성(되었|됐)|잘 받았)`, "문의가 접수되었습니다."},
	})

	// awayWords say that the reader is not there.
	awayWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"en", `\b(i am|i'm|i will be|i'll be) (currently |now |presently |still )?(out of (the )?(office|country)|away|on (vacation|leave|holiday|annual leave|a business trip|maternity|parental)|travell?ing|absent|not in the office|out until)`,
			"I am currently out of the office"},
		{"en, short", `^(currently )?(out of (the )?office|on (vacation|leave|holiday)|away from (my desk|the office)) (until|from|till|through)`, "Out of office until 5 December."},
		{"en, office closed", `^(our|the) office (is|will be) closed`, "Our office is closed until 4 January."},
		{"de", `(ich bin|bin ich) .{0,50}(nicht im (büro|haus)|abwesend|im urlaub|nicht erreichbar|außer haus)`, "Ich bin bis 5. Dezember nicht im Büro."},
		{"fr", `(je suis|je serai|actuellement) [^.]{0,30}(absente?|en congés?|en déplacement|hors du bureau)`, "Je suis absent jusqu'au 5 décembre."},
		{"es", `(estoy|estaré|me encuentro) [^.]{0,30}(fuera de la oficina|de vacaciones|ausente)`, "Estoy fuera de la oficina."},
		{"pt", `(estou|estarei|encontro-me) [^.]{0,30}(de férias|em férias|ausente|fora do escritório)`, "Estou de férias."},
		{"it", `(sono|sarò) [^.]{0,30}(fuori (sede|ufficio)|in ferie|assente)`, "Sono in ferie."},
		{"nl", `(ik ben|ben ik) [^.]{0,40}(niet op kantoor|met vakantie|op vakantie|afwezig)`, "Ik ben afwezig."},
		{"sv, da, no", `(jag är|jeg er|är jag) [^.]{0,30}(på semester|på ferie|inte på (kontoret|plats)|ikke (på kontoret|til stede)|borta|ledig|tjänstledig|bortrest)`, "Jag är på semester."},
		{"ru", `(я |меня )[^.]{0,30}(в отпуске|не в офисе|отсутству|нет в офисе|в командировке)|нахожусь в отпуске`, "Я в отпуске до 5 декабря."},
		{"pl", `(jestem|przebywam) [^.]{0,30}(na urlopie|poza biurem|nieobecn)`, "Jestem na urlopie."},
		{"ja", `(不在(にして|と(なり|なって)|です|のため)|休暇(中|を(取得|いただ|頂))|休み(を)?(いただ|頂)|出張(中|のため)|休業(とさせて|期間|いたし|中))`, "休暇中のため不在です。"},
		{"zh", `我(目前|现在|現在|将|將|正)?(正)?(在|于)?[^。]{0,12}(休假|出差|外出|不在(办公室|辦公室)|度假|请假)`, "我目前不在办公室。"},
		{"ko", `(현재 )?[^.]{0,16}(부재 ?중|휴가 ?중|출장 ?중|자리를 비)`, "현재 부재중입니다."},
	})

	// workWords tell what was done, of a customer, or ask us something: a person's.
	workWords = phrase.Any(`(?i)%s`, phrase.Table{
		{"repairs", `\b(clean(ed|s)?( up)?|isolat(ed|es)|disconnect(ed|s)|disinfect(ed|s)|reinstall(ed|s)|re-?imag(ed|es)|rebuil[td]|patch(ed|es)|wip(ed|es)|unplugg(ed)|quarantin(ed)|` +
			`null-?rout(ed)|shut (it |them )?(down|off)|t(ook|aken) (it |them |the \w+ |that \w+ )?(off|down|out)|switched (it |them )?off|suspended|block(ed|s)|terminated|secured|remediated|mitigated|fix(ed|es)|removed|stopped)\b`,
			"we cleaned 192.0.2.10 this morning"},
		{"results", `\b(we|i|he|she|they) (\w+ )?(found|identified|located|traced|looked into|checked|told|informed|contacted|called|asked|warned|closed|resolved|verified)\b`,
			"We found the machine behind 192.0.2.10"},
		{"ended", `\b(is|are|was|were|been|now) (now )?(offline|clean|resolved|solved|fixed|closed|down|gone)\b`, "the host is offline"},
		{"customer", `\b(our|the|this|that|my) (customer|client|subscriber|tenant|end[- ]?user|colleague)s?\b`, "we told our customer"},
		{"false alarm", `\b(false (positive|alarm)|honeypot|research scan|penetration test|pentest)\b`, "It is a false positive"},
		{"asks us", `\b(could|can|would) you (please |kindly )?(tell|send|give|provide|share|confirm|resend|explain|check)\b|\bplease (tell|send|provide|share|resend|forward) (us|me|the|more|your)\b`,
			"Could you tell us whether you see more?"},
		{"ja: done", `(隔離|停止|遮断|駆除|切断|初期化|再インストール|再構築|撤去|交換|除去|ブロック|削除|封じ込め|更新|修正|無効化|対策|復旧|処置|対応)(を)?(実施)?(いたしました|致しました|しました|済み|済です|を完了|が完了|完了)`,
			"当該機器を停止しました。"},
		{"ja: told, found", `(連絡|通知|依頼|注意喚起|指導|特定|判明|確認)(を)?(いたしました|致しました|しました|が取れ|済み)|(お客様|契約者|利用者|顧客)(に|へ|が|から)[^。]{0,30}(連絡|通知|依頼|回答|対応)`,
			"契約者に連絡しました。"},
		{"ja: under way", `(調査|確認|対応)(中(です|で(ござ|あ)|となって)|を(開始|進めて))`, "現在調査中です。"},
		{"ja: asks us", `(教えて|ご教示|ご提供|送付して|お送り)(いただ|頂|くだ|下さ)`, "ログをご教示ください。"},
		{"de", `(bereinigt|isoliert|gesperrt|getrennt|neu (installiert|aufgesetzt)|abgeschaltet|behoben|deaktiviert|entfernt|informiert|kontaktiert)|\b(unser|der|dem|den|unseren|unserem)( \w+)? kunden?\b`,
			"Wir haben den Rechner vom Netz getrennt."},
		{"fr", `(nettoyée?|isolée?|bloquée?|déconnectée?|réinstallée?|désactivée?|corrigée?|supprimée?|coupée?|suspendue?)\b|\b(notre|le) client\b`, "La machine a été isolée."},
		{"es, pt", `(limpiad|aislad|bloquead|desconectad|reinstalad|desactivad|corregid|eliminad|apagad|isolad|desligad|corrigid|desativad|formatad)[oa]s?\b|\b(nuestro|el|o|nosso) cliente\b`,
			"El equipo fue aislado."},
		{"it", `(pulit|isolat|bloccat|disconness|reinstallat|disattivat|corrett|rimoss|spent)[oaie]\b|\b(il|nostro) cliente\b`, "La macchina è stata isolata."},
		{"nl, sv", `(opgeschoond|geïsoleerd|geblokkeerd|losgekoppeld|afgesloten|verholpen|rensat|rensad|isolerat|isolerad|blockerat|kopplat bort|åtgärdat|avstängd)|\b(onze|de) klant\b|(vår|våran) kund|\bkunden\b`,
			"De machine is geïsoleerd."},
		{"ru, pl", `(очищен|изолирован|заблокирован|отключ[её]н|отключили|переустанов|устранен|удал[её]н|wyczyszczon|odłączon|zablokowan|odizolowan|usunięt|przeinstalowan)|(наш|нашему|нашим) клиент|nasz(ego|emu)? klient`,
			"Хост отключён от сети."},
		{"zh", `(已|已经|已經)[^。]{0,6}(清除|隔离|隔離|处理完|處理完|修复|修復|断开|斷開|关闭|關閉|封禁|封锁|封鎖|下线|重装|重裝|停机|停用|通知(了)?(客户|用户|用戶))|(我们|我們)的(客户|客戶|用户|用戶)`,
			"我们已隔离该主机"},
		{"ko", `(격리|차단|치료|제거|조치|분리|재설치|중지|삭제)(를|을)? ?(하였|했|완료|되었)|고객(에게|님께)`, "해당 서버를 격리하였습니다."},
	})

	// condition makes of what was done what would be done.
	condition = phrase.Any(`(?i)%s`, phrase.Table{
		{"en", `\b(if|once|when|whenever|after|until|unless|will|may|might|should|shall|would|in case|as soon as|to be|before|whether)\b`, "once it is fixed"},
		{"de", `\b(wenn|falls|sobald|nachdem|werden|wird|sollte|ob)\b`, "sobald es behoben ist"},
		{"romance", `\b(si|lorsque|quand|dès|sera|seront|cuando|será|serán|caso|quando|sarà|se)\b`, "lorsque la machine est isolée"},
		{"ja", `(場合|次第|のち|後に|予定|際は|いたします|致します|させていただきます)`, "対応完了次第"},
		{"zh, ko", `(如果|若|一旦|之后|将会|將會|하시면|경우|예정)`, "如果已处理"},
		{"ru, pl", `(если|когда|после|будет|будут|jeśli|gdy|zostanie|po )`, "если хост отключён"},
	})

	// ackSubject are subjects of acknowledgments. People write the like, so the text
	// has to say it as well.
	ackSubject = phrase.Any(`(?i)%s`, phrase.Table{
		{"something opened",
			`\b(ticket|request|case|incident|report|inquiry|enquiry|message|mail|e-?mail|complaint)\b.{0,40}` +
				`(received|created|opened|registered|logged|acknowledg|confirmation)`,
			"Your ticket was created"},
		{"received something", `\b(received|acknowledg\w*)\b:?.{0,20}(ticket|request|report|inquiry|incident|case|mail|message)|^received:`, "Received your report"},
		{"new ticket", `\b(new|your) (support )?(ticket|request|case)\b`, "New support ticket"},
		{"thank you", `thank you for (contacting|your (e-?mail|message|report|inquiry|enquiry))`, "Thank you for contacting us"},
		{"ja: accepted", `(受付|受け付け|承り|受領|お問い?合わ?せ(いただき)?ありがとう|受信確認)`, "【受付番号:2026-1】お問い合わせを承りました"},
		{"de", `(ticket|anfrage|meldung|nachricht).{0,30}(erhalten|eröffnet|eingegangen|erstellt|bestätigung)|eingangsbestätigung`, "Ihre Anfrage ist eingegangen"},
		{"romance", `(accusé de réception|demande (reçue|enregistrée)|(ticket|solicitud|chamado|richiesta|mensaje).{0,30}(recib|cread|criad|abert|abiert|apert|ricevut|registrad))`,
			"Solicitud recibida"},
		{"nl, sv", `(ontvangstbevestiging|(melding|verzoek|bericht).{0,20}ontvangen|ärende.{0,30}(mottag|skapat|registrer)|bekräftelse|kvittering)`, "Ontvangstbevestiging"},
		{"ru, pl", `((обращение|заявка|запрос|тикет).{0,30}(принят|получен|зарегистр|создан)|zgłoszeni.{0,30}(przyję|zarejestr|otrzym|utworz))`, "Ваша заявка принята"},
		{"zh", `(已收到|已受理|受理通知|工单(已|号|创建)|收到您的)`, "您的邮件已收到"},
		{"ko", `(접수(되었|완료|번호|확인)|문의.{0,8}접수)`, "문의가 접수되었습니다"},
	})
)
