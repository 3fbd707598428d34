package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"teiten/attribution"
	"teiten/capture"
	"teiten/internal/casedb"
	"teiten/internal/corpus"
	"teiten/internal/evaluation"
	"teiten/internal/observation"
)

// judged is how many sources of a capture got a verdict.
type judged map[string]int

// profilesOf reads a capture.
func profilesOf(t *testing.T, file string) *attribution.Profiles {
	t.Helper()
	profiles := attribution.NewProfiles(attribution.Options{})
	r, err := capture.NewReader(capture.Options{Sensor: "corpus"}, func(b *observation.Batch) error {
		profiles.AddBatch(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadFile(t.Context(), file); err != nil {
		t.Logf("%s: %v", filepath.Base(file), err) // some are made to be refused
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return profiles
}

// judgeCapture judges a capture and counts verdicts as "kind/tool/malware" and
// aggregates by their name.
func judgeCapture(t *testing.T, file string) judged {
	t.Helper()
	profiles := profilesOf(t, file)
	got := judged{}
	for v := range profiles.Verdicts {
		got[string(v.Kind)+"/"+v.Tool+"/"+v.Malware]++
		if v.Kind == casedb.KindInfected && attribution.MayTell(&v) {
			got["actionable"]++
		}
	}
	for _, a := range profiles.Aggregates() {
		got[a.Kind.String()]++
	}
	return got
}

// TestVerdictsOnTheCorpus compares the verdicts on captures with what is known
// of them: on real ones with the list here, on made-up ones with theirs.
func TestVerdictsOnTheCorpus(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "pcaps", func(t *testing.T, c corpus.Corpus) {
		if c.MadeUp {
			verdictsOnMadeUpCaptures(t, c.Dir)
			return
		}
		verdictsOnRealCaptures(t, c.Dir)
	})
}

// verdictsOnMadeUpCaptures: every source is what the list of the folder says, and
// none is called infected that is not.
func verdictsOnMadeUpCaptures(t *testing.T, dir string) {
	list, err := os.Open(filepath.Join(dir, "expect.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	expectations, err := evaluation.ReadExpectations(list)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pcap*"))
	if err != nil {
		t.Fatal(err)
	}
	var report evaluation.Report
	for _, file := range files {
		profiles := profilesOf(t, file)
		verdicts := slices.Collect(profiles.Verdicts)
		var aggregates []evaluation.Aggregate
		for _, a := range profiles.Aggregates() {
			aggregates = append(aggregates, evaluation.Aggregate{Kind: a.Kind.String(), Sources: a.Sources})
		}
		report.Add(filepath.Base(file), expectations, verdicts, aggregates)
	}
	if len(files) < 15 || len(report.Disagreements()) > 0 || report.FalseAccusations() > 0 {
		t.Errorf("of %d captures not as expected: %+v", len(files), report.Disagreements())
	}
}

func verdictsOnRealCaptures(t *testing.T, dir string) {
	const zmap, masscan, nmap = "scanner/zmap/", "scanner/masscan/", "scanner/nmap/"
	want := map[string]judged{
		"zmap_tcp80_10k.pcap":                       {zmap: 1},
		"lab_zmap211_tcp23.pcap":                    {zmap: 1},
		"lab_zmap211_icmp.pcap":                     {zmap: 1},
		"lab_zmap211_udp53_dnsA.pcap":               {zmap: 1},
		"lab_zmap211_ics_modbus502.pcap":            {zmap: 1},
		"lab_zmapHEAD_tcp443_default.pcap":          {zmap: 1},
		"mal_truncated_midrecord.pcap":              {zmap: 1},
		"lab_zmapHEAD_synackscan.pcap":              {"scanner//": 1, "backscatter//": 0},
		"masscan104_tcp_0-1000_vlan.pcap":           {masscan: 1},
		"lab_masscan132_tcp.pcap":                   {masscan: 1},
		"lab_masscanHEAD_ping_tcp.pcap":             {masscan: 1},
		"nmap_synscan_classic.pcap":                 {nmap: 1},
		"lab_nmap793_sS.pcap":                       {nmap: 1},
		"lab_nmap793_ping_sn.pcap":                  {nmap: 1},
		"lab_nmap793_ipv6_sS.pcap":                  {nmap: 1},
		"nmap780_80_vanilla_connect.pcap":           {nmap: 0},
		"xprobe_tcp.pcap":                           {nmap: 0, "scanner//": 1},
		"nmap_TCP_CONNECT_SCAN_2008.pcap":           {nmap: 0, "scanner//": 1},
		"nmap_FIN_SCAN_2008.pcap":                   {"scanner//": 1},
		"nmap_XMAS_SCAN_2008.pcap":                  {"scanner//": 1},
		"nmap_ACK_SCAN_2008.pcap":                   {"scanner//": 1},
		"lab_unicornscan_tcp_1port.pcap":            {"scanner/unicornscan/": 1},
		"lab_hping3_syn_sweep.pcap":                 {"scanner/hping3/": 1},
		"lab_mixed_tools.pcap":                      {zmap: 1, masscan: 1, nmap: 1},
		"mirai_botnet_seq_eq_dst.pcap":              {"infected//mirai": 1},
		"slammer_1packet_2004.pcap":                 {"infected//slammer": 1},
		"real_mixed_ibr_plus_synack.pcapng":         {masscan: 24, zmap: 2, "infected//mirai": 0, "infected//ms17-010": 8, "actionable": 0},
		"lab_backscatter_synflood80.pcap":           {"backscatter//": 1},
		"lab_backscatter_icmp_unreach_udp53.pcap":   {"backscatter//": 1},
		"lab_reflection_dnsANY_spoofed_victim.pcap": {"reflection//": 1},
		"real_tcp_reflection_synack.pcap":           {"reflected_flood": 1, "scanner//": 0},
		"real_amp_snmp_src161.pcapng":               {"reflected_flood": 1, "scanner//": 0},
		"real_synflood_spoofed_37k.pcap":            {"spoofed_flood": 1, "spoofed//": 37623, "scanner//": 0},
		"v6_rsmurf_icmp6.pcap":                      {"spoofed//": 1},
		"scripted_synflood_200.pcap":                {"scanner//": 0, "unknown//": 1},
	}
	// No other source is infected, and no source that is not a scanner is called one.
	infected := map[string]bool{"mirai_botnet_seq_eq_dst.pcap": true, "slammer_1packet_2004.pcap": true,
		"real_mixed_ibr_plus_synack.pcapng": true}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".pcap") && !strings.HasSuffix(name, ".pcapng") {
			continue
		}
		got := judgeCapture(t, filepath.Join(dir, name))
		if _, ok := want[name]; ok {
			seen++
		}
		for key, n := range want[name] {
			if got[key] != n {
				t.Errorf("%s: got %d of %s, want %d (%v)", name, got[key], key, n, got)
			}
		}
		for key, n := range got {
			if n > 0 && strings.HasPrefix(key, "infected/") && !infected[name] {
				t.Errorf("%s: got %d of %s, want nobody accused", name, n, key)
			}
			if n > 0 && strings.HasPrefix(key, "scanner/") && (strings.HasPrefix(name, "neg_") || strings.HasPrefix(name, "ics_")) {
				t.Errorf("%s: got %d of %s, want ordinary hosts", name, n, key)
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d captures were there", seen, len(want))
	}
}
