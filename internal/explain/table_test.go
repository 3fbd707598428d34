package explain_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/explain"
	"teiten/internal/observation"
)

// TestTableHidesTheSensor: destination, sequence number and identification are
// written for those who check, and none of them for outsiders.
func TestTableHidesTheSensor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dst := netip.MustParseAddr("198.51.100.7") // 0xc6336407
	o := &observation.Observation{Source: netip.MustParseAddr("192.0.2.1"), Proto: 6, Port: 23, Class: observation.ClassSYN, Packets: 2,
		Destinations: 1, Destination: dst, First: at, Last: at, Marks: []observation.MarkCount{{Mark: observation.MarkMirai, Packets: 1}},
		Samples: []observation.Sample{
			{When: at, Destination: dst, SourcePort: 4000, DestPort: 23, TTL: 50, ID: 0xabcd, Seq: 0xc6336407, Flags: 2, Window: 512},
			{When: at, Destination: dst, SourcePort: 4001, DestPort: 23, TTL: 50, ID: 0xabce, Seq: 0x12345678, Flags: 2, Window: 512},
		}}
	v := casedb.Verdict{Source: casedb.Addr{Addr: o.Source}, Kind: casedb.KindInfected, Rule: "mirai", Ruleset: "1", Confidence: 0.9}
	v.Evidence.V = casedb.Evidence{Packets: 2, Hits: 1, Of: 2, Chance: 1e-10}
	secrets := []string{"198.51.100.7", "abcd", "c6336407", "0xabce", "12345678"}
	for _, lang := range []string{"en", "ja"} {
		for _, hide := range []bool{false, true} {
			var b strings.Builder
			if err := explain.Table(&b, &v, []*observation.Observation{o}, explain.TableOptions{Language: lang, HideSensor: hide}); err != nil {
				t.Fatal(err)
			}
			for _, s := range secrets {
				if strings.Contains(b.String(), s) == hide {
					t.Errorf("%s, hide %t: %s in\n%s", lang, hide, s, &b)
				}
			}
			for _, s := range []string{"1 / 2", "mirai 1", "23/TCP", map[string]string{"en": "yes", "ja": "はい"}[lang], map[string]string{"en": "no", "ja": "いいえ"}[lang]} {
				if !strings.Contains(b.String(), s) {
					t.Errorf("%s, hide %t: no %s in\n%s", lang, hide, s, &b)
				}
			}
		}
	}
}
