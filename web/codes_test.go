package web_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/locale"
	"teiten/internal/reason"
	"teiten/web"
)

// ruleNames are all rules that explain has words for, by the names of package
// attribution, which the desk does not import.
var ruleNames = []string{"acknowledged", "angryip", "backscatter", "block", "bogon", "broadcast", "hping3", "masscan", "masscan-hidden", "mirai",
	"mirai-hidden", "nmap", "protocols", "reflection", "slammer", "spoofed-flood", "stealth", "synackscan", "tsubame", "unicornscan", "unknown",
	"worm445", "zmap", "zmap-options", "zmap-time"}

// allCodes are the codes that rows hold and that people read words for.
func allCodes() map[string]bool {
	codes := map[string]bool{casedb.ListRegistration: true, casedb.ListManual: true, "ja": true, "en": true, casedb.SwitchSending: true, "suppression": true}
	for _, list := range [][]string{values(casedb.EventKinds), values(casedb.Kinds), values(casedb.CaseStates), values(casedb.WaitingReasons),
		values(casedb.AggregateKinds), values(casedb.FollowupStates), casedb.FindingResults, casedb.FindingDevices, casedb.FindingSupport,
		casedb.FindingEntries, casedb.FindingActions, values(casedb.RuleModes), values(reason.Codes()), ruleNames, {casedb.RuleEscalation}} {
		for _, code := range list {
			codes[code] = true
		}
	}
	for _, family := range []string{"reason", "message", "purpose", "outcome", "provenance", "gate", "class", "action", "mode"} {
		for _, code := range families()[family] {
			codes[code] = true
		}
	}
	delete(codes, "hping3") // its name is written so
	return codes
}

