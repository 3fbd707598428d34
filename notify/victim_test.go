package notify_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"teiten/internal/casedb"
)

// TestVictimsWhoAnswerInUDP: the letter to the victim of an attack on a UDP
// service has the evidence, with the service's port and not with ours.
func TestVictimsWhoAnswerInUDP(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"ja", "en"} {
		w := newWorld(t)
		s := ispCase
		s.kind, s.malware, s.language = casedb.KindBackscatter, "", language
		c := w.openCase(s)
		w.exec(`update observation set proto = 17, class = 'udp', port = 40000 + sensor_id,
			samples = '[{"when":"2026-11-19T13:00:00Z","dst":"198.51.100.7","sport":161,"dport":40001,"ttl":60}]'`)
		w.exec(`update verdict set ports = '{161/UDP}'`)
		w.exec(`update aggregate set ports = '{161/UDP}'`)
		// Its own query to a port of ours is no answer.
		w.observe("192.0.2.10", 17, 53, "udp", epoch.Add(-20*3600e9))
		d, err := w.composer.Preview(t.Context(), w.db, w.message(c, s, casedb.MessageHeld), epoch)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"\n192.0.2.10      161/UDP        24  2026-11-19 ", "\n192.0.2.11      161/UDP        24  2026-11-19 "} {
			if !strings.Contains(d.Body, line) {
				t.Errorf("%s: no line %q in\n%s", language, line, d.Body)
			}
		}
		if !strings.Contains(d.Subject, "(161/UDP)") || strings.Contains(d.Body+string(d.CSV), "4000") {
			t.Errorf("%s: %q tells a port of ours, or not theirs:\n%s", language, d.Subject, d.CSV)
		}
		rows, err := csv.NewReader(bytes.NewReader(d.CSV)).ReadAll()
		if err != nil || len(rows) != 1+4 {
			t.Fatalf("%s: %d rows, %v", language, len(rows), err)
		}
		for _, r := range rows[1:] {
			if r[2] != "udp" || r[4] != "161" || r[6] != "" {
				t.Errorf("%s: row %v", language, r)
			}
		}
	}
}
