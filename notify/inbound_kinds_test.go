package notify_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"teiten/internal/corpus"
	"teiten/notify"
)

// TestFieldMails reads the mails of the field: each kind of fault, and the
// controls beside them.
func TestFieldMails(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "field", func(t *testing.T, c corpus.Corpus) {
		list, err := os.ReadFile(filepath.Join(c.Dir, "mails", "expect.tsv"))
		if c.MadeUp {
			t.Skip("the kinds below are the made-up ones")
		}
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(list)) {
			field := strings.Split(strings.TrimSpace(line), "\t")
			if len(field) < 3 || strings.HasPrefix(line, "#") {
				continue
			}
			raw, err := os.ReadFile(filepath.Join(c.Dir, "mails", field[0]))
			if err != nil {
				t.Fatal(err)
			}
			n++
			compare(t, field[0], notify.ClassifyMail(field[0], raw), field[1])
		}
		if n < 30 {
			t.Errorf("only %d mails of the field", n)
		}
	})
}

var wanted = regexp.MustCompile(`(\w+)=("[^"]*"|\S+)`)

type failer interface {
	Errorf(format string, args ...any)
}

// compare compares a mail with what is written of it: class=human ticket=12.
func compare(t failer, name string, r notify.Classified, want string) {
	got := map[string]string{"class": r.Class, "hard": strconv.FormatBool(r.Hard), "status": r.Status, "answers": strconv.FormatBool(r.Answers),
		"waits": strconv.FormatBool(r.Waits), "ticket": r.RemoteTicket, "subject": r.Subject, "text": r.Text, "recipient": r.Recipient}
	for _, m := range wanted.FindAllStringSubmatch(want, -1) {
		value := strings.TrimSuffix(strings.Trim(m[2], `"`), "(none)")
		if have, known := got[m[1]]; !known || have != value {
			t.Errorf("%s: %s is %q, want %q (subject %q)\n%s", name, m[1], have, value, r.Subject, r.Text)
		}
	}
}

// letterOf is a mail of ours, as it comes back.
const letterOf = "From: contact@csirt.example\nTo: abuse@isp.example\nSubject: [TT-2026-000001] Hosts in your network appear to be infected (445/TCP)\n" +
	"Message-ID: <tt.token5@csirt.example>\n\nx\n"

const (
	replyTo  = "case+tt-2026-000001.5.aaaaaaaaaaaaaaaaaaaa@csirt.example"
	bounceTo = "b+tt-2026-000001.5.aaaaaaaaaaaaaaaaaaaa@csirt.example"
)

// madeUp is a mail of a generator.
type madeUp struct {
	header        []string
	from, to      string
	subject, text string
	report        string // message/delivery-status
	returned      bool   // with our mail
	alone         bool   // not an answer in the thread
}

// raw writes the mail.
func (m madeUp) raw() string {
	var b strings.Builder
	for _, h := range m.header {
		b.WriteString(h + "\n")
	}
	b.WriteString("From: " + m.from + "\nTo: " + m.to + "\nMessage-ID: <x@isp.example>\n")
	if !m.alone {
		b.WriteString("In-Reply-To: <tt.token5@csirt.example>\n")
	}
	b.WriteString("Subject: " + m.subject + "\nMIME-Version: 1.0\n")
	text := "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + m.text + "\n"
	kind := "multipart/mixed"
	switch {
	case m.report == "" && !m.returned:
		b.WriteString(text)
		return b.String()
	case m.report != "":
		kind = "multipart/report; report-type=delivery-status"
	}
	b.WriteString("Content-Type: " + kind + "; boundary=b\n\n--b\n" + text)
	if m.report != "" {
		b.WriteString("\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; relay.example\n\n" + m.report + "\n")
	}
	if m.returned {
		b.WriteString("\n--b\nContent-Type: message/rfc822\n\n" + letterOf)
	}
	b.WriteString("\n--b--\n")
	return b.String()
}

func (m madeUp) classified() notify.Classified {
	return notify.ClassifyMail("made up", []byte(crlf(m.raw())))
}

// person is a person's mail.
func person(r *rapid.T) madeUp {
	p := rapid.SampledFrom(people).Draw(r, "answer")
	hello := rapid.SampledFrom([]string{"", "Hello,\n\n", "Dear Example CSIRT,\n\nthank you for your report.\n\n", "サンプル CSIRT ご担当者様\n\nお世話になっております。\n\n"}).Draw(r, "greeting")
	sign := rapid.SampledFrom([]string{"", "\n\nA. Example\n", "\n\n-- \nA. Example\nThis is an automated message, do not reply.\n",
		"\n\n> 550 5.1.1 User unknown\n> This is an automated message\n", "\n\nOn Mon, 30 Nov 2026 Example CSIRT wrote:\n> Hosts\n"}).Draw(r, "signature")
	return madeUp{from: "Abuse Desk <abuse@isp.example>", to: replyTo, subject: rapid.SampledFrom(replySubjects).Draw(r, "subject"), text: hello + p + sign}
}

