package notify_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"teiten/notify"
)

// TestKindDaemon (M7): a machine returns our mail, in whatever language.
func TestKindDaemon(t *testing.T) {
	t.Parallel()
	senders := []string{"MAILER-DAEMON@mail.isp.example", "Mail Delivery System <MAILER-DAEMON@relay.example>", "<>", "mailer-daemon@isp.example", "Mail Delivery Subsystem <x@isp.example>"}
	shared := []string{"no-reply@mail.isp.example", "postmaster@isp.example", "noreply@isp.example", "\"System Administrator\" <admin@isp.example>"}
	words := []struct{ subject, text, want string }{
		{"系统通知", "很抱歉，您的邮件没有送达收件人。\n\n<abuse@isp.example>:", ""},
		{"Meddelande", "Tyvärr gick det inte att lämna meddelandet.\n\n<abuse@isp.example>", ""},
		{"알림", "메일이 전달되지 않았습니다.\n\n<abuse@isp.example>: 편지함 용량 초과", "status=5.2.2 hard=false"},
		{"メールエラー通知", "送信先のメールボックスが一杯のため、送信できませんでした。\n\n<abuse@isp.example>", "status=5.2.2 hard=false"},
		{"Returned mail", "The mailbox of abuse@isp.example is full.\n550 5.2.2 over quota", "status=5.2.2 hard=false"},
		{"Уведомление", "Письмо не доставлено.\n\n<abuse@isp.example>: пользователь не существует", "hard=true"},
		{"Benachrichtigung", "Ihre Mail wurde nicht zugestellt.\n\n<abuse@isp.example>: Empfänger unbekannt", "hard=true"},
		{"通知", "<abuse@isp.example>: 用户不存在", "hard=true"},
		{"不達通知", "配信不能\n\n<abuse@isp.example>", ""},
		{"Avis", "<abuse@isp.example>: 550 5.1.1 destinataire inconnu", "status=5.1.1 hard=true"},
	}
	rapid.Check(t, func(r *rapid.T) {
		w := rapid.SampledFrom(words).Draw(r, "words")
		m := madeUp{from: rapid.SampledFrom(senders).Draw(r, "from"), to: rapid.SampledFrom([]string{bounceTo, bounceTo, "csirt@csirt.example"}).Draw(r, "to"), subject: w.subject, text: w.text,
			returned: true, alone: true}
		if rapid.Bool().Draw(r, "shared sender") {
			m.from, m.to = rapid.SampledFrom(shared).Draw(r, "from"), bounceTo
		}
		compare(r, "M7", m.classified(), "class=bounce answers=false "+w.want)
	})
}

