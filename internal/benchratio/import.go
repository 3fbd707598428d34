package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"teiten/attribution"
	"teiten/capture"
	"teiten/internal/casedb"
	"teiten/internal/observation"
	"teiten/internal/pgtest"
	"teiten/migrations"
)

// importBench measures importing on a server of its own.
type importBench struct {
	teiten string // the program
	url    string
	db     *casedb.DB
	rows   string // file for psql's rows
}

// importFigures are the medians over the rounds.
type importFigures struct {
	rows                            int
	stats, psql, copy, whole, known time.Duration
	judge                           time.Duration
	sources                         int
}

// imports compares `teiten import` with `teiten stats` and psql \copy. The COPY
// stage is what the importer's writer does with a window's text, which the tally
// has made: digest, sending, ledger, commit. psql gets its rows ready made too.
func (b *bench) imports() (err error) {
	if _, err := exec.LookPath("psql"); err != nil {
		b.skip("no psql to compare with")
		return nil
	}
	ctx := context.Background()
	i, stop, err := startImportBench(ctx, b.teiten, filepath.Join(b.dir, "rows"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, c := range []captureFile{b.small, b.large} {
		f, err := i.measure(ctx, c.path, b.rounds)
		if err != nil {
			return err
		}
		if f.rows != c.truth.Keys {
			return fmt.Errorf("%s: %d observations, of which the capture has %d", c.path, f.rows, c.truth.Keys)
		}
		n := c.truth.Packets
		perSecond := func(d time.Duration) float64 { return float64(f.rows) / 1000 / d.Seconds() }
		fmt.Fprintf(b.out, "  %d packets, %d observations: stats %.2f s; psql \\copy %.2f s (%.0f k rows/s); COPY stage %.2f s (%.0f k rows/s); import %.2f s; known file %.2f s\n",
			n, f.rows, f.stats.Seconds(), f.psql.Seconds(), perSecond(f.psql), f.copy.Seconds(), perSecond(f.copy), f.whole.Seconds(), f.known.Seconds())
		fmt.Fprintf(b.out, "  %d sources judged in %.2f s\n", f.sources, f.judge.Seconds())
		b.report(fmt.Sprintf("%d sources, judge / COPY stage", f.sources), f.judge.Seconds()/f.copy.Seconds(), 1)
		// 0.8 of psql's rows per second is 1.25 of its time.
		b.report(fmt.Sprintf("%d packets, COPY stage / psql \\copy", n), f.copy.Seconds()/f.psql.Seconds(), 1.25)
		b.report(fmt.Sprintf("%d packets, import / (stats + COPY stage)", n), f.whole.Seconds()/(f.stats+f.copy).Seconds(), 1.25)
		b.report(fmt.Sprintf("%d packets, known file / import", n), f.known.Seconds()/f.whole.Seconds(), 0.05)
	}
	return nil
}

func startImportBench(ctx context.Context, teiten, rows string) (*importBench, func() error, error) {
	cluster, err := pgtest.Throwaway(ctx)
	if err != nil {
		return nil, nil, err
	}
	b := &importBench{teiten: teiten, url: cluster.URL("postgres"), rows: rows}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		var err error
		if b.db != nil {
			err = b.db.Close()
		}
		return errors.Join(err, cluster.Stop(ctx))
	}
	if b.db, err = casedb.Open(b.url); err == nil {
		_, err = migrations.Apply(ctx, b.db.SQL())
	}
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return b, stop, nil
}

// measure does everything once in every round, so that noise meets all alike.
func (b *importBench) measure(ctx context.Context, file string, rounds int) (importFigures, error) {
	var f importFigures
	var stats, psql, copied, whole, known, judged []time.Duration
	for range rounds {
		steps := []struct {
			into  *[]time.Duration
			empty bool
			run   func() (time.Duration, error)
		}{
			{&stats, false, func() (time.Duration, error) { return b.run(ctx, "stats", "--summary", file) }},
			{&whole, true, func() (time.Duration, error) { return b.run(ctx, "import", "--sensor", "bench", file) }},
			{&judged, false, func() (d time.Duration, err error) { d, f.sources, err = b.judge(ctx); return d, err }},
			{&known, false, func() (time.Duration, error) { return b.run(ctx, "import", "--sensor", "bench", file) }},
			{nil, false, func() (time.Duration, error) { return b.psql(ctx, `\copy (select * from observation) to '`+b.rows+`'`) }},
			{&psql, true, func() (time.Duration, error) { return b.psql(ctx, `\copy observation from '`+b.rows+`'`) }},
			{&copied, true, func() (d time.Duration, err error) { d, f.rows, err = b.copyStage(ctx, file); return d, err }},
		}
		for _, s := range steps {
			if s.empty {
				if _, err := b.db.SQL().ExecContext(ctx, `truncate observation, batch, import, source, aggregate cascade`); err != nil {
					return f, err
				}
			}
			d, err := s.run()
			if err != nil {
				return f, err
			}
			if s.into != nil {
				*s.into = append(*s.into, d)
			}
		}
	}
	f.stats, f.psql, f.copy, f.whole, f.known, f.judge = middle(stats), middle(psql), middle(copied), middle(whole), middle(known), middle(judged)
	return f, os.Remove(b.rows)
}

func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// copyStage puts the observations of the capture into the database and returns
// the time that this took, without that of reading and tallying.
func (b *importBench) copyStage(ctx context.Context, file string) (spent time.Duration, rows int, err error) {
	if _, err := b.db.EnsureSensor(ctx, "bench", time.Now()); err != nil {
		return 0, 0, err
	}
	in, err := capture.Open(file)
	if err != nil {
		return 0, 0, err
	}
	defer in.Close()
	var text casedb.BatchText
	_, err = capture.Read(ctx, in, file, capture.Options{Sensor: "bench"}, func(batch *observation.Batch) error {
		if fits, err := text.Format(batch, 1<<30); err != nil || !fits {
			return errors.Join(err, errors.New("a batch does not fit into memory"))
		}
		began := time.Now()
		written, err := b.db.PutBatchText(ctx, &text, nil, began)
		spent += time.Since(began)
		rows += batch.Keys
		if err == nil && !written {
			err = errors.New("a batch was there already")
		}
		return err
	})
	return spent, rows, err
}

// judge gives every source of the database its verdict, as the server does.
func (b *importBench) judge(ctx context.Context) (spent time.Duration, sources int, err error) {
	began := time.Now()
	j := attribution.Judge{DB: b.db}
	for n := 1; n > 0; {
		if n, err = j.Do(ctx); err != nil {
			return 0, 0, err
		}
	}
	spent = time.Since(began)
	err = b.db.SQL().QueryRowContext(ctx, `select count(*) from verdict where superseded_at is null`).Scan(&sources)
	return spent, sources, err
}

// run runs the program, as a user would, on the bench's database.
func (b *importBench) run(ctx context.Context, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, b.teiten, args...)
	cmd.Env = append(os.Environ(), "TEITEN_DATABASE_URL="+b.url)
	began := time.Now()
	out, err := cmd.Output()
	spent := time.Since(began)
	if err != nil {
		return 0, failure(cmd, err)
	}
	if !json.Valid(out) {
		return 0, fmt.Errorf("%s printed no JSON", cmd)
	}
	return spent, nil
}

// psql runs one command of psql.
func (b *importBench) psql(ctx context.Context, command string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, b.url)
	began := time.Now()
	_, err := cmd.Output()
	return time.Since(began), failure(cmd, err)
}

// failure adds what a program said on standard error.
func failure(cmd *exec.Cmd, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %w: %s", cmd, err, casedb.CleanLine(string(exit.Stderr), 500))
	}
	return err
}
