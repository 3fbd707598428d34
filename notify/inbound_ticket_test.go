package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// subjects are made up after the manners of ticket systems.
var ticketMails = []struct{ subject, text, number, tag string }{
	{"[isp.example #12345] AutoReply: [TT-2026-000001] Hosts in your network (445/TCP)", "", "12345", "[isp.example #12345]"},
	{"Re: [TT-2026-000001] [Example NOC #7] x", "", "7", "[Example NOC #7]"},
	{"[Ticket#2026112710000012] RE: [TT-2026-000001] Hosts", "", "2026112710000012", "[Ticket#2026112710000012]"},
	{"[Ticket#: 2026112710000012] Received", "", "2026112710000012", "[Ticket#: 2026112710000012]"},
	{"[Request received] [TT-2026-000001] Hosts", "Your request (#12345) has been received.\n\n[ABC123-4567]\n", "ABC123-4567", "[ABC123-4567]"},
	{"Re: Hosts (#12345)", "", "12345", "(#12345)"},
	{"Request received", "Your request (#12345) has been received and is being reviewed.", "12345", "(#12345)"},
	{"ABC-123 Hosts in your network [TT-2026-000001]", "", "ABC-123", "ABC-123"},
	{"[JIRA] (ABUSE-4711) Hosts in your network", "", "ABUSE-4711", "(ABUSE-4711)"},
	{"Re: [ABC-123] x", "", "ABC-123", "[ABC-123]"},
	{"INC0012345 has been opened on your behalf", "", "INC0012345", "INC0012345"},
	{"Received: Incident - INC0012345", "", "INC0012345", "INC0012345"},
	{"[#12345] Ticket Received - [TT-2026-000001] Hosts", "", "12345", "[#12345]"},
	{"[#ABC-123-45678]: Hosts", "", "ABC-123-45678", "[#ABC-123-45678]"},
	{"Case 00123456: Hosts [ ref:!00D0x00!5000x0:ref ]", "", "ref:!00D0x00!5000x0:ref", "ref:!00D0x00!5000x0:ref"},
	{"Ticket ID: 987654 - received", "", "987654", "[Ticket ID: 987654]"},
	{"Ticket#2026112710000012 opened", "", "2026112710000012", "[Ticket#2026112710000012]"},
	{"Thank you", "The ticket number for this request is 778899.", "778899", "[Ticket #778899]"},
	{"Your case number is 00456", "", "00456", "[Case #00456]"},
	{"Thank you", "We have given it reference number: AB-2211-X.\n", "AB-2211-X", "AB-2211-X"},
	{"Thank you", "Your ticket 123456 has been created.\n", "123456", "[Ticket #123456]"},
	{"【受付番号：12345】お問い合わせを受け付けました", "", "12345", "【受付番号:12345】"},
	{"[受付番号:12345] 自動返信", "", "12345", "[受付番号:12345]"},
	{"お問い合わせありがとうございます", "お問い合わせ番号：　ＡＢ－１２３４５\n", "AB-12345", "[お問い合わせ番号: AB-12345]"},
	{"自動返信", "受付番号は「20261127-0042」です。\n", "20261127-0042", "[受付番号: 20261127-0042]"},
	{"自動返信", "■チケット番号\n  778899\n", "778899", "[チケット番号: 778899]"},
	{"Re: ご連絡", "管理番号 : ABC2026-0012 にて対応いたします。", "ABC2026-0012", "[管理番号: ABC2026-0012]"},
	{"Re: ご連絡", "案件No. K-55 でお願いします", "K-55", "[案件No.: K-55]"},
	{"[JPCERT#12345678] Re: x", "", "12345678", "[JPCERT#12345678]"},
	{"[Support Ticket 12345678] Hosts", "", "12345678", "[Support Ticket 12345678]"},
	{"[Case: 4711] Hosts", "", "4711", "[Case: 4711]"},
	{"Request ID : ##RE-1234##", "", "RE-1234", "##RE-1234##"},
	{"Received CRM:0012345", "", "CRM:0012345", "CRM:0012345"},
	{"Ihre Meldung", "Ihre Ticketnummer: 20261127-77\n", "20261127-77", "[Ticketnummer: 20261127-77]"},
	{"自动回复", "您的工单号：998877", "998877", "[工单号: 998877]"},
	{"자동 응답", "접수번호: 2026-00123", "2026-00123", "[접수번호: 2026-00123]"},
	{"Your report #445566 to us", "", "445566", "#445566"},

	// Ours, and what is no ticket.
	{"Re: [TT-2026-000001] Hosts in your network appear to be infected (445/TCP)", "Case [TT-2026-000001]\n", "", ""},
	{"Re: [TT-2026-000001] x", "案件番号: [TT-2026-000001]\n2026-11-27", "", ""},
	{"Re: x", "Please leave [TT-2026-000001] in the subject. case+tt-2026-000001.45.abcdefghijklmnopqrst@teiten.example", "", ""},
	{"Re: CVE-2026-12345 (CVE-2026-12345) [CVE-2026-12345]", "reference: CVE-2026-12345, MS17-010, RFC-5965 and KB4012212", "", ""},
	{"[JVN#12345678] MS17-010 and [MS17-010]", "", "", ""},
	{"Report of 2026-11-27 (20261127) [2026]", "Case of 2026-11-27, reference 27-11-2026", "", ""},
	{"Re: case 192.0.2.10", "case: 192.0.2.10, ticket: 2001:db8::1, request #198.51.100.7:445", "", ""},
	{"Re: Case: 445/TCP", "Incident: 445/TCP, ref: 8.0% and ticket 10,000", "", ""},
	{"Out of office", "I am away. In case of 20 emergencies, or in case no 2FA helps, call +81-3-0000-0000.", "", ""},
	{"AS64500 IPV4-12345 UTF-8 ISO-2022", "", "", ""},
	{"電話番号: 03-0000-0000", "電話受付時間: 9時から17時\nAS番号: 64500\nポート番号: 445\n登録番号: T1234567890123", "", ""},
	{"Hello", "> [isp.example #12345]\n> 受付番号: 12345\nhttps://isp.example/ticket?id=12345", "", ""},
}

