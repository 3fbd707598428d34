package casework_test

import (
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/casework"
)

// sent marks the case's letter as sent, and what it named.
func (d *desk) sent() {
	d.t.Helper()
	d.exec(`update message set state = 'queued' where state = 'held'`)
	d.exec(`update message set state = 'sent', sent_at = $1, attempts = 1, next_attempt_at = null where state = 'queued'`, d.now)
	d.exec(`insert into message_source (message_id, source) select m.id, cs.source from message m join case_source cs on cs.case_id = m.case_id
		on conflict do nothing`)
	d.exec(`update cases set state = 'notified', waiting = '', waiting_since = null where state in ('new','open')`)
}

// sensorWorks writes the batches of days of a sensor, from now on, and moves
// the clock.
func (d *desk) sensorWorks(sensor string, days int) {
	d.t.Helper()
	d.exec(`insert into sensor (name, created_at) values ($1, $2) on conflict do nothing`, sensor, d.now)
	d.exec(`insert into batch (sensor_id, window_start, window_seconds, digest, packets, observations, created_at, judged_at, next_attempt_at)
		select s.id, h, 3600, decode(md5(s.name || h) || md5(s.name || h), 'hex'), 1, 1, h, h, h from sensor s,
			generate_series($2::timestamptz, $2::timestamptz + cast($3 as integer) * interval '1 day' - interval '1 hour', interval '1 hour') h
		where s.name = $1`, sensor, d.now.Truncate(time.Hour), days)
	d.now = d.now.Add(time.Duration(days) * 24 * time.Hour)
}

// observe writes one observation of a source at a sensor.
func (d *desk) observe(sensor, source string) {
	d.t.Helper()
	d.exec(`insert into sensor (name, created_at) values ($1, $2) on conflict do nothing`, sensor, d.now)
	day := d.now.Format("20060102")
	d.exec(`create table if not exists observation_` + day + ` partition of observation for values from ('` + d.now.Format(time.DateOnly) +
		` 00:00Z') to ('` + d.now.AddDate(0, 0, 1).Format(time.DateOnly) + ` 00:00Z')`)
	d.exec(`insert into observation (batch_id, sensor_id, window_start, source, proto, port, class, packets, bytes, destinations,
		destinations_exact, peer_ports, first_at, last_at) select 1, id, $2, $3, 6, 445, 'syn', 4, 240, 2, true, 4, $2, $2 from sensor where name = $1`,
		sensor, d.now, source)
	d.exec(`update source set last_at = greatest(last_at, $2) where address = $1`, source, d.now)
}