// words are those of a page's text, without what is in the fixed-width face:
// addresses, and the codes that stand beside their words on purpose.
func words(t *testing.T, body string) (list []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && (slices.Contains(strings.Fields(attribute(n, "class")), "mono") || n.Data == "script" || n.Data == "style" ||
			n.Data == "pre" || n.Data == "svg") {
			return
		}
		if n.Type == html.TextNode {
			list = append(list, strings.FieldsFunc(n.Data, func(r rune) bool {
				return !(r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
			})...)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
	return list
}

// TestNoPageShowsACode renders every kind of event with every reason, every
// rule, list, kind and switch. In Japanese no word may be a code; in English
// none of those that are no English words.
func TestNoPageShowsACode(t *testing.T) {
	t.Parallel()
	for _, rule := range ruleNames {
		if !explain.HasRule(rule) {
			t.Errorf("there is no rule %s", rule)
		}
	}
	b := setup(t, func(c *web.Config) { c.Rules = append(slices.Clone(ruleNames), casedb.RuleEscalation) })
	b.user("Taro", casedb.RoleLead, "en")
	c := addCase(t, b.db, 1, b.now)
	b.everyEvent(c)
	b.everySwitch()
	b.everyVerdict(c)
	codes := allCodes()
	paths := []string{"/cases/" + c.Number, "/cases?view=all", "/settings", "/settings?changes=11", "/scanners", "/sources", "/outgoing?view=held", "/letters",
		"/aggregates", "/findings"}
	for id := one[int](t, b.db, `select max(id) from case_event`); id > 0; id -= 90 { // a page has 100
		paths = append(paths, fmt.Sprintf("/cases/%s?before=%d", c.Number, id))
	}
	for _, s := range c.Sources {
		paths = append(paths, "/sources/"+s.String())
	}
	for _, path := range paths {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		for _, lang := range locale.Languages() {
			list := words(t, b.page(path+sep+"lang="+lang))
			for i, w := range list {
				if i > 0 && list[i-1] == "teiten" { // a command, such as teiten scanner
					continue
				}
				if codes[w] && (lang == locale.Japanese || strings.ContainsAny(w, "-_0123456789") || w == "ja" || w == "en") {
					t.Errorf("%s in %s shows the code %s", path, lang, w)
				}
			}
		}
	}
}

// everyEvent writes all kinds of events, all reasons for writing and all that
// the program does, and findings as they are kept now and were kept before.
func (b *bundle) everyEvent(c sampleCase) {
	b.t.Helper()
	ctx := b.t.Context()
	add := func(e casedb.CaseEvent) {
		b.t.Helper()
		e.CaseID, e.At, e.Actor = c.ID, b.now, "rule worm445"
		inTx(b.t, b.db, func(tx *casedb.Tx) error { return tx.AddEvent(ctx, e) })
	}
	for _, kind := range casedb.EventKinds {
		e := casedb.CaseEvent{Kind: kind, Data: casedb.JSON[casedb.EventData]{V: casedb.EventData{Count: 30}}}
		if kind == casedb.OwnerLanguage.Event() {
			e.Data.V.Reason = "ja"
		}
		add(e)
	}
	for _, code := range families()["reason"] {
		add(casedb.CaseEvent{Kind: casedb.EventQueued, Data: casedb.JSON[casedb.EventData]{V: casedb.EventData{Reason: code}}})
	}
	words := reason.Words()
	for _, code := range reason.Codes() {
		var args []string
		for _, kind := range reason.Shape(code) {
			word := append(words[kind], "X")[0]
			if kind == reason.Entity {
				word = "" // without a name
			}
			args = append(args, word)
		}
		add(casedb.CaseEvent{Kind: casedb.EventHeld, Why: reason.Of(code, args...)})
	}
	for i := range max(len(casedb.FindingActions), len(casedb.FindingEntries), len(casedb.FindingDevices)) {
		at := func(list []string) string { return list[i%len(list)] }
		exec(b.t, b.db, `insert into case_event (case_id, at, kind, actor, text, data) values ($1, $2, 'finding', 'taro', $3, '{}')`, c.ID, b.now,
			fmt.Sprintf("%s; Windows 7; WannaCry; %s; %s", at(casedb.FindingResults), at(casedb.FindingEntries), strings.Join(casedb.FindingActions[i%len(casedb.FindingActions):], ", ")))
		now, err := b.db.Case(ctx, c.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		inTx(b.t, b.db, func(tx *casedb.Tx) error {
			_, err := tx.AddFinding(ctx, now.Version, casedb.Finding{CaseID: c.ID, Result: at(casedb.FindingResults), Device: at(casedb.FindingDevices),
				Entry: at(casedb.FindingEntries), Support: at(casedb.FindingSupport), Actions: []string{at(casedb.FindingActions)}}, "taro", b.now)
			return err
		})
	}
}

// everySwitch throws each switch once, and lifts a suppression.
func (b *bundle) everySwitch() {
	b.t.Helper()
	ctx := b.t.Context()
	for _, stop := range []bool{true, false} {
		if err := b.db.SetSendStopped(ctx, stop, "taro", "a test", b.now); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, rule := range []string{"mirai-hidden", casedb.RuleEscalation} {
		for _, mode := range casedb.ModesOf(rule) {
			if err := b.db.SetRulePolicy(ctx, casedb.RulePolicy{Rule: rule, Mode: mode, ChangedAt: b.now, ChangedBy: "taro", Reason: "a test"}); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	inTx(b.t, b.db, func(tx *casedb.Tx) error {
		if err := tx.Suppress(ctx, casedb.Suppression{Address: "desk@isp.example", Why: reason.Of(reason.AddressRefused, "550"), CreatedAt: b.now}); err != nil {
			return err
		}
		return tx.LiftSuppression(ctx, "Desk@isp.example", "taro", b.now)
	})
}

// everyVerdict gives a source of a case a verdict of each kind, by each rule,
// and entries of our own lists.
func (b *bundle) everyVerdict(c sampleCase) {
	b.t.Helper()
	for i, rule := range ruleNames {
		kind := casedb.Kinds[i%len(casedb.Kinds)]
		exec(b.t, b.db, `insert into verdict (source, kind, tell, confidence, rule, ruleset, ports, evidence, first_at, last_at, created_at, superseded_at)
			values ($1, $2, false, 0.2, $3, '2026.1', '{445/TCP}', $4, $5, $5, $5, $5)`, c.Sources[1].String(), string(kind), rule,
			fmt.Sprintf(`{"packets": 2, "list": %q, "also": [%q]}`, casedb.ListRegistration, ruleNames[0]), b.now)
	}
	for _, list := range []string{casedb.ListRegistration, casedb.ListManual} {
		exec(b.t, b.db, `insert into scanner (prefix, organisation, list, purpose, url, created_at) values ('192.0.2.0/24', 'Example Research', $1, '', '', $2)`, list, b.now)
	}
}
