package casedb

import (
	"context"
	"net/netip"
	"time"

	"teiten/internal/observation"

	"github.com/lib/pq"
)

// TCPWindowGroup says what the TCP windows of a source's SYNs on a port were. The
// greater group of a source's observations is the source's: each source is in
// one group a day.
type TCPWindowGroup uint8

// The groups, the least telling first.
const (
	TCPWindowOther   TCPWindowGroup = iota // other windows only
	TCPWindowUnknown                       // the window asked for was not seen, but not all windows are known
	TCPWindowAsked                         // the window asked for in at least one SYN
	TCPWindowWorm                          // the same, with the whole header of worm-like probes (mark worm445)
	TCPWindowGroups                        // their number
)

// String returns the group's name in output.
func (g TCPWindowGroup) String() string {
	return [...]string{"other", "undetermined", "window", "worm_like"}[min(g, TCPWindowWorm)]
}

// windowCounted is the window that a mark counts, so that no fingerprint need
// be asked; MarkWorm445 implies it.
const windowCounted = 8192

// fingerprintsKept is the number of fingerprints with which a further one may
// have given way.
const fingerprintsKept = 4

// TCPWindowGroupOf returns the group of an observation of SYNs. windowGroupSQL is
// the same in SQL; a test compares the two.
func TCPWindowGroupOf(o *observation.Observation, window uint16) TCPWindowGroup {
	if window == windowCounted {
		switch {
		case o.Mark(observation.MarkWorm445) > 0:
			return TCPWindowWorm
		case o.Mark(observation.MarkWindow8192) > 0:
			return TCPWindowAsked
		}
	}
	known := uint64(0)
	for _, f := range o.Fingerprints {
		if f.Window == window {
			return TCPWindowAsked
		}
		known += f.Packets
	}
	switch {
	case len(o.Fingerprints) == 0:
		return TCPWindowUnknown
	case window != windowCounted && (len(o.Fingerprints) >= fingerprintsKept || known < o.Packets):
		return TCPWindowUnknown
	}
	return TCPWindowOther
}

// windowGroupSQL is TCPWindowGroup of observation o for window $5.
const windowGroupSQL = `case when $5 = 8192 and o.marks ? 'worm445' then 3
	when $5 = 8192 and o.marks ? 'window_8192' then 2
	when exists (select from fingerprint_windows(o.fingerprints, o.packed) f where f.win = $5) then 2
	when not exists (select from fingerprint_windows(o.fingerprints, o.packed)) then 1
	when $5 <> 8192 and ((select count(*) from fingerprint_windows(o.fingerprints, o.packed)) >= 4
		or (select sum(f.n) from fingerprint_windows(o.fingerprints, o.packed) f) < o.packets) then 1
	else 0 end`

// TCPWindowQuestion asks how many sources sent SYNs to a TCP port with a window.
type TCPWindowQuestion struct {
	Port, Window uint16
	// Countries and Prefixes say whose sources are counted; neither: all.
	Countries []string
	Prefixes  []netip.Prefix
	// Location is the clock by which days are counted.
	Location *time.Location
}

// TCPWindowDay is the answer for one day.
type TCPWindowDay struct {
	Day time.Time // its start
	// Sensors is the number of sensors that reported. A day without any is not
	// zero sources but not known; observations that retention has dropped are
	// as none.
	Sensors int
	Sources [TCPWindowGroups]int64 // unique sources by group
	// Unjudged are the sources whose country is not known, because they have not
	// been judged or because neither the table of countries nor a registry names
	// one; they are in no group.
	Unjudged int64
}

// Total returns the sources of all groups.
func (d *TCPWindowDay) Total() (n int64) {
	for _, g := range d.Sources {
		n += g
	}
	return n
}