var replySubjects = []string{"Re: [TT-2026-000001] Hosts in your network appear to be infected (445/TCP)", "AW: [TT-2026-000001] Hosts", "[TT-2026-000001] Hosts",
	"Re: [TT-2026-000001] マルウエア感染が疑われる機器に関するご連絡", "About your mail [TT-2026-000001]"}

// people is what people answer.
var people = []string{
	"192.0.2.10 is isolated, the customer reinstalls it tonight.",
	"the host is cleaned, the ticket of our customer is closed.",
	"We found the machine behind 192.0.2.10 and took it off the network.\nCould you tell us whether you see more of our addresses?",
	"This is a honeypot of our research group, please ignore it.",
	"Which hosts do you mean? I see nothing in our logs.",
	"Fixed.",
	"We have received your report and isolated the host.",
	"We will check this tomorrow.", "The customer confirms that the mailbox server was compromised.", "ご連絡いただいた件、受付いたしました。現在調査中です。",
	"Your mail was held in our spam filter, I released it. We will check the host.", "您好，该主机已经处理完毕，谢谢。", "안녕하세요. 해당 서버는 조치 완료했습니다.",
	"当該機器を停止しました。", "ご指摘の 192.0.2.10 は隔離いたしました。", "契約者に連絡し、対応を依頼いたしました。", "該当する端末は見つかりませんでした。",
	"Wir haben den Rechner vom Netz getrennt und neu installiert.", "La machine a été isolée par notre équipe.", "El equipo fue desconectado de la red.",
	"我们已隔离该主机，请再观察。", "해당 서버를 격리하였습니다.", "Хост отключён от сети.", "Maskinen är isolerad och ominstallerad.", "De machine is van het netwerk losgekoppeld.",
	"A máquina foi desligada e formatada.", "Maszyna została odłączona od sieci.",
}

// TestKindSilenceAsked (M1): fields that ask others to be silent stand on what
// people write.
func TestKindSilenceAsked(t *testing.T) {
	t.Parallel()
	fields := []string{"X-Auto-Response-Suppress: All", "X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply", "X-Auto-Response-Suppress: OOF", "Precedence: list", "Precedence: bulk",
		"Precedence: junk", "List-ID: <abuse.isp.example>", "Auto-Submitted: no", "Auto-Submitted: No (written by a person)", "Auto-Submitted: (x) no", "Auto-Submitted: no; owner=x",
		"X-MS-Exchange-Inbox-Rules-Loop: a@isp.example", "List-Unsubscribe: <mailto:x@isp.example>", "X-Autoreply: no", "Sender: abuse-team@isp.example", "Feedback-ID: 1:2:3"}
	rapid.Check(t, func(r *rapid.T) {
		m := person(r)
		m.header = rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 1, 3, rapid.ID[string]).Draw(r, "fields")
		compare(r, "M1", m.classified(), "class=human answers=true waits=true")
	})
}

// TestKindThroughDesk (M2): a ticket system marks its people's words as automatic.
func TestKindThroughDesk(t *testing.T) {
	t.Parallel()
	desks := [][]string{{"Auto-Submitted: auto-generated", "X-Auto-Response-Suppress: All", "X-Mailer: Zendesk Mailer"}, {"Auto-Submitted: auto-generated", "Precedence: bulk", "X-JIRA-FingerPrint: 1"},
		{"Auto-Submitted: auto-generated", "RT-Ticket: isp.example #12", "RT-Originator: a@isp.example", "Precedence: bulk"}, {"Auto-Submitted: auto-replied"}, {"X-OTRS-Loop: yes"},
		{"Precedence: auto_reply"}, {"Auto-Submitted: auto-notified"}, {"X-Autoreply: yes"}}
	around := []string{"%s", "##- Please type your reply above this line -##\n\nA. Example (Example ISP)\n30 Nov 2026, 10:00\n\n%s", "—-—-—-—\nReply above this line.\n\nA. Example commented:\n\n%s\n\nView request\nTurn off notifications",
		"##- この線より上に返信を入力してください -##\n\n佐藤\n\n%s", "A. Example updated this request:\n\n%s\n\n--\nThis email is a service from Example ISP."}
	rapid.Check(t, func(r *rapid.T) {
		m := person(r)
		m.header = rapid.SampledFrom(desks).Draw(r, "desk")
		m.text = strings.Replace(rapid.SampledFrom(around).Draw(r, "around"), "%s", rapid.SampledFrom(people).Draw(r, "words"), 1)
		compare(r, "M2", m.classified(), "waits=true")
	})
}

