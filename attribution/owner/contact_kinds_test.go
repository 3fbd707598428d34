package owner_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"teiten/internal/registrytest"
)

// madeEntity is an entity of a made-up answer.
type madeEntity struct {
	handle  string
	roles   []string
	emails  []string
	kind    string
	status  []string
	remarks []string
	card    string // "": jCard, "js": JSContact
}

func (e madeEntity) json() string {
	m := map[string]any{"objectClassName": "entity", "handle": e.handle, "roles": e.roles}
	if e.status != nil {
		m["status"] = e.status
	}
	if e.remarks != nil {
		m["remarks"] = []any{map[string]any{"title": "remarks", "description": e.remarks}}
	}
	if e.card == "js" {
		emails := map[string]any{}
		for i, a := range e.emails {
			emails[fmt.Sprintf("e%02d", i)] = map[string]any{"address": a}
		}
		m["jscard"] = map[string]any{"@type": "Card", "version": "1.0", "kind": e.kind, "name": map[string]any{"full": e.handle}, "emails": emails}
	} else {
		card := []any{[]any{"fn", map[string]any{}, "text", e.handle}, []any{"kind", map[string]any{}, "text", e.kind}}
		for _, a := range e.emails {
			card = append(card, []any{"email", map[string]any{}, "text", a})
		}
		m["vcardArray"] = []any{"vcard", card}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// madeAnswer is a made-up answer with entities and remarks on the network.
func madeAnswer(entities []madeEntity, lines ...string) string {
	texts := make([]string, len(entities))
	for i, e := range entities {
		texts[i] = e.json()
	}
	rest := registrytest.Entities(strings.Join(texts, ","))
	if len(lines) > 0 {
		rest += remarks(lines...)
	}
	return registrytest.Network(rest)
}

func abuseEntity(emails ...string) madeEntity {
	return madeEntity{handle: "EXABU", roles: []string{"abuse"}, kind: "group", emails: emails}
}

func gateOf(r *rapid.T, answer string) string {
	c := chosen(r, answer)
	onceOnly(r, &c)
	return c.Contact.Email + " " + string(c.Contact.Gate)
}

// TestKindForbidden (D1): an address that a remark forbids, wherever it stands.
func TestKindForbidden(t *testing.T) {
	t.Parallel()
	const desk = "abuse@isp.example"
	forbid := []string{
		"Please do not send abuse complaints by e-mail to %s, use https://abuse.isp.example/", "Do NOT mail %s.", "Never write to %s; use our form.",
		"%s is not monitored", "%s is no longer in use.", "Mail sent to %s will be discarded.", "Reports to %s are ignored, use https://abuse.isp.example/",
		"%s is not for abuse complaints", "不正アクセスの連絡は %s には送らないでください。", "%s 宛のメールは受け付けておりません。", "%s は送信専用です", "请勿发送投诉至 %s",
		"Bitte senden Sie Beschwerden nicht an %s", "N'envoyez pas de plaintes à %s", "No envíe denuncias a %s", "Não envie denúncias para %s",
		"не отправляйте жалобы на %s", "Nobody reads %s", "Please use the web form instead of %s", "Dont send spam reports to %s",
	}
	allow := []string{
		"Please do not hesitate to contact %s", "Abuse: %s", "Please do not send spam. Abuse reports go to %s", "If you do not receive an answer write to %s again",
		"%s is monitored", "Send abuse complaints to %s, not to noc@isp.example", "%s is not monitored outside office hours", "Reports without logs sent to %s will be ignored",
		"不正アクセスの連絡先: %s", "Abuse %s; do not call by phone", "%s was validated on 2026-01-31", "N'hésitez pas à écrire à %s",
	}
	rapid.Check(t, func(r *rapid.T) {
		good := rapid.Bool().Draw(r, "good")
		line := rapid.SampledFrom(forbid).Draw(r, "forbid")
		if good {
			line = rapid.SampledFrom(allow).Draw(r, "allow")
		}
		written := rapid.SampledFrom([]string{desk, "ABUSE@isp.example", "<" + desk + ">", "abuse (at) isp (dot) example", "abuse＠isp.example", "abuse[at]isp.example"}).Draw(r, "written")
		line = fmt.Sprintf(line, written)
		var lines []string
		if cut := strings.Index(line, " to "); cut > 0 && !good && rapid.Bool().Draw(r, "over two lines") {
			lines = []string{line[:cut], line[cut+1:]}
		} else {
			lines = []string{line}
		}
		lines = append(rapid.SliceOfN(rapid.SampledFrom([]string{"Example ISP", "----", "Tokyo, Japan"}), 0, 2).Draw(r, "above"), lines...)
		e := abuseEntity(desk)
		answer := madeAnswer([]madeEntity{e}, lines...)
		if rapid.Bool().Draw(r, "at the entity") {
			e.remarks = lines
			answer = madeAnswer([]madeEntity{e})
		}
		want := desk + " human"
		if good {
			want = desk + " auto"
		}
		if got := gateOf(r, answer); got != want {
			r.Errorf("%q: got %s, want %s", lines, got, want)
		}
	})
}

// TestKindUnread (D1): the entity or the network says that mail is not read.
func TestKindUnread(t *testing.T) {
	t.Parallel()
	unread := []string{
		"This mailbox is not monitored. Reports must be filed at https://abuse.isp.example/ only.", "Emails to this address are not read.", "This e-mail address is no longer in use.",
		"We do not accept abuse reports by e-mail.", "Messages sent here will be automatically deleted.", "unattended mailbox", "This inbox is unmonitored",
		"このメールアドレスは監視していません。", "メールでの報告は受け付けておりません。フォームをご利用ください。", "此邮箱无人查看", "이 메일은 확인하지 않습니다", "Dieses Postfach wird nicht gelesen.",
		"Cette adresse n'est pas surveillée.", "Este buzón no se lee", "Esta caixa de correio não é monitorada.", "Этот ящик не проверяется",
	}
	read := []string{
		"This mailbox is monitored 24/7.", "Abuse reports must include logs with time zone.", "This mailbox is not monitored outside office hours.", "Reports without time stamps will be ignored.",
		"This range is not used for mail servers.", "Peering is not accepted here.", "Addresses of 192.0.2.128/25 are not in use.", "夜間の通報には対応しておりません。", "Complaints are answered within two days.",
	}
	rapid.Check(t, func(r *rapid.T) {
		good := rapid.Bool().Draw(r, "good")
		line, want := rapid.SampledFrom(unread).Draw(r, "unread"), "abuse@isp.example human"
		if good {
			line, want = rapid.SampledFrom(read).Draw(r, "read"), "abuse@isp.example auto"
		}
		e := abuseEntity("abuse@isp.example")
		answer := madeAnswer([]madeEntity{e}, "Example ISP", line)
		if rapid.Bool().Draw(r, "at the entity") {
			e.remarks = []string{line}
			answer = madeAnswer([]madeEntity{e})
		}
		if got := gateOf(r, answer); got != want {
			r.Errorf("%q: got %s, want %s", line, got, want)
		}
	})
}

// TestKindNoReader (D2): a mailbox that says by its name that nobody reads it.
func TestKindNoReader(t *testing.T) {
	t.Parallel()
	none := []string{"noreply", "no-reply", "no_reply", "NoReply", "donotreply", "do-not-reply", "do_not_reply", "dontreply", "devnull", "dev-null", "null", "blackhole", "black-hole",
		"no-email", "noemail", "nomail", "noreply-abuse", "abuse-noreply", "abuse.noreply", "noreply+abuse", "nobody", "unattended", "unmonitored", "mailer-daemon", "noresponse", "bounces", "noreply2"}
	some := []string{"abuse", "noc", "nora.reply", "nobel", "nullify", "norbert", "replies", "netabuse", "noah", "notify", "trashtalk", "abuse1", "voider"}
	rapid.Check(t, func(r *rapid.T) {
		role := rapid.SampledFrom([]string{"abuse", "technical"}).Draw(r, "role")
		bad := rapid.SampledFrom(none).Draw(r, "local part") + "@isp.example"
		e := madeEntity{handle: "EX", roles: []string{role}, kind: "group", emails: []string{bad}}
		if got := gateOf(r, madeAnswer([]madeEntity{e})); got != bad+" human" {
			r.Errorf("got %s", got)
		}
		good := rapid.SampledFrom(some).Draw(r, "other") + "@isp.example"
		e = abuseEntity(bad, good)
		if got := gateOf(r, madeAnswer([]madeEntity{e})); got != good+" auto" {
			r.Errorf("beside %s: got %s", bad, got)
		}
	})
}

// TestKindLists (D3, D7): several addresses in one value, names in front of them,
// and signs that harvesters or keyboards change.
func TestKindLists(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		all := []string{"abuse@isp.example", "noc@isp.example", "csirt@isp.example"}[:rapid.IntRange(1, 3).Draw(r, "addresses")]
		parts := make([]string, len(all))
		for i, a := range all {
			local, domain, _ := strings.Cut(a, "@")
			parts[i] = rapid.SampledFrom([]string{a, "<" + a + ">", "mailto:" + a, "Example Desk <" + a + ">", `"Desk, Example" <` + a + ">", local + "＠" + domain, local + " (at) " + domain,
				local + "[at]" + domain, local + " at " + strings.ReplaceAll(domain, ".", " dot "), "ａｂｕｓｅ＠ｉｓｐ．ｅｘａｍｐｌｅ"}[:rapid.SampledFrom([]int{9, 10}).Draw(r, "forms")]).Draw(r, "form")
			if i > 0 && strings.HasPrefix(parts[i], "ａ") {
				parts[i] = a
			}
		}
		sep := rapid.SampledFrom([]string{", ", ",", "; ", ";", " , ", " / "}).Draw(r, "separator")
		value := strings.Join(parts, sep)
		card := rapid.SampledFrom([]string{"", "js"}).Draw(r, "card")
		e := abuseEntity(value)
		e.card = card
		c := chosen(r, madeAnswer([]madeEntity{e}))
		got := []string{c.Contact.Email}
		for _, a := range c.Alternatives {
			got = append(got, a.Email)
		}
		if strings.Join(got, " ") != strings.Join(all, " ") || c.Contact.Gate != "auto" || len(c.Rejected) > 0 {
			r.Errorf("%q: got %q, %s, rejected %v", value, got, c.Contact.Gate, c.Rejected)
		}
	})
	for _, bad := range []string{"abuse@isp.example@other.example", "abuse@isp.example\nnoc@isp.example", "abuse at the isp", "@isp.example", "none", `"abuse@isp.example" <>`} {
		if c := chosen(t, madeAnswer([]madeEntity{abuseEntity(bad)})); c.Contact.Email != "" && !strings.HasPrefix(bad, `"`) {
			t.Errorf("%q gives %s", bad, c.Contact.Email)
		}
	}
}

