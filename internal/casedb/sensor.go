package casedb

import (
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
}

// sensorName is the CHECK constraint of table sensor.
var sensorName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ValidSensorName reports whether name may name a sensor: at most 63 lower-case
// letters, digits, dots, underscores and hyphens, beginning with a letter or
// digit.
func ValidSensorName(name string) bool { return sensorName.MatchString(name) }

const sensorColumns = `id, name, networks, note, created_at`

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

// AddSensor makes a sensor; ErrConflict if the name is taken.
func (q *Queries) AddSensor(ctx context.Context, name string, networks []Prefix, note string, now time.Time) (Sensor, error) {
	var s Sensor
	if !ValidSensorName(name) {
		return s, fmt.Errorf("sensor name %q: lower-case letters, digits, dots, underscores and hyphens only", CleanLine(name, 80))
	}
	err := q.q.GetContext(ctx, &s, `insert into sensor (name, networks, note, created_at)
		values ($1, $2::cidr[], $3, $4) returning `+sensorColumns, name, prefixArray(networks), Clean(note, 2000), now)
	return s, fail("add sensor", err)
}

// SetSensorNetworks changes the addresses of a sensor; ErrNotFound if there
// is no sensor of the name.
func (q *Queries) SetSensorNetworks(ctx context.Context, name string, networks []Prefix) error {
	res, err := q.q.ExecContext(ctx, `update sensor set networks = $2::cidr[] where name = $1`, name, prefixArray(networks))
	if err != nil {
		return fail("set networks of sensor", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("set networks of sensor %s: %w", CleanLine(name, 80), ErrNotFound)
	}
	return nil
}

func prefixArray(networks []Prefix) pq.StringArray {
	a := make(pq.StringArray, 0, len(networks))
	for _, p := range networks {
		a = append(a, p.Masked().String())
	}
	return a
}
