package casedb

import (
	"context"
	"fmt"
	"time"
)

// SetSensorCode makes the one code with which a sensor can enrol; digest is the
// code's SHA-256. A code before it is of no use any more.
func (q *Queries) SetSensorCode(ctx context.Context, sensor int64, digest []byte, expires time.Time) error {
	_, err := q.q.ExecContext(ctx, `insert into sensor_code (sensor_id, digest, expires_at) values ($1, $2, $3)
		on conflict (sensor_id) do update set digest = excluded.digest, expires_at = excluded.expires_at`, sensor, digest, expires)
	return fail("set code of sensor", err)
}

// UseSensorCode uses a code up, and gives its sensor the token of which digest is the
// SHA-256. Tokens before are revoked: a code is for a sensor that begins anew.
// ErrNotFound if the code is unknown, used or too old.
func (t *Tx) UseSensorCode(ctx context.Context, code, token []byte, now time.Time) (Sensor, error) {
	var id int64
	if err := t.q.GetContext(ctx, &id, `delete from sensor_code c using sensor s where c.digest = $1 and c.expires_at > $2 and s.id = c.sensor_id
		and s.retired_at is null returning c.sensor_id`, code, now); err != nil {
		return Sensor{}, fail("use code of sensor", err)
	}
	if _, err := t.q.ExecContext(ctx, `update sensor_token set revoked_at = $2 where sensor_id = $1 and revoked_at is null`, id, now); err != nil {
		return Sensor{}, fail("revoke tokens of sensor", err)
	}
	if err := t.AddSensorToken(ctx, id, token, now); err != nil {
		return Sensor{}, err
	}
	return t.sensorByID(ctx, id)
}

// AddSensorToken gives a sensor one more token, of which digest is the SHA-256.
func (q *Queries) AddSensorToken(ctx context.Context, sensor int64, digest []byte, now time.Time) error {
	_, err := q.q.ExecContext(ctx, `insert into sensor_token (sensor_id, digest, created_at) values ($1, $2, $3)`, sensor, digest, now)
	return fail("add token of sensor", err)
}

// SensorByToken returns the sensor of a token that was not revoked, or ErrNotFound.
// The first use of a token revokes those before it.
func (d *DB) SensorByToken(ctx context.Context, digest []byte, now time.Time) (Sensor, error) {
	var t struct {
		ID     int64      `db:"id"`
		Sensor int64      `db:"sensor_id"`
		UsedAt *time.Time `db:"used_at"`
	}
	if err := d.q.GetContext(ctx, &t, `select id, sensor_id, used_at from sensor_token where digest = $1 and revoked_at is null`, digest); err != nil {
		return Sensor{}, fail("get sensor by token", err)
	}
	if t.UsedAt == nil {
		err := d.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.q.ExecContext(ctx, `update sensor_token set used_at = $2 where id = $1 and used_at is null`, t.ID, now); err != nil {
				return fail("use token of sensor", err)
			}
			_, err := tx.q.ExecContext(ctx, `update sensor_token set revoked_at = $3 where sensor_id = $1 and id < $2 and revoked_at is null`, t.Sensor, t.ID, now)
			return fail("revoke tokens of sensor", err)
		})
		if err != nil {
			return Sensor{}, err
		}
	}
	return d.sensorByID(ctx, t.Sensor)
}

// RevokeSensor takes all tokens and the code of a sensor away: it must enrol again.
func (d *DB) RevokeSensor(ctx context.Context, name string, now time.Time) error {
	return d.InTx(ctx, func(tx *Tx) error {
		s, err := tx.SensorByName(ctx, name)
		if err != nil {
			return err
		}
		if _, err := tx.q.ExecContext(ctx, `delete from sensor_code where sensor_id = $1`, s.ID); err != nil {
			return fail("revoke sensor", err)
		}
		_, err = tx.q.ExecContext(ctx, `update sensor_token set revoked_at = $2 where sensor_id = $1 and revoked_at is null`, s.ID, now)
		return fail("revoke sensor", err)
	})
}

// RetireSensor ends a sensor: what it saw stays, and it can send nothing more.
func (d *DB) RetireSensor(ctx context.Context, name string, now time.Time) error {
	if err := d.RevokeSensor(ctx, name, now); err != nil {
		return err
	}
	_, err := d.q.ExecContext(ctx, `update sensor set retired_at = coalesce(retired_at, $2) where name = $1`, name, now)
	return fail("retire sensor", err)
}

func (q *Queries) sensorByID(ctx context.Context, id int64) (Sensor, error) {
	var s Sensor
	err := q.q.GetContext(ctx, &s, `select `+sensorColumns+` from sensor where id = $1`, id)
	return s, fail("get sensor", err)
}

// ChangeSensor changes what a sensor is and how it works, and keeps the history of
// its prefixes.
func (d *DB) ChangeSensor(ctx context.Context, s Sensor, networks []Prefix, now time.Time) error {
	return d.InTx(ctx, func(tx *Tx) error {
		was, err := tx.SensorByName(ctx, s.Name)
		if err != nil {
			return err
		}
		if was.RetiredAt != nil {
			return fmt.Errorf("change sensor %s: it is retired: %w", s.Name, ErrState)
		}
		if _, err := tx.q.ExecContext(ctx, `update sensor set note = $2, sensor_group = $3, country = $4, place = $5, holder = $6, auto_networks = $7,
				window_seconds = $8, payload_bytes = $9, key_limit = $10, networks = $11::cidr[], config_version = config_version + 1 where id = $1`,
			was.ID, Clean(s.Note, 2000), s.Group, s.Country, s.Place, s.Holder, s.Auto, s.WindowSeconds, s.PayloadBytes, s.KeyLimit, prefixArray(networks)); err != nil {
			return fail("change sensor", err)
		}
		return tx.setSensorNetworks(ctx, was.ID, networks, now)
	})
}

// setSensorNetworks ends the prefixes that are no longer monitored and begins new ones.
func (t *Tx) setSensorNetworks(ctx context.Context, id int64, networks []Prefix, now time.Time) error {
	if _, err := t.q.ExecContext(ctx, `update sensor_network set valid_to = greatest($3, valid_from + interval '1 microsecond')
		where sensor_id = $1 and valid_to is null and not prefix = any($2::cidr[])`, id, prefixArray(networks), now); err != nil {
		return fail("end networks of sensor", err)
	}
	_, err := t.q.ExecContext(ctx, `insert into sensor_network (sensor_id, prefix, valid_from) select $1, p, $3 from unnest($2::cidr[]) as p
		where not exists (select 1 from sensor_network n where n.sensor_id = $1 and n.prefix = p and n.valid_to is null) on conflict do nothing`, id, prefixArray(networks), now)
	return fail("begin networks of sensor", err)
}