// TCPWindowDays answers the question for each day from the day of from to that of
// to. An observation belongs to the day in which its window starts. memory may
// be nil.
//
// The country of a source is that of the table of countries and, where that does
// not know one, that of the registry which its owner was asked from.
//
// A day is one pass over its partitions: a parallel scan that keeps the SYNs of
// the port, and a hash of their sources that PostgreSQL bounds by work_mem.
func (q *Queries) TCPWindowDays(ctx context.Context, ask TCPWindowQuestion, from, to time.Time, memory *TCPWindowMemory) ([]TCPWindowDay, error) {
	kept, err := q.ObservationDays(ctx)
	if err != nil {
		return nil, err
	}
	partitions := make(pq.StringArray, len(kept))
	for i, d := range kept {
		partitions[i] = d.Format(time.DateOnly)
	}
	var days []TCPWindowDay
	for day := StartOfDay(from, ask.Location); !day.After(to); day = StartOfDay(day.AddDate(0, 0, 1), ask.Location) {
		d, err := q.tcpWindowDay(ctx, &ask, day, partitions, memory)
		if err != nil {
			return nil, err
		}
		days = append(days, d)
	}
	return days, nil
}

// StartOfDay returns when the day of t begins by the clock of location.
func StartOfDay(t time.Time, location *time.Location) time.Time {
	t = t.In(location)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, location)
}

func (q *Queries) tcpWindowDay(ctx context.Context, ask *TCPWindowQuestion, day time.Time, partitions pq.StringArray, memory *TCPWindowMemory) (TCPWindowDay, error) {
	d := TCPWindowDay{Day: day}
	from, to := day.UTC(), StartOfDay(day.AddDate(0, 0, 1), ask.Location).UTC()
	// What an answer rests on is read first: what comes meanwhile makes it old.
	var batches dayBatches
	err := q.q.GetContext(ctx, &batches, `select case when bool_and((window_start at time zone 'UTC')::date::text = any($3))
			then count(distinct sensor_id) else 0 end as sensors,
			count(*) as batches, count(judged_at) as judged, coalesce(max(id), 0) as newest,
			(select coalesce(max(id), 0) from network) as network
		from batch where window_start >= $1 and window_start < $2 and observations > 0 and standing = 'counted'`, from, to, partitions)
	if err != nil || batches.Sensors == 0 {
		return d, fail("count sensors of a day", err)
	}
	d.Sensors = batches.Sensors
	key := ask.memoryKey(from, to)
	if kept, ok := memory.recall(key, day, batches); ok {
		return kept, nil
	}
	prefixes := make(pq.StringArray, len(ask.Prefixes))
	for i, p := range ask.Prefixes {
		prefixes[i] = p.Masked().String()
	}
	countries := append(pq.StringArray{}, ask.Countries...)
	row := q.q.QueryRowxContext(ctx, `select count(*) filter (where counted and kind = 0), count(*) filter (where counted and kind = 1),
			count(*) filter (where counted and kind = 2), count(*) filter (where counted and kind = 3), count(*) filter (where unjudged)
		from (
			select o.kind, w.all_of_them or coalesce(w.country = any($6), false) or w.covered as counted,
				not w.all_of_them and not w.covered and coalesce(w.country, '') !~ '^[A-Z]{2}$' as unjudged
			from (
				select o.source, max(`+windowGroupSQL+`) as kind from observation o
				where o.window_start >= $1 and o.window_start < $2 and o.proto = $3 and o.port = $4 and o.class = 'syn'
				group by o.source
			) o
			left join source s on s.address = o.source left join network n on n.id = s.network_id,
			lateral (select cardinality($6::text[]) + cardinality($7::inet[]) = 0 as all_of_them, o.source <<= any($7::inet[]) as covered,
				case when `+countryUnknown+` then n.country else s.country end as country) w
		) x`, from, to, protoTCP, int(ask.Port), int(ask.Window), countries, prefixes)
	err = row.Scan(&d.Sources[TCPWindowOther], &d.Sources[TCPWindowUnknown], &d.Sources[TCPWindowAsked], &d.Sources[TCPWindowWorm], &d.Unjudged)
	if err != nil {
		return d, fail("count sources by window", err)
	}
	memory.keep(key, batches, d)
	return d, nil
}

const protoTCP = 6

// LastObservationWindow returns when the newest window of all sensors starts;
// zero without any.
func (q *Queries) LastObservationWindow(ctx context.Context) (time.Time, error) {
	var last *time.Time
	err := q.q.GetContext(ctx, &last, `select max(window_start) from batch`)
	if err != nil || last == nil {
		return time.Time{}, fail("find last window", err)
	}
	return last.UTC(), nil
}
