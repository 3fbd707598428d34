package explain

import (
	"math"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// aggregateTexts has a paragraph for every kind of aggregate.
var aggregateTexts = map[casedb.AggregateKind]text{
	casedb.AggregateFlood: {
		"{sources} sources or more sent {packets} packets, one to three each, to {ports} of one of our addresses. So many sources that do the same within an hour are forged: the hosts at these addresses most likely did nothing, so their owners are not notified.",
		"{sources} 以上の送信元が、当方の一つのアドレスの {ports} へ 1 個から 3 個ずつ、合計 {packets} 個のパケットを送りました。1 時間のうちに同じ動作をするこれほど多くの送信元は詐称されたものです。それらのアドレスの機器自体は関与していないと考えられるため、通知の対象にしません。",
	},
	casedb.AggregateReflected: {
		"{sources} sources or more answered ({ports}) to one of our addresses, which never sent them a request: {packets} packets in all. Requests are sent with our address as their forged source. The flood is aimed at us; the sources are misused and are not the attackers.",
		"要求していない応答 ({ports}) が、当方の一つのアドレスへ {sources} 以上の送信元から合計 {packets} 個届きました。送信元を当方のアドレスに詐称した要求が送られたものであり、攻撃の対象は当方です。送信元は悪用された機器であり、攻撃者ではありません。",
	},
	casedb.AggregateVictim: {
		"{victim} sent {packets} answers to packets that we never sent ({ports}), {peak} or more in the busiest minute. It is sent packets with forged source addresses, some of them ours. Number, duration and rate reach the thresholds of a denial-of-service attack (Moore et al.).",
		"{victim} から、当方が送っていないパケットへの応答 ({ports}) が {packets} 個、最も多いときで 1 分あたり {peak} 個以上届きました。このホストへ、送信元を当方のアドレスなどに詐称したパケットが送られています。パケット数、継続時間、頻度が DoS 攻撃の基準 (Moore ら) に達しています。",
	},
	casedb.AggregateCampaign: {
		"{sources} sources or more sent packets with the same mark ({rule}) to {ports}, {packets} packets or more in all.",
		"{sources} 以上の送信元が、同じ指紋 ({rule}) を持つ通信を {ports} へ行っています。パケットは合計 {packets} 個以上です。",
	},
}

var campaignNetwork = text{"All of them are in {network}.", "いずれも {network} に属します。"}

// Aggregate explains in a paragraph what many sources together show. lang is
// "ja"; anything else is English.
func Aggregate(a *casedb.Aggregate, lang string) string {
	t, ok := aggregateTexts[a.Kind]
	if !ok {
		return casedb.CleanLine(string(a.Kind), 100)
	}
	comma := ", "
	parts := []string{t.in(lang)}
	if a.Network.IsValid() {
		parts = append(parts, campaignNetwork.in(lang))
	}
	e := a.Evidence
	// The paragraph says that the thresholds of an attack are met.
	e.V.Notes = slices.DeleteFunc(slices.Clone(e.V.Notes), func(code string) bool { return code == "attack" })
	parts = append(parts, Notes(&casedb.Verdict{Evidence: e}, lang)...)
	join := " "
	if lang == "ja" {
		comma, join = "、", ""
	}
	return strings.NewReplacer(
		"{sources}", number(uint64(max(0, a.Sources))),
		"{packets}", number(uint64(max(0, a.Packets))),
		"{peak}", number(uint64(math.Max(0, math.Round(a.Peak)))),
		"{victim}", a.Victim.String(),
		"{network}", a.Network.String(),
		"{ports}", ports(a.Ports, comma, lang),
		"{rule}", RuleTitle(a.Rule, lang),
	).Replace(strings.Join(parts, join))
}
