package casedb

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// BatchStanding says whether a batch counts.
type BatchStanding string

// The standings. Only the observations of counted batches are judged and shown.
const (
	BatchCounted BatchStanding = "counted"
	BatchCovered BatchStanding = "covered"  // another batch has all of its packets
	BatchAside   BatchStanding = "aside"    // its packets may be counted already: a person has to say
	BatchLeftOut BatchStanding = "left-out" // a person has said that it does not count
)

// Relation is what a batch has to do with another one of its sensor and time.
type Relation string

// The relations of a batch to one that was there before.
const (
	relationNone    Relation = ""
	relationWithin  Relation = "within"  // all of its packets are in the other
	RelationHolds   Relation = "holds"   // all of the other's packets are in it
	RelationShares  Relation = "shares"  // some packets are in both
	RelationUnclear Relation = "unclear" // some may be
)

// OverlapChoice says what becomes of a batch some of whose packets are, or may
// be, counted already.
type OverlapChoice string

// The choices. With OverlapAsk it is stored and does not count until a
// coordinator decides.
const (
	OverlapAsk   OverlapChoice = "ask"
	OverlapKeep  OverlapChoice = "keep"      // both count
	OverlapLeave OverlapChoice = "leave-out" // the later one does not count
)

// Arrivals is one run that brings the batches of one capture, and what became
// of them. The batches of a run never overlap each other, whatever their times:
// a window can come in parts, and late packets in a part of their own.
type Arrivals struct {
	ImportID    *int64
	Overlap     OverlapChoice
	CountryData string // names the data from which observations have their countries

	// Covered batches were not counted, because a stored batch has all of their
	// packets; Replaced are stored ones of which one of this run has all. Aside
	// were stored without being counted, AsidePackets is the sum of their packets.
	Covered, Replaced, Aside int
	AsidePackets             uint64
	// Overlaps are the windows that overlap with others, in order of arrival.
	Overlaps []Overlap
	// From and To are the start of the earliest window and the end of the latest.
	From, To time.Time

	own []int64 // the batches of this run
}

// Overlap is a batch that has, or may have, packets in common with another one.
type Overlap struct {
	From, To time.Time // its window
	Packets  uint64
	Relation Relation
	Standing BatchStanding // of the batch
}

// arrival is what became of one batch.
type arrival struct {
	id        int64
	written   bool
	standing  BatchStanding
	coveredBy int64
	overlaps  []namedOverlap
	from, to  time.Time
	packets   uint64
}

// namedOverlap is the relation to one other batch.
type namedOverlap struct {
	other    int64
	relation Relation
}

// note adds a batch to the figures of the run.
func (a *Arrivals) note(o arrival) {
	if o.id == 0 {
		return // a batch without rows
	}
	a.own = append(a.own, o.id)
	if a.From.IsZero() {
		a.From, a.To = o.from, o.to
	}
	a.From, a.To = earlier(a.From, o.from), later(a.To, o.to)
	switch {
	case o.standing == BatchCovered:
		a.Covered++
	case o.standing == BatchAside:
		a.Aside++
		a.AsidePackets += o.packets
	}
	worst := relationNone
	for _, x := range o.overlaps {
		switch {
		case x.relation == RelationHolds:
			if o.standing == BatchCounted && o.written {
				a.Replaced++
			}
		case worst != RelationShares:
			worst = x.relation
		}
	}
	if worst != relationNone {
		a.Overlaps = append(a.Overlaps, Overlap{From: o.from, To: o.to, Packets: o.packets, Relation: worst, Standing: o.standing})
	}
}

// rival is a stored batch of the sensor and of the same time.
type rival struct {
	ID       int64
	Window   time.Time
	First    *time.Time
	Last     *time.Time
	Standing BatchStanding
}

