package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"teiten/internal/corpus"
)

// TestFieldCaptures judges the captures that were made after reports of users.
func TestFieldCaptures(t *testing.T) {
	t.Parallel()
	corpus.Each(t, "field/captures", func(t *testing.T, c corpus.Corpus) {
		if c.MadeUp {
			t.Skip("package capture's and attribution's tests make the like")
		}
		f, err := os.Open(filepath.Join(c.Dir, "expect.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.Comma, r.Comment, r.LazyQuotes = '\t', '#', true
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, row := range rows {
			tried++
			if kind, absent := strings.CutPrefix(row[1], "NOAGG:"); absent || strings.HasPrefix(row[1], "AGG:") {
				fieldAggregate(t, filepath.Join(c.Dir, row[0]), strings.TrimPrefix(kind, "AGG:"), !absent)
				continue
			}
			fieldRow(t, filepath.Join(c.Dir, row[0]), row[1], row[2])
		}
		if tried < 30 {
			t.Errorf("only %d rows tried", tried)
		}
	})
}

// fieldRow runs the commands on a capture and compares with what is right.
func fieldRow(t *testing.T, file, source, want string) {
	t.Helper()
	name := filepath.Base(file)
	var said bytes.Buffer
	cmd := teiten("attribute", file)
	cmd.Stderr = &said
	out, err := cmd.Output()
	word, n, special := strings.Cut(want, ":")
	if want == "OBEYS" { // package explain tries the formula
		want = "tool=masscan"
	}
	if special {
		fails := word == "LINK" || word == "SAYS" || name == "tun_mpls.pcap" // nothing was understood
		if (err != nil) != fails || cmd.ProcessState.ExitCode() > 1 {
			t.Errorf("%s: exit %d", name, cmd.ProcessState.ExitCode())
		}
		expect := map[string]string{"TUNNEL": n + " are inside ", "LINK": "link type " + n + " (", "SAYS": n + " -dc", "CAT": ""}[word]
		if !strings.Contains(said.String(), expect) || strings.Count(said.String(), "\n") > 1 {
			t.Errorf("%s: says %q, want %q in one line", name, said.String(), expect)
		}
		if word != "CAT" {
			return
		}
		want = "hits=" + n
	} else if err != nil {
		t.Errorf("%s: %v: %s", name, err, said.String())
	}
	found := false
	for line := range strings.Lines(string(out)) {
		var v struct {
			Source, Kind, Tool, Malware string
			Evidence                    struct {
				Hits int
				Weak bool
			}
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v.Source == "" || source != "*" && v.Source != source {
			continue
		}
		found = true
		got := map[string]string{"kind": v.Kind, "tool": v.Tool, "malware": v.Malware, "hits": strconv.Itoa(v.Evidence.Hits),
			"weak": strconv.FormatBool(v.Evidence.Weak)}
		for _, condition := range strings.Fields(want) {
			key, values, _ := strings.Cut(condition, "=")
			if values == "-" {
				values = "" // none
			}
			key, not := strings.CutSuffix(key, "!")
			if in := slices.Contains(strings.Split(strings.NewReplacer(",", "|").Replace(strings.ReplaceAll(values, "|-", "|false")), "|"), got[key]); in == not {
				t.Errorf("%s: %s: %s %q, want %s", name, v.Source, key, got[key], condition)
			}
		}
	}
	if !found {
		t.Errorf("%s: no verdict of %s", name, source)
	}
}

// fieldAggregate looks for an aggregate of the kind.
func fieldAggregate(t *testing.T, file, kind string, want bool) {
	t.Helper()
	out, err := teiten("attribute", file).Output()
	if err != nil {
		t.Error(err)
	}
	if got := strings.Contains(string(out), `{"aggregate":"`+kind+`"`); got != want {
		t.Errorf("%s: %s is shown: %v, want %v", filepath.Base(file), kind, got, want)
	}
}
