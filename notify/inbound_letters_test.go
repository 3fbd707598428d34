package notify_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"teiten/notify"
)

// written is text in a language with the charset that its mail is in.
type written struct {
	words   []string
	charset encoding.Encoding
	names   []string // of other charsets, that the bytes contradict
}

// scripts are texts whose bytes contradict the charset that is named.
func scripts() []written {
	ja := []string{"対応いたしました。機器を停止しました。", "ご連絡ありがとうございます。隔離しました。", "お世話になっております。確認いたします。"}
	utf8 := append([]string{"我们已隔离该主机。", "해당 서버를 격리하였습니다.", "Хост отключён от сети.", "La machine a été isolée, désolé.", "Größe geändert, Gerät getrennt."}, ja...)
	return []written{
		{utf8, unicode.UTF8, []string{"ISO-2022-JP", "iso-2022-jp-ms", "us-ascii", "EUC-JP", "iso-8859-1", "windows-1252", "x-unknown", "", "utf-16", "gb2312", "euc-kr", "Shift_JIS"}},
		{ja, japanese.ShiftJIS, []string{"utf-8", "iso-2022-jp", "us-ascii", "", "x-sjis-unheard-of"}},
		{ja, japanese.EUCJP, []string{"utf-8", "iso-2022-jp", "us-ascii", "", "x-unknown"}},
		{ja, japanese.ISO2022JP, []string{"utf-8", "us-ascii", "", "Shift_JIS", "EUC-JP", "iso-8859-1"}},
		{[]string{"해당 서버를 격리하였습니다.", "문의가 접수되었습니다."}, korean.EUCKR, []string{"utf-8", "us-ascii", ""}},
		{[]string{"La machine a été isolée, désolé.", "Größe geändert, Gerät getrennt."}, charmap.Windows1252, []string{"utf-8", "us-ascii", "", "iso-2022-jp"}},
		{[]string{"Хост отключён от сети, клиент уведомлён."}, charmap.KOI8R, []string{"utf-8", "us-ascii", ""}},
		{[]string{"Хост отключён от сети, клиент уведомлён."}, charmap.Windows1251, []string{"utf-8", "us-ascii", ""}},
		{[]string{"我们已隔离该主机，请再观察。"}, simplifiedchinese.GBK, []string{"gb2312", "gbk", "GB18030"}},
	}
}

// inCharset is a text with its bytes in its charset.
func inCharset(r *rapid.T) (words, raw string, names []string) {
	s := rapid.SampledFrom(scripts()).Draw(r, "script")
	words = rapid.SampledFrom(s.words).Draw(r, "words")
	raw, err := s.charset.NewEncoder().String(words)
	if err != nil {
		r.Fatal(err)
	}
	return words, raw, s.names
}

// TestKindCharsets (M13): the named charset contradicts the bytes.
func TestKindCharsets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		words, raw, names := inCharset(r)
		kind := "text/plain"
		if name := rapid.SampledFrom(names).Draw(r, "name"); name != "" {
			kind += "; charset=" + name
		}
		head := "From: abuse@isp.example\nTo: " + replyTo + "\nSubject: Re: x\nMIME-Version: 1.0\nContent-Type: " + kind + "\nContent-Transfer-Encoding: "
		mail := head + "8bit\n\n" + raw
		if rapid.Bool().Draw(r, "base64") {
			mail = head + "base64\n\n" + base64.StdEncoding.EncodeToString([]byte(raw))
		}
		if got := notify.ClassifyMail("made up", []byte(crlf(mail))); got.Text != words {
			r.Errorf("%s: %q, want %q", kind, got.Text, words)
		}
	})
}

