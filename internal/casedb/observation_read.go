package casedb

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"teiten/internal/observation"

	"github.com/lib/pq"
)

// observationRow are the columns as observationScanner takes them. Times are
// sent in microseconds, which the driver reads much faster: the window, which
// begins with a second, since 1970, the others since the window, so that none
// is rounded.
const observationRow = `o.batch_id, o.sensor_id, (date_part('epoch', o.window_start) * 1e6)::bigint, o.source, o.proto, o.port, o.class,
	o.packets, o.bytes, o.destinations, o.destinations_exact, o.destination, o.peer_ports,
	(date_part('epoch', o.first_at - o.window_start) * 1e6)::bigint, (date_part('epoch', o.last_at - o.window_start) * 1e6)::bigint,
	o.marks, o.fingerprints, o.samples, o.packed`

// observationText is a row of observationRow as the driver gives it.
type observationText struct {
	batchID, sensorID                int64
	source, class, destination       sql.RawBytes
	marks, fingerprints, samples     sql.RawBytes
	packed                           sql.RawBytes
	proto, port, peers, destinations int64
	packets, bytes                   int64
	window, first, last              int64
	exact                            bool
}

// scan reads the current row. Its texts hold until the next one.
func (r *observationText) scan(rows *sql.Rows) error {
	return rows.Scan(&r.batchID, &r.sensorID, &r.window, &r.source, &r.proto, &r.port, &r.class, &r.packets, &r.bytes,
		&r.destinations, &r.exact, &r.destination, &r.peers, &r.first, &r.last, &r.marks, &r.fingerprints, &r.samples, &r.packed)
}

// observationScanner turns rows into observations, using memory again from one
// row to the next.
type observationScanner struct {
	sensors map[int64]string

	lastSource string // the text that the observation's Source was parsed from
	arena      []byte // options and payloads of the samples
}

func (q *Queries) newObservationScanner(ctx context.Context) (*observationScanner, error) {
	sensors, err := q.Sensors(ctx)
	if err != nil {
		return nil, err
	}
	s := &observationScanner{sensors: make(map[int64]string, len(sensors))}
	for _, n := range sensors {
		s.sensors[n.ID] = n.Name
	}
	return s, nil
}

// scan reads the current row into o, whose slices are used again.
func (s *observationScanner) scan(rows *sql.Rows, o *observation.Observation) (batch int64, sensor string, err error) {
	var r observationText
	if err := r.scan(rows); err != nil {
		return 0, "", err
	}
	sensor, err = s.read(&r, o)
	return r.batchID, sensor, err
}

// read makes an observation of a row's texts. o's slices are used again.
func (s *observationScanner) read(r *observationText, o *observation.Observation) (sensor string, err error) {
	o.Window, o.First, o.Last = time.UnixMicro(r.window).UTC(), time.UnixMicro(r.window+r.first).UTC(), time.UnixMicro(r.window+r.last).UTC()
	o.Proto, o.Port, o.PeerPorts = uint8(r.proto), uint16(r.port), uint16(r.peers)
	o.Packets, o.Bytes, o.Destinations, o.DestinationsExact = uint64(r.packets), uint64(r.bytes), uint32(r.destinations), r.exact
	if string(r.source) != s.lastSource {
		s.lastSource = string(r.source)
		if o.Source, err = parseAddr(s.lastSource); err != nil {
			return "", err
		}
	}
	o.Destination = netip.Addr{}
	if len(r.destination) > 0 {
		if o.Destination, err = parseAddr(string(r.destination)); err != nil {
			return "", err
		}
	}
	o.Class = readClass(string(r.class))
	if err := s.decode(r, o); err != nil {
		return "", fmt.Errorf("observation of %s in batch %d: %w", o.Source, r.batchID, err)
	}
	return s.sensors[r.sensorID], nil
}

