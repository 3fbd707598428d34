package web_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/observation"
)

// TestMediansAreNumbers: half of the followed sources went quiet.
func TestMediansAreNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	c := addCase(t, b.db, 1, b.now)
	for i, days := range []int{2, 4, 6} {
		exec(t, b.db, `insert into followup (case_id, source, message_id, arm, started_at, told_at, kind, malware, country, sensors, state, last_at, known_to, quiet_at, checked_at)
			values ($1, $2, $3, 'notified', $4, $4, 'infected', '', 'JP', '{}', 'quiet', $5, $6, $5, $6)`, c.ID, c.Sources[i].String(), c.Message.ID,
			b.now.AddDate(0, 0, -30), b.now.AddDate(0, 0, days-30), b.now)
	}
	body := b.page("/effect")
	checkPage(t, "/effect", "en", body)
	if m := regexp.MustCompile(`data-label="Median, days">([^<]*)<`).FindStringSubmatch(body); m == nil || !regexp.MustCompile(`^[0-9]+\.[0-9]$`).MatchString(m[1]) {
		t.Errorf("the median is %q", m)
	}
}

// TestUnitOfHits: a rule that counts ports does not say packets.
func TestUnitOfHits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	c := addCase(t, b.db, 1, b.now)
	texts := map[string][2]string{"tsubame": {"12 ports within one day", "1 日に 12 ポート"}, "protocols": {"12 IP protocols", "12 種類の IP プロトコル"},
		"zmap": {"12 of 12 packets match", "12 パケット中 12 が一致"}}
	for rule, text := range texts {
		exec(t, b.db, `update verdict set rule = $2, evidence = '{"packets": 40, "hits": 12, "of": 12}' where source = $1 and superseded_at is null`, c.Sources[0].String(), rule)
		for i, lang := range []string{"en", "ja"} {
			if body := b.page("/sources/" + c.Sources[0].String() + "?lang=" + lang); !strings.Contains(body, text[i]) {
				t.Errorf("%s in %s does not say %q", rule, lang, text[i])
			}
		}
		if packets := explain.HitsUnit(rule) == explain.UnitPackets; packets != (rule == "zmap") {
			t.Errorf("%s counts packets: %t", rule, packets)
		}
	}
}

// TestGateSaysWhatIsNeeded: only an approval says that somebody approved.
func TestGateSaysWhatIsNeeded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "en")
	c := addCase(t, b.db, 1, b.now)
	exec(t, b.db, `update contact set gate = 'approve', approved_at = null`)
	contact := func() string {
		return regexp.MustCompile(`(?s)<section class="card" aria-labelledby="h-contact">.*?</section>`).FindString(b.page("/cases/" + c.Number))
	}
	if body := contact(); !strings.Contains(body, "the first mail needs approval") || strings.Contains(body, "approved") {
		t.Errorf("a contact that nobody approved:\n%s", body)
	}
	exec(t, b.db, `update contact set approved_at = $1, approved_by = 'hanako'`, b.now)
	if body := contact(); !strings.Contains(body, "approved by hanako") {
		t.Errorf("an approved contact:\n%s", body)
	}
}

// TestCaseCountsWhatTheLetterTells: a source sends to other ports, too, and the
// table of the case says what the letter says of it.
func TestCaseCountsWhatTheLetterTells(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "en")
	c := addCase(t, b.db, 1, b.now)
	told := regexp.MustCompile(`(?s)data-label="Packets in the letter">\s*([0-9,]+)(?:\s*<br><span class="small muted">of ([0-9,]+) sent</span>)?`)
	n := 0
	rapid.Check(t, func(rt *rapid.T) { // on one database: each adds packets to other ports
		n++
		at := b.now.Add(-time.Duration(rapid.IntRange(4, 26).Draw(rt, "hours")) * time.Hour).Truncate(time.Hour)
		exec(t, b.db, `insert into observation (batch_id, sensor_id, window_start, source, proto, port, class, packets, bytes, destinations,
			destinations_exact, peer_ports, first_at, last_at) values ($5, (select id from sensor), $1, $2, 6, $3, 'syn', $4, 60, 1, true, 20, $1, $1)`,
			at, c.Sources[0].String(), rapid.SampledFrom([]int{22, 80, 445, 3389}).Draw(rt, "port"), rapid.IntRange(1, 400).Draw(rt, "packets"), 1000+n)
		exec(t, b.db, `update verdict set evidence = jsonb_build_object('packets', (select sum(packets) from observation where source = $1))
			where source = $1 and superseded_at is null`, c.Sources[0].String())
		letter := one[int](t, b.db, `select sum(packets) from observation where source = $1 and port = 445`, c.Sources[0].String())
		all := one[int](t, b.db, `select sum(packets) from observation where source = $1`, c.Sources[0].String())
		m := told.FindStringSubmatch(b.page("/cases/" + c.Number))
		if m == nil || strings.ReplaceAll(m[1], ",", "") != fmt.Sprint(letter) || m[2] != "" && strings.ReplaceAll(m[2], ",", "") != fmt.Sprint(all) || (m[2] == "") != (all == letter) {
			rt.Fatalf("got %q, want %d of %d", m, letter, all)
		}
		if mail := strings.ReplaceAll(b.page("/cases/"+c.Number), ",", ""); !regexp.MustCompile(`192\.0\.2\.9 +445/TCP +` + fmt.Sprint(letter) + ` `).MatchString(mail) {
			rt.Fatalf("the letter does not say %d", letter)
		}
	})
}