// TestKindSubjectBytes (M14): encoded words without padding or cut within a
// character, raw bytes.
func TestKindSubjectBytes(t *testing.T) {
	t.Parallel()
	word := func(charset, b string) string {
		return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString([]byte(b)) + "?="
	}
	rapid.Check(t, func(r *rapid.T) {
		words, raw, _ := inCharset(r)
		forms := []string{
			strings.ReplaceAll(word("UTF-8", words), "=?=", "?="),
			"=?UTF-8?B?" + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(words)), "=") + "?=",
			"=?utf-8*ja?b?" + base64.RawStdEncoding.EncodeToString([]byte(words)) + "?=",
			"=?ISO-2022-JP?B?" + base64.RawStdEncoding.EncodeToString([]byte(words)) + "?=", // UTF-8 in fact
			word("utf-8", words[:len(words)/2]) + "\n " + word("utf-8", words[len(words)/2:]),
			"=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(words)), // without its end
			raw,
		}
		subject := rapid.SampledFrom(forms).Draw(r, "form")
		got := notify.ClassifyMail("made up", []byte(crlf("From: abuse@isp.example\nTo: "+replyTo+"\nSubject: "+subject+"\nMIME-Version: 1.0\nContent-Type: text/plain\n\nDone.\n")))
		if got.Subject != words {
			// Chinese without a name is one of several charsets: no guess is sure.
			if subject == raw && strings.Contains(words, "我们") {
				return
			}
			r.Errorf("%q: %q, want %q", subject, got.Subject, words)
		}
	})
}

// TestKindNamedText (M15): the only text of a mail has a file name.
func TestKindNamedText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom([]string{"text/plain", "text/html"}).Draw(r, "kind")
		name := rapid.SampledFrom([]string{`; name="mail.txt"`, `; name=body`, "\nContent-Disposition: inline; filename=\"a.txt\"", "\nContent-Disposition: attachment; filename=\"reply.txt\"", "\nContent-Disposition: attachment"}).Draw(r, "name")
		head := "From: abuse@isp.example\nTo: " + replyTo + "\nSubject: Re: x\nMIME-Version: 1.0\n"
		named := "Content-Type: " + kind + "; charset=utf-8" + name + "\n\n対応しました。\n"
		beside := "Content-Type: text/plain; charset=utf-8\n\nsee log\n"
		multi := func(parts ...string) string {
			return head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Join(parts, "\n--b\n") + "\n--b--\n"
		}
		picture := "Content-Type: image/png; name=\"logo.png\"\nContent-Transfer-Encoding: base64\n\niVBORw0K\n"
		for _, c := range []struct{ raw, text string }{{head + named, "対応しました。"}, {multi(named), "対応しました。"}, {multi(named, picture), "対応しました。"}, {multi(picture, named), "対応しました。"},
			{multi(beside, named), "see log"}, {multi(named, beside), "see log"}, {multi(named, named), ""}} {
			if got := notify.ClassifyMail("made up", []byte(crlf(c.raw))); got.Text != c.text || got.Class != "human" {
				r.Errorf("%s %q, want %q:\n%s", got.Class, got.Text, c.text, c.raw)
			}
		}
	})
}

// TestKindTickets (M16): numbers in the ways of desks, and words that are none.
func TestKindTickets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n := fmt.Sprint(rapid.IntRange(100_000, 18_999_999).Draw(r, "number"))
		form := rapid.SampledFrom([]string{"Ticket No.%s", "Ticket No. %s", "Case No.%s", "Ticket-ID:%s", "Ref. No.: %s", "[Ticket No.%s]", "Request #%s", "受付番号:%s", "受付No.%s", "お問い合わせNo.%s", "【受付番号：%s】",
			"チケット番号 %s", "弊社管理番号: %s", "案件管理番号:%s", "Ticketnummer: %s", "Ticket number is %s", "Ticket ID %s", "工单编号：%s", "접수번호: %s"}).Draw(r, "form")
		subject := "Re: [TT-2026-000001] Hosts - " + fmt.Sprintf(form, n)
		m := madeUp{from: "abuse@isp.example", to: replyTo, subject: subject, text: "done"}
		compare(r, subject, m.classified(), "class=human ticket="+n)
		long := fmt.Sprintf("%d-%d", rapid.Int64Range(10_000_000, 99_999_999_999).Draw(r, "long"), rapid.IntRange(1, 99).Draw(r, "part"))
		m.subject = "Your abuse report [" + long + "] Re: [TT-2026-000001]"
		compare(r, m.subject, m.classified(), "ticket="+long)
		none := rapid.SampledFrom([]string{"Issue: SMBv1 was still enabled.", "Issue: Log4Shell", "issue: win10 without patches", "Case: IPv6 only", "Reference: TL-WR841N router", "Incident: WannaCry2 worm", "Issue: port445 open", "Request: HTTP2 only",
			"資産管理番号: " + n, "機器管理番号:AB-" + n, "お客様管理番号 " + n, "構成管理番号：" + n, "Ticket: closed", "Issue: telnet23", "case: v4only"}).Draw(r, "none")
		m.subject, m.text = "Re: [TT-2026-000001] Hosts", none
		compare(r, none, m.classified(), "class=human ticket=(none)")
	})
}