// TestKindWordsInPassing (M3): words of absence or of automatic mail somewhere in an
// answer.
func TestKindWordsInPassing(t *testing.T) {
	t.Parallel()
	mentions := []string{"I am on leave from Thursday, so please send further questions to my colleague.", "I will be out of the office next week.", "You may have got an automatic reply before this mail.",
		"This is not an automated message.", "Please do not reply to this address.", "Thank you for contacting us.", "Our system opened ticket 4711 for it.", "来週は休暇のため、別の者が対応いたします。",
		"先ほど自動返信メールが届いているかと存じます。", "受付番号は 12345 です。", "Ich bin ab Montag im Urlaub.", "Je suis absent la semaine prochaine.", "下周我休假。", "The mail was sent automatically by our ticket system."}
	rapid.Check(t, func(r *rapid.T) {
		m := person(r)
		m.text = rapid.SampledFrom(people).Draw(r, "words") + rapid.SampledFrom([]string{" ", "\n\n"}).Draw(r, "gap") + rapid.SampledFrom(mentions).Draw(r, "mention")
		compare(r, "M3", m.classified(), "class=human answers=true")
	})
}

// TestKindSubjects (M4): people open threads of their own.
func TestKindSubjects(t *testing.T) {
	t.Parallel()
	subjects := []string{"Ticket opened with our customer: [TT-2026-000001]", "休暇明けに確認しました: [TT-2026-000001]", "Vacation is over, host cleaned [TT-2026-000001]", "Report received by our customer [TT-2026-000001]",
		"Out of office hours work is done [TT-2026-000001]", "不在中の対応について [TT-2026-000001]", "自動化ツールで確認しました [TT-2026-000001]", "Automatic updates were off [TT-2026-000001]", "Case closed: [TT-2026-000001]",
		"Re: Automatic reply: [TT-2026-000001]", "Antwort auf Ihre Anfrage [TT-2026-000001]", "Re: 自動応答: ご連絡", "Incident created at our provider [TT-2026-000001]", "受付した件の結果 [TT-2026-000001]", "Away team found the host [TT-2026-000001]",
		"Absence of logs [TT-2026-000001]", "Your report [TT-2026-000001]: acknowledged and fixed"}
	rapid.Check(t, func(r *rapid.T) {
		m := person(r)
		m.subject, m.alone = rapid.SampledFrom(subjects).Draw(r, "subject"), rapid.Bool().Draw(r, "alone")
		compare(r, "M4", m.classified(), "class=human answers=true")
	})
}

// TestKindNoReplySender (M5): desks send what their people write from noreply@.
func TestKindNoReplySender(t *testing.T) {
	t.Parallel()
	senders := []string{"Example Hosting Abuse Team <noreply@abuse.hosting.example>", "no-reply@isp.example", "do-not-reply@isp.example", "donotreply@isp.example", "\"A. Example via Desk\" <noreply+4711@isp.example>"}
	rapid.Check(t, func(r *rapid.T) {
		m := person(r)
		m.from = rapid.SampledFrom(senders).Draw(r, "from")
		if rapid.Bool().Draw(r, "reply-to") {
			m.header = []string{"Reply-To: ticket-4711@isp.example"}
		}
		compare(r, "M5", m.classified(), "class=human answers=true")
	})
}

// TestKindWordsOfBounces (M6): people write what servers write.
func TestKindWordsOfBounces(t *testing.T) {
	t.Parallel()
	senders := []string{"Abuse Desk <abuse@isp.example>", "Postmaster Team <postmaster@isp.example>", "Mail Administrator <a@isp.example>", "mailadmin@isp.example"}
	subjects := []string{"[TT-2026-000001] user unknown to us, host blocked", "Re: [TT-2026-000001] Hosts", "Re: Undeliverable: your mail", "[TT-2026-000001] account disabled", "ユーザー不明 [TT-2026-000001]"}
	words := []string{"192.0.2.10 was given to a customer who has left. The account is disabled and the router drops it.", "The user is unknown to us, the mailbox was full of spam and we closed it.",
		"I looked into 192.0.2.10: the user account is disabled now.", "Your mail to the customer could not be delivered, so we phone him.", "Our filter rejected your first mail, I have released it.", "宛先不明の契約でしたので、回線を停止しました。",
		"550 is what our server says to that host now, it is blocked."}
	rapid.Check(t, func(r *rapid.T) {
		m := madeUp{from: rapid.SampledFrom(senders).Draw(r, "from"), to: replyTo, subject: rapid.SampledFrom(subjects).Draw(r, "subject"), text: rapid.SampledFrom(words).Draw(r, "words") + "\n\nA. Example",
			alone: rapid.Bool().Draw(r, "alone")}
		compare(r, "M6", m.classified(), "class=human answers=true hard=false")
	})
}