// decode reads marks, fingerprints and samples.
func (s *observationScanner) decode(r *observationText, o *observation.Observation) (err error) {
	o.Marks, o.Fingerprints, o.Samples, s.arena = o.Marks[:0], o.Fingerprints[:0], o.Samples[:0], s.arena[:0]
	if len(r.marks) > 0 {
		if o.Marks, err = observation.DecodeMarks(r.marks, o.Marks); err != nil {
			return fmt.Errorf("marks: %w", err)
		}
	}
	if len(r.fingerprints) > 0 {
		if o.Fingerprints, err = observation.DecodeFingerprints(r.fingerprints, o.Fingerprints); err != nil {
			return fmt.Errorf("fingerprints: %w", err)
		}
	}
	if len(r.samples) > 0 {
		if o.Samples, s.arena, err = observation.DecodeSamples(r.samples, o.Samples, s.arena); err != nil {
			return fmt.Errorf("samples: %w", err)
		}
	}
	if len(r.packed) > 0 {
		if s.arena, err = decodePacked(r.packed, o.Window, o, s.arena); err != nil {
			return fmt.Errorf("packed: %w", err)
		}
	}
	for i := range o.Samples {
		o.Samples[i].Source = o.Source
	}
	return nil
}

// readClass reads the column class. A class that this version does not know is
// one that no rule knows.
func readClass(text string) observation.Class {
	if c, ok := observation.ParseClass(text); ok {
		return c
	}
	return observation.ClassOther
}

func parseAddr(s string) (netip.Addr, error) {
	var a Addr
	err := a.Scan(s)
	return a.Addr, err
}

// ObservationsOfSources calls yield with every observation since the given
// time, of all sensors, of every source that occurs in the batches: first those
// of other batches, the oldest of each source first, then those of the batches
// as they were imported. The observation is used again after yield returns. An
// error of yield ends it and comes back.
//
// The batches' own are read in one scan of their partitions, without sorting
// them: with the sources of a whole day that took longer than the reading. Of
// the others, for the sources of one window, a nested loop over the partitions'
// index on source and a sort of what it finds; for those of a whole day a merge
// join that reads the index in order.
func (d *DB) ObservationsOfSources(ctx context.Context, batchIDs []int64, since time.Time,
	yield func(sensor string, o *observation.Observation) error) error {
	if len(batchIDs) == 0 {
		return nil
	}
	return d.InTx(ctx, func(t *Tx) error {
		var batches struct {
			// The windows lead to the partitions that hold the batches.
			Windows pq.StringArray `db:"windows"`
			Others  bool           `db:"others"`
		}
		if err := t.q.GetContext(ctx, &batches, `select array(select distinct window_start::text from batch where id = any($1)) as windows,
				exists (select 1 from batch where window_start >= $2 and id <> all($1)) as others`,
			pq.Int64Array(batchIDs), since.UTC()); err != nil {
			return fail("windows of batches", err)
		}
		// Sorts are the costly part, and compiling the plan gains nothing.
		if _, err := t.q.ExecContext(ctx, `set local work_mem = '64MB'; set local jit = off`); err != nil {
			return fail("set work_mem", err)
		}
		if batches.Others {
			if err := t.streamObservations(ctx, yield, `with wanted as materialized (
					select distinct source from observation where window_start = any($2::timestamptz[]) and batch_id = any($1))
				select `+observationRow+` from wanted w join observation o on o.source = w.source
				where o.window_start >= $3 and o.batch_id <> all($1) order by o.source, o.window_start, o.batch_id`,
				pq.Int64Array(batchIDs), batches.Windows, since.UTC()); err != nil {
				return err
			}
		}
		// One process from the first row on, so that the order is the same every time.
		if _, err := t.q.ExecContext(ctx, `set local max_parallel_workers_per_gather = 0; set local synchronize_seqscans = off`); err != nil {
			return fail("set order of reading", err)
		}
		return t.streamObservations(ctx, yield, `select `+observationRow+` from observation o
			where o.window_start = any($2::timestamptz[]) and o.batch_id = any($1)`, pq.Int64Array(batchIDs), batches.Windows)
	})
}