// TestKindNotices (M18): a relay's notifications in JSON.
func TestKindNotices(t *testing.T) {
	t.Parallel()
	bounce := func(kind, sub, status, diagnostic, address string) map[string]any {
		return map[string]any{"bounce": map[string]any{"bounceType": kind, "bounceSubType": sub, "bouncedRecipients": []any{map[string]any{
			"emailAddress": address, "action": "failed", "status": status, "diagnosticCode": diagnostic}}}}
	}
	notices := []struct {
		kind string
		more map[string]any
		want string
	}{
		{"Bounce", bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 unknown user", "abuse@isp.example"), "class=bounce hard=true status=5.1.1 recipient=abuse@isp.example answers=false"},
		{"Bounce", bounce("Permanent", "NoEmail", "", "", "abuse@isp.example"), "class=bounce hard=true status=5.1.1"},
		{"Bounce", bounce("Transient", "MailboxFull", "5.2.2", "smtp; 552 5.2.2 over quota", "abuse@isp.example"), "class=bounce hard=false status=5.2.2"},
		{"Bounce", bounce("Permanent", "Suppressed", "5.1.1", "Amazon SES has suppressed sending to this address", "abuse@isp.example"), "class=bounce hard=false"},
		{"Bounce", bounce("Permanent", "OnAccountSuppressionList", "5.1.1", "on the suppression list of your account", "abuse@isp.example"), "class=bounce hard=false"},
		{"Bounce", bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 unknown user", "former.member@mail.example"), "class=bounce hard=false"},
		{"Bounce", bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 message blocked as spam", "abuse@isp.example"), "class=bounce hard=false"},
		{"Bounce", bounce("Transient", "ContentRejected", "5.7.1", "smtp; 554 rejected", "abuse@isp.example"), "class=bounce hard=false"},
		{"Complaint", map[string]any{"complaint": map[string]any{"complainedRecipients": []any{map[string]any{"emailAddress": "abuse@isp.example"}}, "complaintFeedbackType": "abuse"}},
			"class=feedback waits=true answers=false recipient=abuse@isp.example"},
		{"DeliveryDelay", map[string]any{"deliveryDelay": map[string]any{"delayType": "MailboxFull", "delayedRecipients": []any{map[string]any{"emailAddress": "abuse@isp.example", "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2"}}}},
			"class=delay hard=false answers=false"},
		{"Delivery", map[string]any{"delivery": map[string]any{"recipients": []any{"abuse@isp.example"}}}, "class=autoreply answers=false waits=false"},
	}
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.SampledFrom(notices).Draw(r, "notice")
		body := map[string]any{rapid.SampledFrom([]string{"notificationType", "eventType"}).Draw(r, "type"): n.kind,
			"mail": map[string]any{"source": bounceTo, "destination": []any{"abuse@isp.example"}, "commonHeaders": map[string]any{"messageId": "<tt.token5@csirt.example>"}}}
		for k, v := range n.more {
			body[k] = v
		}
		text, err := json.Marshal(body)
		if rapid.Bool().Draw(r, "indented") {
			text, err = json.MarshalIndent(body, "", "  ")
		}
		if rapid.Bool().Draw(r, "in a notification") && err == nil {
			text, err = json.Marshal(map[string]any{"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": string(text), "SignatureVersion": "1"})
		}
		if err != nil {
			r.Fatal(err)
		}
		m := madeUp{from: "AWS Notifications <no-reply@sns.amazonaws.example>", to: "csirt@csirt.example", subject: "AWS Notification Message", alone: true,
			text: string(text) + rapid.SampledFrom([]string{"", "\n\n--\nIf you wish to stop receiving notifications from this topic, please visit the link below.\n"}).Draw(r, "end")}
		compare(r, "M18", m.classified(), n.want)
		if got := m.classified(); got.Token != strings.TrimSuffix(bounceTo, "@csirt.example") || got.Case != "TT-2026-000001" {
			r.Errorf("token %q, case %q", got.Token, got.Case)
		}
		m.text = "Hello,\n\nwe got this from our relay:\n\n" + m.text // a person's
		if n.kind != "Bounce" {
			return
		}
		compare(r, "M18, quoted", m.classified(), "class=human")
	})
}
