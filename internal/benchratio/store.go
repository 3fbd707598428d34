package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/synth"
)

// Goals of storing sources that sent one packet each, and of judging them.
const (
	goalObservation = 160 // bytes on disk, with indexes
	goalSource      = 150 // bytes on disk of source and verdict, with indexes
	goalJudgeMiB    = 1024
)

// storeSizes are bytes on disk, indexes and toast included.
type storeSizes struct {
	Observations int64
	Sources      int64
	Silent       int64 // sources of which nothing is said
}

// store measures what sources of one packet each take on disk, and what it
// costs to judge them, in a process of its own, beside what importing them does.
func (b *bench) store() (err error) {
	ctx := context.Background()
	i, stop, err := startImportBench(ctx, b.teiten, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, sources := range []int{int(b.small.truth.Packets / 5), int(b.small.truth.Packets)} {
		if err := b.storeOf(ctx, i, sources); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) storeOf(ctx context.Context, i *importBench, sources int) error {
	file := filepath.Join(b.dir, fmt.Sprintf("once-%d.pcap", sources))
	if err := writeOnce(file, sources); err != nil {
		return err
	}
	defer os.Remove(file)
	if _, err := i.db.SQL().ExecContext(ctx, `truncate observation, batch, import, source, aggregate cascade`); err != nil {
		return err
	}
	imported, err := i.run(ctx, "import", "--sensor", "bench", file)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	judged, err := program{name: self, args: []string{"-judge", i.url}}.once()
	if err != nil {
		return err
	}
	n, err := i.sizes(ctx)
	if err != nil {
		return err
	}
	of := fmt.Sprintf("%d one-packet sources", sources)
	fmt.Fprintf(b.out, "  %s, nothing to say about %d: import %.2f s, judge %.2f s wall\n", of, n.Silent, imported.Seconds(), judged.wall.Seconds())
	b.report(of+", bytes an observation", float64(n.Observations)/float64(sources), goalObservation)
	b.report(of+", bytes a source with its verdict", float64(n.Sources)/float64(sources), goalSource)
	b.report(of+", judge / import", judged.wall.Seconds()/imported.Seconds(), 1)
	b.report(of+", peak memory of judge, MiB", float64(judged.rssBytes)/(1<<20), goalJudgeMiB)
	return nil
}

func writeOnce(file string, sources int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = synth.Once{Sources: sources, Seed: 1, Start: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC), Length: 6 * time.Hour}.Write(f)
	return errors.Join(err, f.Close())
}

// sizes reads what the tables take.
func (b *importBench) sizes(ctx context.Context) (n storeSizes, err error) {
	err = b.db.SQL().QueryRowContext(ctx, `select
			(select sum(pg_total_relation_size(relid))::bigint from pg_partition_tree('observation') where isleaf),
			pg_total_relation_size('source') + pg_total_relation_size('verdict'),
			(select count(*) from source s where not exists (
				select from verdict v where v.source = s.address and v.superseded_at is null and v.kind <> 'unknown'))`).
		Scan(&n.Observations, &n.Sources, &n.Silent)
	return n, err
}

// judgeOnly judges what waits in a database: the work of the process that
// store measures.
func judgeOnly(ctx context.Context, url string) error {
	db, err := casedb.Open(url)
	if err != nil {
		return err
	}
	_, _, err = (&importBench{db: db}).judge(ctx)
	return errors.Join(err, db.Close())
}