// acknowledgments are what desks say before a person has read anything.
var acknowledgments = []struct{ subject, text string }{
	{"[Ticket ID: 417233] [TT-2026-000001] Hosts", "Dear Example CSIRT,\n\nA new ticket has been opened for your message and our staff will look at it.\nYou can follow it online at any time.\n\nPriority: Medium\nStatus: Open"},
	{"[#417233] Ticket received: Hosts", "Hi,\n\nThank you for contacting us. Your request (#417233) has been received and is being reviewed by our support staff.\nTo add additional comments, reply to this email."},
	{"Re: [TT-2026-000001] Hosts (#417233)", "Hello,\n\nWe have received your abuse report and will process it as soon as possible.\n\nYour ticket number is 417233."},
	{"Support Ticket Opened [417233]", "Thank you for contacting our support team. A support ticket has now been opened for your request. You will be notified when a response is made by email.\n\nSubject: Hosts\nPriority: High\nStatus: Open"},
	{"Just confirming we got your request (ABUSE-41723)", "Just confirming that we got your request. We're on it.\n\nView request · Turn off this request's notifications"},
	{"INC0041723 has been opened on your behalf", "Incident INC0041723 has been created. Click here to view it."},
	{"【受付番号:2026-118822】お問い合わせを承りました", "サンプルネット abuse 窓口です。\n\nお問い合わせを承りました。内容を確認のうえ、必要に応じて対応いたします。\n個別の調査結果の回答は差し控えさせていただいております。"},
	{"お問い合わせありがとうございます (受付番号 417233)", "この度はお問い合わせいただき、誠にありがとうございます。\n以下の内容で受け付けいたしました。\n担当者より順次ご連絡いたします。"},
	{"[Ticket#2026113010000017] Ihre Anfrage", "Sehr geehrte Damen und Herren,\n\nIhre Anfrage ist bei uns eingegangen und wird bearbeitet. Ihre Ticketnummer: 2026113010000017"},
	{"[Ticket 417233] Demande enregistrée", "Bonjour,\n\nNous avons bien reçu votre message. Un technicien le traitera dans les meilleurs délais."},
	{"Ticket [417233] creado", "Estimado cliente:\n\nHemos recibido su mensaje y se ha creado el ticket 417233."},
	{"[Chamado #417233] aberto", "Olá,\n\nRecebemos a sua mensagem. O chamado foi aberto e será analisado."},
	{"Richiesta [417233]", "Gentile utente,\n\nabbiamo ricevuto la Sua richiesta. Sarà gestita al più presto."},
	{"Ontvangstbevestiging [417233]", "Beste heer,\n\nWij hebben uw bericht ontvangen. U ontvangt zo spoedig mogelijk antwoord."},
	{"Ärende [417233] mottaget", "Hej,\n\nVi har mottagit ditt ärende. Vi återkommer så snart som möjligt."},
	{"Заявка [417233] принята", "Здравствуйте!\n\nВаше обращение зарегистрировано. Специалист ответит вам."},
	{"Zgłoszenie [417233]", "Dzień dobry,\n\nPaństwa zgłoszenie zostało zarejestrowane pod numerem 417233."},
	{"[工单 417233] 已收到", "您好，\n\n我们已收到您的邮件，将尽快处理。工单号：417233"},
	{"[문의 417233]", "안녕하세요.\n\n문의가 접수되었습니다. 담당자가 확인 후 답변드리겠습니다."},
	{"Abuse Desk Auto Response", "We appreciate your report. Due to the volume of mail we can't answer each one."},
	{"工单已创建 [20261130001]", "尊敬的客户，您的工单已创建，我们会尽快回复。"},
	{"[문의접수] 문의가 접수되었습니다", "고객님의 문의가 정상적으로 접수되었습니다."},
	{"RE: Hosts [Case 00012345]", "Thank you for contacting Example ISP Abuse. This is an automatic acknowledgement that we received your complaint."},
	{"受付完了のお知らせ", "※本メールは自動配信です。\n\nお申し出を受け付けました。"},
	{"Abuse report [417233]", "This is an automated reply. Your report was forwarded to our abuse team.\n\nDo not reply to this message."},
}

// TestKindAcknowledgment (M8): acknowledgments without any field that says so.
func TestKindAcknowledgment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := rapid.SampledFrom(acknowledgments).Draw(r, "acknowledgment")
		m := madeUp{from: rapid.SampledFrom([]string{"Example Hosting <support@hosting.example>", "abuse@isp.example", "noreply@isp.example", "サンプルネット <abuse@isp.example>"}).Draw(r, "from"),
			to: replyTo, subject: w.subject, alone: rapid.Bool().Draw(r, "alone"),
			text: w.text + rapid.SampledFrom([]string{"", "\n\n-- \nExample Support\n", "\n\n> We are Example CSIRT.\n> we cleaned it\n", "\n\n-----Original Message-----\nFrom: CSIRT\nWe told our customer.\n"}).Draw(r, "end")}
		compare(r, "M8", m.classified(), "class=autoreply answers=false")
	})
}

