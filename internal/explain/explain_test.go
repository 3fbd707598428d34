package explain_test

import (
	"net/netip"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/explain"
)

func verdict() casedb.Verdict {
	v := casedb.Verdict{Source: casedb.Addr{Addr: netip.MustParseAddr("192.0.2.10")}, Kind: casedb.KindInfected, Rule: "mirai",
		Malware: casedb.MalwareMirai, Confidence: 0.99, Ports: []string{"23/TCP", "2323/TCP"}}
	v.Evidence.V = casedb.Evidence{Packets: 1400, Hits: 1200, Of: 1400, Chance: 1e-300, Destinations: 47, Sensors: 2, Days: 3,
		Notes: []string{"many-ports"}, Also: []string{"zmap"}}
	return v
}

func TestVerdictIsSaidInWords(t *testing.T) {
	t.Parallel()
	v := verdict()
	en := "In 1,200 of 1,400 TCP connection attempts (23/TCP, 2323/TCP) the sequence number equals the address they were sent to, " +
		"as in the scanner of Mirai and its variants. In unrelated packets this has a probability of 1 in 10^300. This " +
		"is consistent with an infection by malware of the Mirai family. Also found: ZMap. It probes many other ports as well."
	if got := explain.Verdict(&v, "en"); got != en {
		t.Errorf("got  %s\nwant %s", got, en)
	}
	ja := "TCP の接続要求 1,400 個中 1,200 個 (23/TCP、2323/TCP) で、シーケンス番号が宛先アドレスと一致しています。これは Mirai とその亜種の探索に特有のものです。" +
		"偶然一致する確率は 10 の 300 乗分の 1 です。Mirai の系統のマルウエアに感染している可能性があります。" +
		"ほかに次の特徴も見られます: ZMap。ほかにも多くのポートを探索しています。"
	if got := explain.Verdict(&v, "ja"); got != ja {
		t.Errorf("got  %s\nwant %s", got, ja)
	}
}

func TestNumbersAreReadable(t *testing.T) {
	t.Parallel()
	v := verdict()
	for chance, want := range map[float64][2]string{
		0: {"practically zero", "事実上ゼロ"}, 0.05: {"5 %", "5 %"}, 0x1p-16: {"1 in 65,536", "65,536 分の 1"}, 2.3e-10: {"1 in 10^10", "10 の 10 乗分の 1"},
	} {
		v.Evidence.V.Chance = chance
		for i, lang := range []string{"en", "ja"} {
			if got := explain.Verdict(&v, lang); !strings.Contains(got, want[i]) {
				t.Errorf("chance %g: got %s, want %q in it", chance, got, want[i])
			}
		}
	}
}

func TestContradictionIsSaid(t *testing.T) {
	t.Parallel()
	v := verdict()
	v.Kind, v.Rule, v.Acknowledged, v.Attention = casedb.KindScanner, "acknowledged", "Example {packets} Research\u202e", "malware:worm445"
	for _, lang := range []string{"en", "ja"} {
		got := explain.Verdict(&v, lang)
		if !strings.Contains(got, explain.RuleTitle("worm445", lang)) || strings.Contains(got, "\u202e") || !strings.Contains(got, "{packets} Research") {
			t.Errorf("%s: got %s", lang, got)
		}
	}
}

func TestUnknownCodesExplainThemselves(t *testing.T) {
	t.Parallel()
	v := verdict()
	v.Rule, v.Evidence.V.Notes, v.Attention = "new-rule", []string{"new-note"}, "new-attention"
	got := explain.Verdict(&v, "en")
	if explain.HasRule("new-rule") || explain.HasNote("new-note") || explain.RuleTitle("new-rule", "ja") != "new-rule" ||
		!strings.Contains(got, "new-note") || !strings.Contains(got, "new-attention") {
		t.Errorf("got %s", got)
	}
	for c, want := range map[float64]string{0.99: "certain", 0.8: "likely", 0.5: "possible", 0: "unclear"} {
		if got := explain.Confidence(c, "en"); got != want {
			t.Errorf("confidence %g: got %q, want %q", c, got, want)
		}
	}
}

func TestListsAndLabelsAreInWords(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][2]string{casedb.ListRegistration: {"registrations", "登録申請"}, casedb.ListManual: {"entries by hand", "手動登録"},
		"Example Scanners": {"Example Scanners", "Example Scanners"}} {
		v := verdict()
		v.Rule, v.Acknowledged, v.Evidence.V.List = "acknowledged", "Example Research", list
		for i, lang := range []string{"en", "ja"} {
			said := explain.Verdict(&v, lang)
			if explain.ListName(list, lang) != want[i] || !strings.Contains(said, "\""+want[i]+"\"") && !strings.Contains(said, "「"+want[i]+"」") {
				t.Errorf("%s in %s: %s", list, lang, said)
			}
		}
	}
	for title, want := range map[string]string{"worm-like probes of 445/TCP": "Worm-like probes of 445/TCP", "hping3 (weak)": "hping3 (weak)", "ZMap": "ZMap",
		"跳ね返りパケット": "跳ね返りパケット", "": ""} {
		if got := explain.Label(title); got != want {
			t.Errorf("label of %q: got %q", title, got)
		}
	}
}