// place compares the batch, whose rows have just been sent, with all others of
// its sensor and time, and says what becomes of it.
func (p *batchPut) place(ctx context.Context) (o arrival, err error) {
	o = arrival{id: p.id, written: true, standing: BatchCounted}
	rivals, err := p.rivals(ctx)
	if err != nil {
		return o, err
	}
	for _, r := range rivals {
		relation, err := p.compare(ctx, r)
		if err != nil {
			return o, err
		}
		switch relation {
		case relationNone:
		case relationWithin:
			if r.Standing == BatchCounted {
				// What it would have replaced is in the other as well.
				o = arrival{id: p.id, standing: BatchCovered, coveredBy: r.ID}
				_, err := p.tx.ExecContext(ctx, `rollback to savepoint before_rows`)
				return o, err
			}
		case RelationHolds:
			o.overlaps = append(o.overlaps, namedOverlap{r.ID, relation})
		case RelationShares, RelationUnclear:
			if r.Standing != BatchCounted {
				continue
			}
			o.overlaps = append(o.overlaps, namedOverlap{r.ID, relation})
			switch p.run.Overlap {
			case OverlapKeep:
			case OverlapLeave:
				o.standing = BatchLeftOut
			default:
				o.standing = BatchAside
			}
		}
	}
	if o.standing == BatchCounted {
		return o, p.replace(ctx, o.overlaps)
	}
	if _, err := p.tx.ExecContext(ctx, `rollback to savepoint before_rows`); err != nil {
		return o, err
	}
	return o, p.copy(ctx, "observation_aside")
}

