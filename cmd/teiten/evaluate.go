package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"teiten/attribution"
	"teiten/capture"
	"teiten/internal/casedb"
	"teiten/internal/evaluation"
	"teiten/internal/observation"
)

type evaluateCmd struct {
	Corpus    string   `arg:"" help:"Folder of captures." type:"path"`
	Expect    string   `help:"What they hold: tab-separated file, source, kind, tool, malware, acknowledged, note." required:"" type:"path" placeholder:"FILE"`
	Allowlist []string `help:"List of acknowledged scanners, as for attribute. Without one, acknowledgements are not compared." placeholder:"LIST" sep:"none"`
	At        string   `help:"Judge with the allowlist entries in force on this day instead of the packets'." placeholder:"DATE"`
	TimeZone  string   `help:"Time zone of the days in TSUBAME's definition." default:"Asia/Tokyo"`

	Definitions scannerDefinitions `embed:"" prefix:"scanner-"`
}

func (*evaluateCmd) Help() string {
	return `Example: teiten evaluate captures/ --expect docs/evaluation/pcaps.tsv

Judges each capture of the folder that an expectation names, and prints
precision and recall per kind and tool, the confusion table and every
disagreement. Fails if a source is called infected where that is not expected.

A line's source is an address, top1 (most packets), port:445/TCP (every source
whose verdict names the port), count:24 (24 sources that match), all (the others),
or aggregate, whose kind is then dos_victim, spoofed_flood and so on. A column
is a value, several with | between, ! before values that must not be, - for
none, or * for any.`
}

// Run judges the corpus and compares.
func (c *evaluateCmd) Run(ctx context.Context, p *program) error {
	in, err := os.Open(c.Expect)
	if err != nil {
		return err
	}
	defer in.Close()
	expectations, err := evaluation.ReadExpectations(in)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Expect, err)
	}
	judge := attributeCmd{Allowlist: c.Allowlist, At: c.At, TimeZone: c.TimeZone, Definitions: c.Definitions}
	opt, err := judge.judgeOptions(p)
	if err != nil {
		return err
	}
	files, err := expectedFiles(c.Corpus, expectations)
	if err != nil {
		return err
	}
	report := evaluation.Report{Acknowledged: opt.Allowlist != nil}
	for _, name := range files {
		verdicts, aggregates, err := judgeFile(ctx, opt, filepath.Join(c.Corpus, name))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // some captures are broken on purpose; what could be read counts
			fmt.Fprintf(p.Stderr, "teiten: %s: %v\n", name, err)
		}
		report.Add(name, expectations, verdicts, aggregates)
	}
	if err := report.Write(p.Stdout); err != nil {
		return err
	}
	if n := report.FalseAccusations(); n > 0 {
		return fmt.Errorf("%d sources are called infected that should not be", n)
	}
	return nil
}

// expectedFiles lists the files of the folder that a line names. A line without
// a file is an error: what is not there cannot be right.
func expectedFiles(dir string, expectations []evaluation.Expectation) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	found := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || !strings.Contains(name, ".pcap") {
			continue
		}
		for i := range expectations {
			if ok, _ := filepath.Match(expectations[i].File, name); ok {
				found[expectations[i].File] = true
				if !slices.Contains(files, name) {
					files = append(files, name)
				}
			}
		}
	}
	var missing []error
	for i := range expectations {
		if pattern := expectations[i].File; !found[pattern] {
			found[pattern] = true
			missing = append(missing, fmt.Errorf("line %d: %s has no file %s", expectations[i].Line, dir, pattern))
		}
	}
	return files, errors.Join(missing...)
}

// judgeFile judges the sources of one capture. With an error come the verdicts
// of what could be read.
func judgeFile(ctx context.Context, opt attribution.Options, file string) ([]casedb.Verdict, []evaluation.Aggregate, error) {
	profiles := attribution.NewProfiles(opt)
	r, err := capture.NewReader(capture.Options{Sensor: "evaluation"}, func(b *observation.Batch) error {
		profiles.AddBatch(b)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	_, err = r.ReadFile(ctx, file)
	err = errors.Join(err, r.Close())
	var verdicts []casedb.Verdict
	for v := range profiles.Verdicts {
		verdicts = append(verdicts, v)
	}
	var aggregates []evaluation.Aggregate
	for _, a := range profiles.Aggregates() {
		aggregates = append(aggregates, evaluation.Aggregate{Kind: a.Kind.String(), Sources: a.Sources})
	}
	return verdicts, aggregates, err
}