// TestKindTwoDesks (D4): desks in different domains.
func TestKindTwoDesks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		domain := rapid.SampledFrom([]string{"isp.example", "leasing.example", "hosting.co.jp"}).Draw(r, "domain")
		same := rapid.SampledFrom([]string{"abuse@" + domain, "csirt@" + domain, "abuse@mail." + domain}).Draw(r, "same")
		other := rapid.SampledFrom([]string{"abuse@tenant.example", "desk@customer.co.jp", "abuse(at)tenant(dot)example"}).Draw(r, "other")
		line := rapid.SampledFrom([]string{"This network is leased to a customer. For abuse contact the customer: %s", "Abuse of this range: %s", "不正アクセスの連絡先: %s", "Spam: %s"}).Draw(r, "line")
		e := abuseEntity("security@" + domain)
		one, two := madeAnswer([]madeEntity{e}, fmt.Sprintf(line, same)), madeAnswer([]madeEntity{e}, fmt.Sprintf(line, other))
		if !strings.Contains(other, "(") && rapid.Bool().Draw(r, "entities") {
			second := abuseEntity(same)
			second.handle = "EX2"
			one = madeAnswer([]madeEntity{e, second})
			second.emails = []string{other}
			two = madeAnswer([]madeEntity{e, second})
		}
		if c := chosen(r, one); c.Contact.Gate != "auto" {
			r.Errorf("one organisation: got %s", contactText(c.Contact))
		}
		if c := chosen(r, two); c.Contact.Gate != "approve" || len(c.Alternatives) != 1 {
			r.Errorf("two: got %s, %v", contactText(c.Contact), c.Alternatives)
		}
	})
}