// ObservationsOf calls yield with every observation since the given time, of
// all sensors, of the sources: those of one follow each other, the oldest
// first. Else it is as ObservationsOfSources.
func (d *DB) ObservationsOf(ctx context.Context, sources []netip.Addr, since time.Time,
	yield func(sensor string, o *observation.Observation) error) error {
	if len(sources) == 0 {
		return nil
	}
	return d.InTx(ctx, func(t *Tx) error {
		return t.streamObservations(ctx, yield, `select `+observationRow+` from unnest($1::inet[]) as w (source)
			join observation o on o.source = w.source
			where o.window_start >= $2 order by o.source, o.window_start, o.batch_id`, addrTexts(sources), since.UTC())
	})
}

// observationBlock is some rows with copies of their texts.
type observationBlock struct {
	rows [256]observationText
	n    int
	text []byte // what the texts of rows point to
}

// add copies a row. The texts move when their memory grows; those before keep
// the old.
func (b *observationBlock) add(r *observationText) {
	keep := func(t sql.RawBytes) sql.RawBytes {
		at := len(b.text)
		b.text = append(b.text, t...)
		return b.text[at:len(b.text):len(b.text)]
	}
	k := &b.rows[b.n]
	*k = *r
	k.source, k.class, k.destination = keep(r.source), keep(r.class), keep(r.destination)
	k.marks, k.fingerprints, k.samples, k.packed = keep(r.marks), keep(r.fingerprints), keep(r.samples), keep(r.packed)
	b.n++
}

// streamObservations calls yield with the rows of a query for observationRow.
// One goroutine takes them from the driver, while this one reads their values
// and calls yield: each costs about as much as the other.
func (t *Tx) streamObservations(ctx context.Context, yield func(sensor string, o *observation.Observation) error, query string, args ...any) error {
	scanner, err := t.newObservationScanner(ctx)
	if err != nil {
		return err
	}
	// Ending early must end the query too, else the driver reads it to its end.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return fail("observations of sources", err)
	}
	defer rows.Close()
	const blocks = 4
	full, free := make(chan *observationBlock, blocks), make(chan *observationBlock, blocks)
	for range blocks {
		free <- &observationBlock{}
	}
	var taken error
	go func() {
		defer close(full)
		taken = takeObservations(ctx, rows, full, free)
	}()
	var o observation.Observation
	for b := range full {
		for i := range b.n {
			sensor, err := scanner.read(&b.rows[i], &o)
			if err == nil {
				err = yield(sensor, &o)
			}
			if err != nil {
				cancel()
				for range full { // until the other has let go of rows
				}
				return err
			}
		}
		free <- b
	}
	return fail("observations of sources", taken)
}

// takeObservations fills blocks with the rows.
func takeObservations(ctx context.Context, rows *sql.Rows, full chan<- *observationBlock, free <-chan *observationBlock) error {
	var r observationText
	for more := true; more; {
		var b *observationBlock
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.n, b.text = 0, b.text[:0]
		for b.n < len(b.rows) {
			if more = rows.Next(); !more {
				break
			}
			if err := r.scan(rows); err != nil {
				return err
			}
			b.add(&r)
		}
		full <- b // there is room for all blocks
	}
	return rows.Err()
}

// StoredObservation is an observation with the key of its row.
type StoredObservation struct {
	observation.Observation
	BatchID int64
	Sensor  string
}

// ObservationKey is a place in the list of a source's observations.
type ObservationKey struct {
	Window  time.Time
	BatchID int64
	Proto   uint8
	Port    uint16
	Class   observation.Class
}

// Key returns the observation's place in the list.
func (s *StoredObservation) Key() ObservationKey {
	return ObservationKey{s.Window, s.BatchID, s.Proto, s.Port, s.Class}
}