// TestKindAway (M8): Exchange's prefixes in its languages, and absences by words.
func TestKindAway(t *testing.T) {
	t.Parallel()
	subjects := []string{"Automatic reply: %s", "自動応答: %s", "自动答复: %s", "自動回覆: %s", "자동 회신: %s", "Resposta automática: %s", "Respuesta automática: %s", "Réponse automatique : %s", "Automatische Antwort: %s",
		"Risposta automatica: %s", "Automatisch antwoord: %s", "Autosvar: %s", "Automatiskt svar: %s", "Автоматический ответ: %s", "Odpowiedź automatyczna: %s", "Automatická odpověď: %s", "Automaattinen vastaus: %s",
		"Otomatik yanıt: %s", "Out of Office: %s", "Abwesenheitsnotiz: %s", "[Example ISP] Auto-Reply: %s", "【自動返信】%s", "不在通知: %s", "Out of Office AutoReply: %s"}
	texts := []string{"我目前不在办公室。", "Estou de férias.", "I am away until 5 December.", "Ich bin bis 5. Dezember nicht im Büro.", "休暇中のため、ご連絡が遅れます。", "Jag är på semester.", "", "Ik ben afwezig.", "Я в отпуске."}
	rapid.Check(t, func(r *rapid.T) {
		m := madeUp{from: "A. Example <a.example@isp.example>", to: rapid.SampledFrom([]string{replyTo, bounceTo}).Draw(r, "to"),
			subject: fmt.Sprintf(rapid.SampledFrom(subjects).Draw(r, "prefix"), "[TT-2026-000001] Hosts"), text: rapid.SampledFrom(texts).Draw(r, "text")}
		compare(r, "M8", m.classified(), "class=autoreply answers=false waits=false")
		if m.text != "" { // as vacation programs answer that keep the subject
			m.subject = "Re: [TT-2026-000001] Hosts"
			compare(r, "M8 by its words", m.classified(), "answers=false")
		}
	})
}

// TestKindChallenge (M9): our mail waits until somebody proves something.
func TestKindChallenge(t *testing.T) {
	t.Parallel()
	challenges := []struct{ subject, text string }{
		{"Please confirm your message to desk@isp.example", "Hi,\n\nyour mail to desk@isp.example is held. To have it delivered, please open the page below\nonce and show that you are human:\n\nhttps://confirm.isp.example/c/0123456789"},
		{"Re: [TT-2026-000001] Hosts", "Your message to abuse@isp.example has not been delivered yet, because you are not on the list of approved senders. Click the link below to verify that you are not a robot: https://boxbe.example/v"},
		{"Please confirm your message", "This message was created automatically by mail delivery software (TMDA).\n\nYour message attached below is being held because the address has not been verified.\n\nTo release your message for delivery, please send an empty message to the following address, or use your mailer's \"Reply\" feature. Just reply to this message."},
		{"Spam Arrest: verification required", "I'm protecting myself from junk mail. Please click the link below to complete the verification process. You have to do this only once: https://spamarrest.example/a"},
		{"Your email requires verification", "The message you sent requires that you verify that you are a real live human being. To complete this, please click http://isp.example/x"},
		{"Sender verification", "Your mail will be delivered as soon as you confirm your address: https://isp.example/v/1"},
		{"Verification required", "You have sent a message to abuse@isp.example. Before it reaches the inbox, please complete the CAPTCHA at https://isp.example/c"},
		{"[Confirm] Hosts", "Your message has been quarantined. Reply to this message to release it."},
		{"送信者確認のお願い", "お送りいただいたメールは保留されています。下記のリンクにアクセスすると、メールが配信されます。\nhttps://isp.example/c/1"},
		{"メール受信確認", "お客様のメールをお届けするには、次の URL をクリックして認証をお願いいたします。 https://isp.example/c/1"},
		{"Bitte bestätigen Sie Ihre Nachricht", "Ihre Nachricht wird zurückgehalten. Um Ihre Nachricht zuzustellen, klicken Sie bitte auf https://isp.example/c"},
		{"Confirmez votre envoi", "Pour que votre message soit remis à son destinataire, cliquez sur ce lien : https://isp.example/c"},
		{"Confirme su mensaje", "Para que su mensaje sea entregado, haga clic en https://isp.example/c"},
		{"发件人验证", "您的邮件已被保留，请点击以下链接以投递您的邮件：https://isp.example/c"},
		{"메일 인증 요청", "링크를 클릭하면 메일이 전달됩니다. https://isp.example/c"},
		{"Подтвердите ваше письмо", "Чтобы письмо было доставлено, перейдите по ссылке https://isp.example/c"},
	}
	rapid.Check(t, func(r *rapid.T) {
		w := rapid.SampledFrom(challenges).Draw(r, "challenge")
		m := madeUp{from: rapid.SampledFrom([]string{"desk@isp.example", "verify@service.example", "noreply@isp.example"}).Draw(r, "from"), to: rapid.SampledFrom([]string{replyTo, bounceTo}).Draw(r, "to"),
			subject: w.subject, text: w.text, alone: rapid.Bool().Draw(r, "alone"),
			header: rapid.SampledFrom([][]string{nil, {"Auto-Submitted: auto-replied"}, {"Return-Path: <>"}, {"Precedence: bulk"}}).Draw(r, "fields")}
		compare(r, "M9", m.classified(), "class=challenge answers=false waits=true")
	})
}