func TestRemoteTickets(t *testing.T) {
	t.Parallel()
	for _, test := range ticketMails {
		got := remoteTicket(&Mail{subject: test.subject, text: test.text})
		if got.number != test.number || got.tag != test.tag {
			t.Errorf("%q %q:\n got %q %q, want %q %q", test.subject, test.text, got.number, got.tag, test.number, test.tag)
		}
		if got.tag == "" {
			continue
		}
		subject := withTicket("[TT-2026-000009] Hosts in your network (445/TCP)", got.tag)
		if want := "[TT-2026-000009] " + got.tag + " Hosts in your network (445/TCP)"; subject != want {
			t.Errorf("subject %q, want %q", subject, want)
		}
		if again := withTicket(subject, got.tag); again != subject {
			t.Errorf("the ticket is there twice: %q", again)
		}
		if back := remoteTicket(&Mail{subject: "Re: " + subject}); back.number != got.number && got.tag != "AB-2211-X" {
			t.Errorf("%q is read as %q, want %q", subject, back.number, got.number)
		}
	}
}

// TestTicketIsNamedOnce: a subject that has it in another form is left alone.
func TestTicketIsNamedOnce(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{"[TT-2026-000001] Re: [ISP.example #12345] x", "[TT-2026-000001] Re: x (#12345)", "[TT-2026-000001] Re: Ticket ID: 12345"} {
		if got := withTicket(subject, "[isp.example #12345]"); got != subject {
			t.Errorf("got %q", got)
		}
	}
	if got := withTicket("[TT-2026-000001] Re: [isp.example #99]", "[isp.example #12345]"); !strings.Contains(got, "#12345") {
		t.Errorf("got %q", got)
	}
}

func TestTicketTagsAreHarmless(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"[a #1]\r\nBcc: x@y.example": "[a #1] Bcc: x@y.example", "[a\u202e\u200b #1]": "[a #1]", "=?utf-8?q?1?=": "", "[TT-2026-000001]": "",
		"words": "", strings.Repeat("1", 81): "",
	} {
		if got := TicketTag(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestOurOwnLettersHaveNoTicket: people send them back unquoted.
func TestOurOwnLettersHaveNoTicket(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d letters, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		subject, body, _ := strings.Cut(string(text), "\n")
		if got := remoteTicket(&Mail{subject: "Re: " + subject, text: "Thank you.\n\n" + body}); got.number != "" {
			t.Errorf("%s: %+v", file, got)
		}
	}
}

func FuzzRemoteTicket(f *testing.F) {
	for _, test := range ticketMails {
		f.Add(test.subject, test.text, "isp.example #1")
	}
	f.Fuzz(func(t *testing.T, subject, text, header string) {
		p := ParseMail([]byte("Rt-Ticket: " + header + "\n\n"))
		p.subject, p.text = subject, text
		got := remoteTicket(p)
		if (got.number == "") != (got.tag == "") && got.tag != "" {
			t.Errorf("number %q, tag %q", got.number, got.tag)
		}
		if len(got.tag) > maxTicketTag || len(got.number) > maxTicketTag || strings.ContainsAny(got.tag+got.number, "\r\n\x00") || !utf8.ValidString(got.tag) ||
			strings.Contains(got.tag, "=?") || ourNumber.MatchString(got.tag+got.number) {
			t.Errorf("number %q, tag %q", got.number, got.tag)
		}
		if subject := encodeSubject(withTicket("[TT-2026-000009] x", got.tag)); !strings.HasPrefix(subject, "[TT-2026-000009] ") || strings.ContainsAny(subject, "\r\n") {
			t.Errorf("subject %q", subject)
		}
	})
}