// TestKindEnded (D5): entities that are not in use any more.
func TestKindEnded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		old := abuseEntity("old@isp.example")
		old.status = []string{rapid.SampledFrom([]string{"removed", "inactive", "Removed", "deleted"}).Draw(r, "status")}
		if rapid.Bool().Draw(r, "validated too") {
			old.status = append(old.status, "validated")
		}
		if got := gateOf(r, madeAnswer([]madeEntity{old})); got != "old@isp.example human" {
			r.Errorf("alone: %s", got)
		}
		now := abuseEntity("now@isp.example")
		now.handle, now.status = "EXNOW", []string{rapid.SampledFrom([]string{"active", "validated", "locked"}).Draw(r, "other status")}
		both := []madeEntity{old, now}
		if rapid.Bool().Draw(r, "order") {
			both[0], both[1] = now, old
		}
		if got := gateOf(r, madeAnswer(both)); got != "now@isp.example auto" {
			r.Errorf("both: %s", got)
		}
	})
	nested := registrytest.Network(registrytest.Entities(`{"handle":"A","roles":["registrant"],"status":["removed"],"entities":[` + abuseEntity("abuse@isp.example").json() + `]}`))
	if c := chosen(t, nested); c.Contact.Gate != "human" {
		t.Errorf("inside a removed entity: %s", contactText(c.Contact))
	}
}

// TestKindDeskFirst (D8): a desk is suggested before a person.
func TestKindDeskFirst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		roles := []string{"noc", "technical", "administrative", "registrant"}
		person := madeEntity{handle: "P1", kind: rapid.SampledFrom([]string{"individual", "group"}).Draw(r, "kind"), roles: []string{rapid.SampledFrom(roles).Draw(r, "role")},
			emails: []string{"taro.example@isp.example"}}
		desk := madeEntity{handle: "D1", kind: rapid.SampledFrom([]string{"individual", "group", "org"}).Draw(r, "desk kind"), roles: []string{rapid.SampledFrom(roles).Draw(r, "desk role")},
			emails: []string{rapid.SampledFrom([]string{"noc", "security", "info", "tech", "hostmaster", "ip-admin", "csirt", "support"}).Draw(r, "desk") + "@isp.example"}}
		both := []madeEntity{person, desk}
		if rapid.Bool().Draw(r, "order") {
			both[0], both[1] = desk, person
		}
		if got := gateOf(r, madeAnswer(both)); got != desk.emails[0]+" human" {
			r.Errorf("got %s, want %s", got, desk.emails[0])
		}
	})
}