// report is a delivery status of one recipient.
func report(final, more, action, status, diagnostic string) string {
	return more + "Final-Recipient: rfc822; " + final + "\nAction: " + action + "\nStatus: " + status + "\nDiagnostic-Code: smtp; " + diagnostic
}

func bounced(reported string) madeUp {
	return madeUp{header: []string{"Return-Path: <>"}, from: "Mail Delivery System <MAILER-DAEMON@relay.example>", to: bounceTo, alone: true, returned: true, report: reported,
		subject: "Undelivered Mail Returned to Sender", text: "Your message could not be delivered."}
}

// TestKindCodes (M10, M11): which codes and words prove that an address is dead.
func TestKindCodes(t *testing.T) {
	t.Parallel()
	unknown := []string{"user unknown", "<abuse@isp.example>: Recipient address rejected: User unknown in local recipient table", "no such user here", "mailbox not found", "The email account that you tried to reach does not exist", "Unrouteable address"}
	filter := []string{"message blocked due to spam content", "rejected by policy: listed at dnsbl.example", "virus detected", "your IP has a poor reputation", "fails DMARC", "Message content rejected"}
	limit := []string{"the sender has reached the daily limit for message recipients", "your account exceeded its hourly sending limit", "too many messages from you", "rate limit exceeded", "outbound quota reached"}
	hosts := []string{"DNS type mx lookup of isp.example responded with code NXDOMAIN", "Host or domain name not found. Name service error for name=isp.example type=MX: Host not found", "DNS Error: Domain name not found", "no such domain"}
	full := []string{"mailbox full", "Quota exceeded", "The recipient's inbox is out of storage space", "552 over quota", "メールボックスの容量を超えています"}
	later := []string{"Host not found, try again", "connection timed out", "DNS lookup failed: SERVFAIL"}
	cases := []struct {
		statuses, words []string
		want            string
	}{
		{[]string{"5.1.1", "5.1.10", "5.1.6"}, unknown, "class=bounce hard=true"},
		{[]string{"5.1.1", "5.1.2", "5.1.10", "5.1.3"}, filter, "class=bounce hard=false"},
		{[]string{"5.1.90", "5.1.1", "5.1.0", "5.1.20", "5.1.70", "5.7.1", "5.2.1"}, limit, "class=bounce hard=false"},
		{[]string{"5.1.90", "5.1.4", "5.1.9", "5.1.7", "5.1.8"}, []string{"not accepted", "cannot be done", ""}, "class=bounce hard=false"},
		{[]string{"5.1.2", "5.4.4", "4.0.0", "5.0.0"}, hosts, "class=bounce hard=true"},
		{[]string{"4.0.0", "5.0.0", "5.2.2", "5.1.1"}, full, "class=bounce hard=false status=5.2.2"},
		{[]string{"4.0.0"}, unknown, "class=bounce hard=true"},
		{[]string{"4.0.0", "4.4.1", "4.4.7"}, later, "class=bounce hard=false"},
	}
	rapid.Check(t, func(r *rapid.T) {
		c := rapid.SampledFrom(cases).Draw(r, "case")
		status := rapid.SampledFrom(c.statuses).Draw(r, "status")
		diagnostic := "550 " + rapid.SampledFrom([]string{status + " ", ""}).Draw(r, "code") + rapid.SampledFrom(c.words).Draw(r, "words")
		m := bounced(report("abuse@isp.example", "", "failed", status, diagnostic))
		compare(r, "M10, M11 "+status+" "+diagnostic, m.classified(), c.want)
	})
}