// rivals returns the batches of the sensor in whose time packets of the batch
// are, but for those of the same run.
func (p *batchPut) rivals(ctx context.Context) (list []rival, err error) {
	sums := p.copier.sums.cut()
	rows, err := p.tx.QueryContext(ctx, `select id, window_start, first_at, last_at, standing from batch
		where sensor_id = $1 and window_start > $2 and window_start <= $3 and standing in ('counted','aside')
			and coalesce(first_at, window_start) <= $3
			and coalesce(last_at, window_start + window_seconds * interval '1 second') >= $4
			and observations > 0 and (import_id is null or import_id is distinct from $5) and id <> all($6)
		order by window_start, id`, p.sensorID, sums.first.Add(-longestWindow), sums.last, sums.first, p.run.ImportID, append(pq.Int64Array{}, p.run.own...))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r rival
		if err := rows.Scan(&r.ID, &r.Window, &r.First, &r.Last, &r.Standing); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

const (
	// orderSlack is how far packets may be out of order around the cut of a
	// file: nearer to the ends of the part, a packet can be missing that is in
	// the whole.
	orderSlack = 100 * time.Millisecond
	// touch is how far two captures may overlap where one was ended and the next
	// begun, if nothing shows that they have a packet in common.
	touch = time.Second
)

// partBreaks is an SQL condition on a pair of rows of one key, part and whole:
// it cannot be that the part has all packets of the whole from the time of its
// own first packet to that of its last one. from and to are those times, with
// slack: a source's first or last packet between them is in both.
func partBreaks(part, whole, from, to string) string {
	inner := func(at string) string {
		return whole + "." + at + " > " + from + " and " + whole + "." + at + " < " + to
	}
	return `(` + whole + `.packets is null
		or ` + part + `.packets is null and (` + inner("first_at") + ` or ` + inner("last_at") + `)
		or ` + part + `.packets > ` + whole + `.packets or ` + part + `.bytes > ` + whole + `.bytes
		or ` + part + `.first_at < ` + whole + `.first_at or ` + part + `.last_at > ` + whole + `.last_at
		or ` + inner("first_at") + ` and ` + part + `.first_at <> ` + whole + `.first_at
		or ` + inner("last_at") + ` and ` + part + `.last_at <> ` + whole + `.last_at
		or ` + inner("first_at") + ` and ` + inner("last_at") + `
			and (` + part + `.packets <> ` + whole + `.packets or ` + part + `.bytes <> ` + whole + `.bytes))`
}

// comparison counts the pairs of rows of two batches: $1 and $2 are id and
// window of the stored one, $3 and $4 of the new one, then the times between
// which each is compared as a part. Of the pairs it counts those that break the
// one order and the other, those whose first or last packet has the same time in
// both, those that have a packet in common, and those that may have one. Two
// packets of one key and microsecond are one and the same; within one second,
// where a capture has no fractions of it, they are only if the destination is
// the same too.
func comparison() string {
	at := func(a, b string) string {
		return `(` + a + ` = ` + b + ` and ` + a + ` <> date_trunc('second', ` + a + `))`
	}
	rows := func(id, window string) string {
		const columns = `source, proto, port, class, packets, bytes, first_at, last_at, destination`
		return `(select ` + columns + ` from observation where window_start = ` + window + ` and batch_id = ` + id + `
			union all select ` + columns + ` from observation_aside where batch_id = ` + id + `)`
	}
	return `select count(a.packets), count(*) filter (where ` + partBreaks("a", "b", "$5", "$6") + `),
		count(*) filter (where ` + partBreaks("b", "a", "$7", "$8") + `),
		count(*) filter (where a.first_at = b.first_at and a.destination is not distinct from b.destination
			or ` + at("a.last_at", "b.last_at") + `),
		count(*) filter (where a.first_at = b.first_at and a.destination is not distinct from b.destination
			or ` + at("a.last_at", "b.last_at") + ` or ` + at("a.first_at", "b.last_at") + ` or ` + at("a.last_at", "b.first_at") + `),
		count(*) filter (where a.first_at <= b.last_at and b.first_at <= a.last_at)
		from ` + rows("$1::bigint", "$2") + ` a full join ` + rows("$3::bigint", "$4") + ` b using (source, proto, port, class)`
}

// compare says what the batch has to do with a stored one. No packet is kept
// that could be compared, but the rows say much: the first and the last packet
// of each source, port and class are known to the microsecond. A part of a
// capture has exactly those of the whole between its ends.
func (p *batchPut) compare(ctx context.Context, r rival) (Relation, error) {
	sums := p.copier.sums.cut()
	if r.First == nil || r.Last == nil {
		return RelationUnclear, nil // retention dropped its rows before the times were kept
	}
	var stored, storedBreaks, newBreaks, ends, common, possible int
	if err := p.tx.QueryRowContext(ctx, comparison(), r.ID, r.Window.UTC(), p.id, p.head.window.UTC(),
		r.First.UTC().Add(orderSlack), r.Last.UTC().Add(-orderSlack), sums.first.Add(orderSlack), sums.last.Add(-orderSlack)).
		Scan(&stored, &storedBreaks, &newBreaks, &ends, &common, &possible); err != nil {
		return relationNone, fmt.Errorf("compare with batch %d: %w", r.ID, err)
	}
	from, to := later(sums.first, *r.First), earlier(sums.last, *r.Last)
	switch {
	case stored == 0:
		return RelationUnclear, nil // retention has dropped its rows
	case newBreaks == 0 && ends > 0:
		return relationWithin, nil
	case storedBreaks == 0 && ends > 0:
		return RelationHolds, nil
	case common > 0:
		return RelationShares, nil
	case possible == 0 || to.Sub(from) <= touch:
		return relationNone, nil // no source sent in both at one time, or one capture follows the other
	}
	return RelationUnclear, nil
}

// replace takes out of the count what the batch holds.
func (p *batchPut) replace(ctx context.Context, overlaps []namedOverlap) error {
	var held pq.Int64Array
	for _, o := range overlaps {
		if o.relation == RelationHolds {
			held = append(held, o.other)
		}
	}
	if len(held) == 0 {
		return nil
	}
	// The batches are marked when the row that covers them is there (recordOverlaps).
	return dropRows(ctx, p.tx, held)
}

// recordOverlaps writes what the batch has to do with others.
func (p *batchPut) recordOverlaps(ctx context.Context, o *arrival) error {
	for _, x := range o.overlaps {
		var decidedAt *time.Time
		decidedBy := ""
		if x.relation == RelationHolds && o.standing == BatchCounted || p.run.Overlap == OverlapKeep || p.run.Overlap == OverlapLeave {
			decidedAt, decidedBy = &p.now, ActorSystem
		}
		if _, err := p.tx.ExecContext(ctx, `insert into batch_overlap (batch_id, other_id, relation, found_at, decided_at, decided_by)
			values ($1, $2, $3, $4, $5, $6)`, p.id, x.other, string(x.relation), p.now, decidedAt, decidedBy); err != nil {
			return err
		}
		if x.relation == RelationHolds && o.standing == BatchCounted {
			if err := coverBatch(ctx, p.tx, x.other, p.id, p.now); err != nil {
				return err
			}
		}
	}
	return nil
}

// namedOverlaps returns the relations of a stored batch to others.
func (p *batchPut) namedOverlaps(ctx context.Context, id int64) (list []namedOverlap, err error) {
	rows, err := p.tx.QueryContext(ctx, `select other_id, relation from batch_overlap where batch_id = $1 order by other_id`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var o namedOverlap
		if err := rows.Scan(&o.other, &o.relation); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}