func (d *desk) follow() {
	d.t.Helper()
	f := casework.Follower{DB: d.db, Tell: d.tell, Now: func() time.Time { return d.now }}
	if _, err := f.Do(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// TestCaseEndsWhenItsSourcesAreQuiet, and only when the sensors that had seen
// them worked meanwhile; it is reopened when one comes back, and a new case is
// opened when that takes too long.
func TestCaseEndsWhenItsSourcesAreQuiet(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.opener.ReopenWithin = 30 * 24 * time.Hour
	d.see("192.0.2.10", "192.0.2.11")
	d.observe("north", "192.0.2.10")
	d.observe("north", "192.0.2.11")
	d.open()
	d.sent()
	d.follow()
	d.want(`select string_agg(state || ' ' || arm || ' ' || array_length(sensors, 1), ',') from followup`, "active notified 1,active notified 1")

	// Another sensor's silence says nothing.
	d.sensorWorks("south", 10)
	d.follow()
	d.want(`select state from cases`, "notified")
	d.want(`select string_agg(distinct state, ',') from followup`, "active")

	// One of the two goes on.
	d.sensorWorks("north", 6)
	d.observe("north", "192.0.2.11")
	d.sensorWorks("north", 2)
	d.follow()
	d.want(`select string_agg(state, ',' order by source) from followup`, "quiet,active")
	d.want(`select state from cases`, "notified")

	// A case that waits for a coordinator is not closed over his head.
	d.sensorWorks("north", 6)
	d.exec(`update cases set waiting = 'reply', waiting_since = now()`)
	d.follow()
	d.want(`select state from cases`, "notified")
	d.exec(`update cases set waiting = '', waiting_since = null`)
	d.now = d.now.Add(2 * time.Hour)
	d.follow()
	d.want(`select state from cases`, "closed")
	d.want(`select string_agg(kind, ',' order by id) from case_event where kind in ('quiet','closed')`, "quiet,closed")

	// It comes back soon: the same case, and a coordinator looks. No mail by itself.
	d.sensorWorks("north", 5)
	d.see("192.0.2.10")
	d.open()
	d.want(`select string_agg(number || ' ' || state || ' ' || waiting, ',') from cases`, d.row(`select min(number) from cases`)+" open attention")
	d.want(`select count(*) from message where state in ('held','queued')`, "0")
	d.now = d.now.Add(2 * time.Hour)
	d.follow()
	d.want(`select state || ' ' || (returned_at is not null) from followup where source = '192.0.2.10'`, "returned true")

	// Quiet once more, closed, and back after a long time: a new case.
	d.exec(`update cases set state = 'notified', waiting = '', waiting_since = null`)
	d.sensorWorks("north", 9)
	d.follow()
	d.want(`select state from cases`, "closed")
	d.now = d.now.Add(60 * 24 * time.Hour)
	d.see("192.0.2.10")
	d.exec(`update network set expires_at = $1`, d.now.Add(24*time.Hour))
	d.open()
	d.want(`select count(*) from cases`, "2")
}

// TestRecoveryIsToldBeforeTheCaseEnds, where somebody wants that.
func TestRecoveryIsToldBeforeTheCaseEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.automatic()
	d.tell, d.opener.Recovered = d.opener.TellRecovered, true
	d.see("192.0.2.10")
	d.observe("north", "192.0.2.10")
	d.open()
	d.sent()
	d.follow()
	d.sensorWorks("north", 9)
	for range 2 {
		d.now = d.now.Add(2 * time.Hour)
		d.follow()
		d.want(`select format('%s %s', (select state from cases), (select string_agg(state || ' ' || reason, ', ' order by id) from message))`,
			"notified sent first, queued recovered")
	}
	d.sent()
	d.now = d.now.Add(2 * time.Hour)
	d.follow()
	d.want(`select format('%s %s', (select state from cases), (select count(*) from message))`, "closed 2")
}

// TestEffectTimes: events, censoring by sensors that did not work, cases by
// arm, and controls that end by being told.
func TestEffectTimes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.see("192.0.2.10", "192.0.2.11", "192.0.2.70")
	for _, a := range []string{"192.0.2.10", "192.0.2.70"} {
		d.observe("north", a)
	}
	d.observe("south", "192.0.2.11")
	d.open()
	d.sent()
	d.exec(`insert into followup (case_id, source, arm, drawn, started_at, kind, sensors, last_at, known_to, checked_at)
		select case_id, source, case when source = '192.0.2.70' then 'control' else 'notified' end, true, $1, 'infected',
			(select array_agg(id) from sensor where name = case when source = '192.0.2.11' then 'south' else 'north' end), $1, $1, $1
		from case_source`, d.now)
	d.exec(`insert into control_draw (case_id, drawn_at, seed, drawn, share, arm, until)
		select distinct case_id, $1::timestamptz, 'seed', case when source = '192.0.2.70' then 0.1 else 0.7 end, 0.5,
			case when source = '192.0.2.70' then 'control' else 'notified' end,
			case when source = '192.0.2.70' then $1::timestamptz + interval '14 days' end
		from case_source where source in ('192.0.2.10','192.0.2.70')`, d.now)
	d.exec(`update message set sent_at = sent_at + interval '4 days' where id in (select message_id from message_source where source = '192.0.2.70')`)
	start := d.now
	d.now = start
	d.sensorWorks("north", 5)
	d.observe("north", "192.0.2.70")
	d.sensorWorks("north", 5)
	d.follow()
	d.now = d.now.Add(2 * time.Hour)
	d.follow() // a second time changes nothing
	times, err := d.db.EffectTimes(t.Context(), casedb.EffectFilter{By: casedb.EffectArm})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]casedb.EffectTime{}
	for _, x := range times {
		got[x.Group] = x
	}
	// A case with 192.0.2.11 is not known to be quiet: south did not work.
	if x := got["notified"]; len(times) != 2 || x.Event || x.Days != 0 {
		t.Errorf("told: %+v of %d", x, len(times))
	}
	// By anything else 192.0.2.11 is left out and controls do not count.
	// 192.0.2.10 stopped at the mail.
	all, err := d.db.EffectTimes(t.Context(), casedb.EffectFilter{By: casedb.EffectAll})
	if err != nil || len(all) != 1 || !all[0].Event || all[0].Days != 0 {
		t.Errorf("sources told of: %+v, %v", all, err)
	}
	// The control is known for three days; being told after four would end it.
	if x := got["control"]; x.Event || x.Days < 2.9 || x.Days > 3.1 {
		t.Errorf("control: %+v", x)
	}
	d.sensorWorks("north", 10)
	d.follow()
	times, err = d.db.EffectTimes(t.Context(), casedb.EffectFilter{By: casedb.EffectArm})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range times {
		if x.Group == "control" && (x.Event || x.Days != 4) {
			t.Errorf("control that was told: %+v", x)
		}
	}
	d.want(`select count(*) from followup where told_at is null`, "0")
	// One that ends before that is known no longer.
	d.exec(`alter table control_draw disable trigger control_draw_once`) // its time was over meanwhile
	d.exec(`update control_draw set ended_at = drawn_at + interval '2 days', end_kind = 'hand' where arm = 'control'`)
	times, err = d.db.EffectTimes(t.Context(), casedb.EffectFilter{By: casedb.EffectArm})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range times {
		if x.Group == "control" && (x.Event || x.Days != 2) {
			t.Errorf("control that was ended: %+v", x)
		}
	}
}