// SourceObservations returns at most limit observations of a source, the
// newest windows first, that come after the place before (nil: from the
// newest on), with their samples.
func (q *Queries) SourceObservations(ctx context.Context, source Addr, before *ObservationKey, limit int) ([]StoredObservation, error) {
	scanner, err := q.newObservationScanner(ctx)
	if err != nil {
		return nil, err
	}
	if before == nil {
		before = &ObservationKey{Window: maxTime.Add(-time.Hour)}
	}
	rows, err := q.q.QueryxContext(ctx, `select `+observationRow+` from observation o
		where o.source = $1 and o.window_start <= $2
			and (o.window_start, o.batch_id, o.proto, o.port, o.class) < ($2, $3, $4, $5, $6)
		order by o.window_start desc, o.batch_id desc, o.proto desc, o.port desc, o.class desc limit $7`,
		source, before.Window.UTC(), before.BatchID, int(before.Proto), int(before.Port), before.Class.String(), limit)
	if err != nil {
		return nil, fail("observations of source", err)
	}
	defer rows.Close()
	var list []StoredObservation
	for rows.Next() {
		var o StoredObservation
		scanner.arena = nil // the samples are kept
		if o.BatchID, o.Sensor, err = scanner.scan(rows.Rows, &o.Observation); err != nil {
			return nil, err
		}
		o.Source = source.Unmap()
		list = append(list, o)
	}
	return list, fail("observations of source", rows.Err())
}

// HourCount is what one source sent to one port within one hour, all sensors
// together.
type HourCount struct {
	Hour    time.Time `db:"hour"` // start, UTC
	Proto   int       `db:"proto"`
	Port    int       `db:"port"` // OtherPorts: all that are not counted apart
	Class   observation.Class
	Packets int64     `db:"packets"`
	First   time.Time `db:"first_at"`
	Last    time.Time `db:"last_at"`
}

// OtherPorts is the Port of an HourCount, with protocol 0 and no class, that
// sums up the ports beyond maxHourPorts.
const OtherPorts = -1

const (
	maxHourPorts = 24    // protocols, ports and classes of a source counted apart, those with most packets
	maxHourRows  = 20000 // a month of hours with all of them, about
)

// SourceHours returns the packets of a source per hour of the window's start,
// protocol, port and class, for the windows from (inclusive) to (exclusive),
// the oldest first. Sums over hours are complete: what goes beyond 24 ports is
// summed up under OtherPorts.
func (q *Queries) SourceHours(ctx context.Context, source Addr, from, to time.Time) ([]HourCount, error) {
	var rows []struct {
		HourCount
		Text string `db:"class"`
	}
	err := q.q.SelectContext(ctx, &rows, `with hourly as materialized (
			select date_trunc('hour', window_start, 'UTC') as hour, proto, port, class,
				sum(packets) as packets, min(first_at) as first_at, max(last_at) as last_at
			from observation where source = $1 and window_start >= $2 and window_start < $3
			group by 1, 2, 3, 4),
		apart as (
			select proto, port, class from hourly group by 1, 2, 3
			order by sum(packets) desc, proto, port, class limit $4)
		select h.hour, case when a.port is null then 0 else h.proto end as proto, coalesce(a.port, $5) as port,
			coalesce(a.class, '') as class, sum(h.packets)::bigint as packets, min(h.first_at) as first_at, max(h.last_at) as last_at
		from hourly h left join apart a on a.proto = h.proto and a.port = h.port and a.class = h.class
		group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit $6`,
		source, from.UTC(), to.UTC(), maxHourPorts, OtherPorts, maxHourRows)
	var hours []HourCount
	for i := range rows {
		h := &rows[i].HourCount
		h.Hour, h.First, h.Last, h.Class = h.Hour.UTC(), h.First.UTC(), h.Last.UTC(), readClass(rows[i].Text)
		hours = append(hours, *h)
	}
	return hours, fail("hours of source", err)
}