func TestCampaignLinksToItsSources(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	c := addCase(t, b.db, 1, b.now)
	addCase(t, b.db, 5, b.now) // of another network
	exec(t, b.db, `update verdict set rule = 'mirai' where source = $1`, c.Sources[2].String())
	add := func(key string, network any) int64 {
		return one[int64](t, b.db, `insert into aggregate (kind, key, destination, victim, rule, ports, network, sources, packets, peak, first_at, last_at, confidence, evidence, hours, ruleset, created_at, updated_at)
			values ('campaign', $2, null, null, 'worm445', '{445/TCP}', $3, 2, 400, 0, $1::timestamptz - interval '3 days', $1, 0.8, '{"packets": 400}', '[]', '1', $1, $1) returning id`, b.now, key, network)
	}
	narrow, wide := add("worm445 445/TCP 192.0.2.8/29", "192.0.2.8/29"), add("worm445 445/TCP", nil)
	links := func(id int64) int {
		return strings.Count(b.page(fmt.Sprintf("/aggregates/%d", id)), `<a class="mono" href="/sources/192.0.2.`)
	}
	want(t, "sources in the network", links(narrow), 2)
	want(t, "sources anywhere", links(wide), 5)
	body := b.page(fmt.Sprintf("/aggregates/%d?behind=192.0.2.10", wide))
	if strings.Contains(body, "/sources/192.0.2.9\"") || !strings.Contains(body, "/sources/192.0.2.41\"") {
		t.Error("the second page does not begin behind the first")
	}
}

func TestNavigationCountsWhatCameIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user("taro", casedb.RoleCoordinator, "en")
	count := func(path string) string {
		m := regexp.MustCompile(`<a href="` + path + `"[^>]*>[^<]*(?:<span class="n">([0-9]+)</span>)?</a>`).FindStringSubmatch(b.page("/cases"))
		if m == nil {
			t.Fatalf("the navigation has no %s", path)
		}
		return m[1]
	}
	want(t, "nothing came", count("/unmatched")+count("/registrations"), "")
	for range 2 {
		arrive(t, b, casedb.Inbound{Class: casedb.InboundHuman, Sender: "someone@dc.example", Subject: "Hello", Text: "What is this?"})
	}
	exec(t, b.db, `insert into registration (organisation, purpose, email, language, prefixes, state, confirm_digest, confirm_until, created_at, confirmed_at)
		select 'Example Research', 'a survey', 'x@research.example', 'en', '{198.51.100.0/24}', s, s::bytea, $1, $1, $1 from unnest(array['pending','rejected']) s`, b.now)
	want(t, "unmatched mail", count("/unmatched"), "2")
	want(t, "registrations", count("/registrations"), "1")
}

// TestTimelineTellsAMailOnce: that a bounce suppressed an address, and that a
// mail was filed, are events of their own.
func TestTimelineTellsAMailOnce(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	d.actMessage("approve")
	m := d.message()
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundBounce, CaseID: &d.c.ID, MessageID: &m.ID, Hard: true, Trusted: true, Status: "5.1.1",
		Recipient: m.Recipient, Sender: "mailer-daemon@mx.isp.example", Subject: "Undelivered", Text: "550 no such person here", MatchedBy: casedb.MatchedByToken})
	arrive(t, d.bundle, casedb.Inbound{Class: casedb.InboundHuman, Sender: "noc@isp.example", Subject: "About you", Text: "Which host do you mean?"})
	id := one[string](t, d.db, `select id::text from inbound where case_id is null`)
	status, _, _ := d.post("/unmatched/"+id, "case", d.c.Number)
	want(t, "filed", status, http.StatusSeeOther)
	body := d.page("/cases/" + d.c.Number)
	timeline := body[strings.Index(body, `id="timeline"`):]
	for _, text := range []string{"550 no such person here", "Which host do you mean?"} {
		want(t, text, strings.Count(timeline, text), 1)
	}
}

// TestObservationsAreInWords: the table of a source names no mark or class by
// its code.
func TestObservationsAreInWords(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "ja"} {
		p := printer(t, lang)
		for m := range observation.Marks {
			if !p.Has("mark."+m.String()) || strings.Contains(p.T("mark."+m.String()), "_") {
				t.Errorf("%s: no words for mark %s", lang, m)
			}
		}
	}
	b := setup(t)
	b.user("taro", casedb.RoleViewer, "en")
	c := addCase(t, b.db, 1, b.now)
	exec(t, b.db, `update observation set class = 'synack', marks = '{"same_ack": 3, "window_8192": 2}' where source = $1`, c.Sources[0].String())
	body := b.page("/sources/" + c.Sources[0].String())
	if strings.Contains(body, "same_ack") || strings.Contains(body, "window_8192") || strings.Contains(body, ">synack<") || !strings.Contains(body, "SYN/ACK") {
		t.Error("the table shows codes")
	}
}
