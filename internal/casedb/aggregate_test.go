package casedb_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

var target = casedb.FloodTarget{Destination: 1<<32 | 7, Proto: 6, Port: 80, Class: observation.ClassSYN}

// flood is a flood of n sources with two packets each in the hour.
func flood(hour, n int) casedb.Aggregate {
	at := noon.Add(time.Duration(hour) * time.Hour)
	a := casedb.Aggregate{Kind: casedb.AggregateFlood, Key: target.Key(), Destination: casedb.Addr{Addr: netip.MustParseAddr("198.51.100.7")},
		Ports: []string{"80/TCP"}, Sources: int64(n), Packets: int64(2 * n), First: at, Last: at.Add(59 * time.Minute), Confidence: 0.9, Ruleset: "1"}
	a.Hours.V = []casedb.FloodHour{{At: at, Sources: int64(n), Packets: int64(2 * n)}}
	return a
}

func attack(victim string, hour, packets int) casedb.Aggregate {
	at := noon.Add(time.Duration(hour) * time.Hour)
	return casedb.Aggregate{Kind: casedb.AggregateVictim, Key: victim, Victim: casedb.Addr{Addr: netip.MustParseAddr(victim)}, Ports: []string{"443/TCP"},
		Sources: 1, Packets: int64(packets), Peak: float64(packets), First: at, Last: at.Add(30 * time.Minute), Confidence: 0.9, Ruleset: "1"}
}

// keep saves aggregates as the judge does and returns all that are stored.
func keep(t *testing.T, db *casedb.DB, list ...casedb.Aggregate) []casedb.Aggregate {
	t.Helper()
	_, version, err := db.Floods(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(t.Context(), func(tx *casedb.Tx) error {
		if err := tx.HoldFloods(t.Context(), version, casedb.HasFlood(list)); err != nil {
			return err
		}
		return tx.SaveAggregates(t.Context(), list, noon)
	})
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := db.ListAggregates(t.Context(), casedb.AggregateFilter{}, casedb.AggregateCursor{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFloodIsExtendedOverHoursAndNotCountedTwice(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	for range 2 {
		all := keep(t, db, flood(0, 6000), flood(1, 7000))
		if len(all) != 1 || all[0].Sources != 13000 || all[0].Packets != 26000 || all[0].Evidence.V.Hits != 13000 || len(all[0].Hours.V) != 2 {
			t.Fatalf("got %+v", all)
		}
	}
	if all := keep(t, db, flood(1, 100)); all[0].Sources != 13000 {
		t.Errorf("a part of an hour: got %d sources", all[0].Sources)
	}
	if all := keep(t, db, flood(5, 5000)); len(all) != 2 {
		t.Errorf("hours later: got %d events, want another", len(all))
	}
	other := flood(1, 5000)
	other.Key = casedb.FloodTarget{Destination: 9, Proto: 6, Port: 80, Class: observation.ClassSYN}.Key()
	if all := keep(t, db, other); len(all) != 3 {
		t.Errorf("another target: got %d events, want three", len(all))
	}
	all := keep(t, db, flood(2, 5000), flood(3, 5000), flood(4, 5000))
	if len(all) != 2 || all[0].Sources != 33000 || !all[0].First.Equal(noon) || len(all[0].Hours.V) != 6 {
		t.Errorf("the hours between: got %+v", all)
	}
	if all[0].Destination.IsValid() || all[0].Key != "" {
		t.Error("pages are given our address")
	}
	floods, _, err := db.Floods(t.Context(), noon.Add(3*time.Hour))
	if err != nil || len(floods) != 1 || len(floods[0].Hours.V) != 6 {
		t.Errorf("got %+v, %v", floods, err)
	}
	if got, err := casedb.ParseFloodKey(floods[0].Key); err != nil || got != target {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAttacksAndCampaignsKeepTheGreaterNumber(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	keep(t, db, attack("192.0.2.1", 0, 500), attack("192.0.2.1", 5, 100))
	more := attack("192.0.2.1", 1, 900)
	more.Ports = []string{"80/TCP"}
	keep(t, db, more)
	all := keep(t, db, attack("192.0.2.1", 0, 500), attack("192.0.2.2", 0, 50))
	if len(all) != 3 {
		t.Fatalf("got %d events, want three", len(all))
	}
	list, more2, err := db.ListAggregates(t.Context(), casedb.AggregateFilter{Victim: netip.MustParseAddr("192.0.2.1"), Kind: casedb.AggregateVictim},
		casedb.AggregateCursor{}, 1)
	if err != nil || !more2 || len(list) != 1 || list[0].Packets != 100 {
		t.Fatalf("got %+v, %v", list, err)
	}
	list, more2, err = db.ListAggregates(t.Context(), casedb.AggregateFilter{Victim: netip.MustParseAddr("192.0.2.1")},
		casedb.AggregateCursor{Last: list[0].Last, ID: list[0].ID}, 1)
	if err != nil || more2 || len(list) != 1 || list[0].Packets != 900 || list[0].Peak != 900 || len(list[0].Ports) != 2 ||
		!list[0].First.Equal(noon) || !list[0].Last.Equal(noon.Add(90*time.Minute)) {
		t.Errorf("got %+v, %v, %v", list, more2, err)
	}
	if a, err := db.Aggregate(t.Context(), list[0].ID); err != nil || a.Packets != 900 {
		t.Errorf("got %+v, %v", a, err)
	}
	if _, err := db.Aggregate(t.Context(), 12345); !errors.Is(err, casedb.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestEventsAreNotEndless(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	var all []casedb.Aggregate
	for hour := 0; hour < 40*24; hour += 24 {
		list := make([]casedb.Aggregate, 24)
		for i := range list {
			list[i] = flood(hour+i, 5000)
		}
		all = keep(t, db, list...)
	}
	if len(all) != 2 || all[0].Sources+all[1].Sources != 40*24*5000 {
		t.Fatalf("got %d events, want two that share the hours", len(all))
	}
	for _, a := range all {
		if a.Last.Sub(a.First) > 31*24*time.Hour || len(a.Hours.V) > 31*24+1 {
			t.Errorf("%s is too long", a.Last.Sub(a.First))
		}
	}
}

func TestJudgesWithoutTheNewFloodAreRefused(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	_, version, err := db.Floods(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	hold := func() error {
		return db.InTx(t.Context(), func(tx *casedb.Tx) error { return tx.HoldFloods(t.Context(), version, false) })
	}
	keep(t, db, attack("192.0.2.1", 0, 500))
	if err := hold(); err != nil {
		t.Errorf("an attack changes nothing for others: got %v", err)
	}
	keep(t, db, flood(0, 5000))
	if err := hold(); !errors.Is(err, casedb.ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
	_, version, _ = db.Floods(t.Context(), noon)
	keep(t, db, flood(0, 6000))
	if err := hold(); err != nil {
		t.Errorf("more of the same hour: got %v", err)
	}
}
