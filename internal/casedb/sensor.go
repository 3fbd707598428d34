package casedb

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/lib/pq"
)

// Sensor is one capture point with its own addresses and clock.
type Sensor struct {
	ID   int64  `db:"id"`
	Name string `db:"name"`
	// Networks are the sensor's own addresses, as CIDR prefixes. They are never
	// shown to owners.
	Networks  pq.StringArray `db:"networks"`
	Note      string         `db:"note"`
	CreatedAt time.Time      `db:"created_at"`

	Group   string `db:"sensor_group"`
	Country string `db:"country"` // where it stands, two capitals or empty
	Place   string `db:"place"`
	Holder  string `db:"holder"` // of the network in which it stands
	// Auto: it monitors the addresses of its interface, whatever they are.
	Auto          bool       `db:"auto_networks"`
	WindowSeconds int        `db:"window_seconds"`
	PayloadBytes  int        `db:"payload_bytes"`
	KeyLimit      int        `db:"key_limit"` // 0: what the program has
	ConfigVersion int64      `db:"config_version"`
	RetiredAt     *time.Time `db:"retired_at"`
}

// sensorName is the CHECK constraint of table sensor.
var sensorName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ValidSensorName reports whether name may name a sensor: at most 63 lower-case
// letters, digits, dots, underscores and hyphens, beginning with a letter or
// digit.
func ValidSensorName(name string) bool { return sensorName.MatchString(name) }

const sensorColumns = `id, name, networks, note, created_at, sensor_group, country, place, holder, auto_networks, window_seconds,
	payload_bytes, key_limit, config_version, retired_at`

// EnsureSensor returns the sensor with the name, making it if it is new.
func (q *Queries) EnsureSensor(ctx context.Context, name string, now time.Time) (Sensor, error) {
	s, err := q.SensorByName(ctx, name)
	if !isNotFound(err) {
		return s, err
	}
	if !ValidSensorName(name) {
		return s, fmt.Errorf("sensor name %q: lower-case letters, digits, dots, underscores and hyphens only", CleanLine(name, 80))
	}
	if _, err := q.q.ExecContext(ctx, `insert into sensor (name, created_at) values ($1, $2)
		on conflict (name) do nothing`, name, now); err != nil {
		return s, fail("add sensor", err)
	}
	return q.SensorByName(ctx, name)
}

// SensorByName returns the sensor with the name, or ErrNotFound.
func (q *Queries) SensorByName(ctx context.Context, name string) (Sensor, error) {
	var s Sensor
	err := q.q.GetContext(ctx, &s, `select `+sensorColumns+` from sensor where name = $1`, name)
	return s, fail("get sensor", err)
}

// Sensors returns all sensors in the order of their names.
func (q *Queries) Sensors(ctx context.Context) ([]Sensor, error) {
	var s []Sensor
	err := q.q.SelectContext(ctx, &s, `select `+sensorColumns+` from sensor order by name`)
	return s, fail("list sensors", err)
}

// AddSensor makes a sensor; ErrConflict if the name is taken. WindowSeconds and
// PayloadBytes of 0 mean the defaults.
func (d *DB) AddSensor(ctx context.Context, s Sensor, networks []Prefix, now time.Time) (added Sensor, err error) {
	if !ValidSensorName(s.Name) {
		return s, fmt.Errorf("sensor name %q: lower-case letters, digits, dots, underscores and hyphens only", CleanLine(s.Name, 80))
	}
	err = d.InTx(ctx, func(tx *Tx) error {
		err := tx.q.GetContext(ctx, &added, `insert into sensor (name, networks, note, created_at, sensor_group, country, place, holder, auto_networks, window_seconds)
			values ($1, $2::cidr[], $3, $4, $5, $6, $7, $8, $9, $10) returning `+sensorColumns, s.Name, prefixArray(networks), Clean(s.Note, 2000), now,
			s.Group, s.Country, s.Place, s.Holder, s.Auto, cmp.Or(s.WindowSeconds, 600))
		if err != nil {
			return fail("add sensor", err)
		}
		return tx.setSensorNetworks(ctx, added.ID, networks, now)
	})
	return added, err
}

func prefixArray(networks []Prefix) pq.StringArray {
	a := make(pq.StringArray, 0, len(networks))
	for _, p := range networks {
		a = append(a, p.Masked().String())
	}
	return a
}