// TestKindAlias (M12): a dead member behind a living address.
func TestKindAlias(t *testing.T) {
	t.Parallel()
	members := []string{"former.member@mail.example", "abuse-team@isp.example", "a.example@isp.example", "abuse@other.example"}
	same := []string{"abuse@isp.example", "ABUSE@ISP.example", "abuse@mx1.isp.example"}
	rapid.Check(t, func(r *rapid.T) {
		member := rapid.SampledFrom(members).Draw(r, "member")
		text := "<" + member + "> (expanded from <abuse@isp.example>): host mx said: 550 5.1.1 user unknown"
		dead := []madeUp{bounced(report(member, "Original-Recipient: rfc822; abuse@isp.example\n", "failed", "5.1.1", "550 5.1.1 user unknown")),
			bounced(report(member, "", "failed", "5.1.1", "550 5.1.1 user unknown")),
			bounced(report(member, "Original-Recipient: rfc822; "+member+"\n", "failed", "5.1.1", "550 5.1.1 user unknown")),
			bounced(report("abuse@isp.example", "X-Actual-Recipient: rfc822; "+member+"\n", "failed", "5.1.1", "550 5.1.1 user unknown")), bounced("")}
		dead[4].text = text
		m := rapid.SampledFrom(dead).Draw(r, "form")
		compare(r, "M12", m.classified(), "class=bounce hard=false answers=false")
		own := rapid.SampledFrom(same).Draw(r, "own")
		compare(r, "M12, itself", bounced(report(own, "Original-Recipient: rfc822;abuse@isp.example\n", "failed", "5.1.1", "550 5.1.1 user unknown")).classified(), "class=bounce hard=true")
	})
}

// TestKindLineEnds (M17): lines that end in CR alone, or in several ways.
func TestKindLineEnds(t *testing.T) {
	t.Parallel()
	mails := []madeUp{bounced(report("abuse@isp.example", "", "failed", "5.1.1", "550 5.1.1 no such mailbox")), {from: "abuse@isp.example", to: replyTo, subject: "Re: x", text: "We cleaned it.\n\nA. Example"}}
	rapid.Check(t, func(r *rapid.T) {
		m := rapid.SampledFrom(mails).Draw(r, "mail")
		want := m.classified()
		ends := rapid.SampledFrom([][]string{{"\r"}, {"\r", "\r\n"}, {"\r", "\r\n", "\n"}, {"\r\r\n"}, {"\r\r\n", "\r\n", "\n"}, {"\n", "\r\n"}}).Draw(r, "ends")
		var b strings.Builder
		last := ends[0] // of the first line: with a line that surely ends in CR alone, CR CR LF is two ends
		for line := range strings.Lines(m.raw()) {
			end := last
			if b.Len() > 0 {
				end = rapid.SampledFrom(ends).Draw(r, "end")
			}
			if last == "\r" && end == "\n" && line == "\n" { // together they are one end
				end = "\r"
			}
			b.WriteString(strings.TrimSuffix(line, "\n") + end)
			last = end
		}
		got := notify.ClassifyMail("made up", []byte(b.String()))
		if got != want {
			r.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

// TestHeaderEndsInMixedLineEnds (M17): a line that ends in CR alone, then an empty
// one that ends in CRLF, look like one CR CR LF.
func TestHeaderEndsInMixedLineEnds(t *testing.T) {
	t.Parallel()
	m := madeUp{from: "abuse@isp.example", to: replyTo, subject: "Re: x", text: "We cleaned it."}
	mixed := strings.Replace(strings.ReplaceAll(m.raw(), "\n", "\r\n"), "8bit\r\n\r\n", "8bit\r\r\n", 1)
	if got, want := notify.ClassifyMail("made up", []byte(mixed)), m.classified(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
