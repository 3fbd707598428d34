package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/hub"
	"teiten/internal/sensorcli"
)

type sensorCmd struct {
	Add    sensorAddCmd    `cmd:"" help:"On the hub: add a sensor; prints the code with which it enrols."`
	Code   sensorCodeCmd   `cmd:"" help:"On the hub: print a new code, for a sensor that has to enrol again."`
	Set    sensorSetCmd    `cmd:"" help:"On the hub: change a sensor; it takes the change over by itself."`
	Revoke sensorRevokeCmd `cmd:"" help:"On the hub: take a sensor's token away, at once."`
	Retire sensorRetireCmd `cmd:"" help:"On the hub: end a sensor; what it saw stays."`
	List   sensorListCmd   `cmd:"" help:"On the hub: list the sensors and how they are."`

	sensorcli.Commands
}

// sensorFlags say what a sensor is.
type sensorFlags struct {
	Group    *string        `help:"Group of sensors; domestic is that of reports about the own country." placeholder:"GROUP"`
	Country  *string        `help:"Country in which it stands." placeholder:"CC"`
	Place    *string        `help:"Place, as people call it." placeholder:"TEXT"`
	Holder   *string        `help:"Network or organisation at which it stands." placeholder:"TEXT"`
	Networks []string       `help:"Addresses it watches, as prefixes; auto: those of its interface." placeholder:"CIDR,...|auto"`
	Note     *string        `help:"A note about the sensor."`
	Window   *time.Duration `help:"Length of its windows." placeholder:"10m"`
	Payload  *int           `help:"Bytes of a packet's payload that are kept, 0 to 64." placeholder:"N"`
}

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// apply changes s and networks where a flag is given.
func (f *sensorFlags) apply(s *casedb.Sensor, networks []casedb.Prefix) ([]casedb.Prefix, error) {
	for _, text := range []struct {
		from *string
		to   *string
	}{{f.Group, &s.Group}, {f.Place, &s.Place}, {f.Holder, &s.Holder}, {f.Note, &s.Note}} {
		if text.from != nil {
			*text.to = casedb.CleanLine(*text.from, 500)
		}
	}
	if f.Country != nil {
		if *f.Country != "" && !countryCode.MatchString(*f.Country) {
			return nil, usagef("--country %s: two capitals, such as JP", *f.Country)
		}
		s.Country = *f.Country
	}
	if f.Window != nil {
		if *f.Window < time.Second || *f.Window > 24*time.Hour || *f.Window%time.Second != 0 {
			return nil, usagef("--window %s: whole seconds, from one second to a day", *f.Window)
		}
		s.WindowSeconds = int(*f.Window / time.Second)
	}
	if f.Payload != nil {
		if *f.Payload < 0 || *f.Payload > 64 {
			return nil, usagef("--payload %d: 0 to 64", *f.Payload)
		}
		s.PayloadBytes = *f.Payload
	}
	if f.Networks == nil {
		return networks, nil
	}
	networks, s.Auto = nil, false
	for _, text := range f.Networks {
		if text == "auto" {
			s.Auto = true
			continue
		}
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("--networks %s: not a prefix", text)
		}
		networks = append(networks, casedb.Prefix{Prefix: n.Masked()})
	}
	if s.Auto && len(networks) > 0 {
		return nil, usagef("--networks: auto and prefixes exclude each other")
	}
	return networks, nil
}

type sensorAddCmd struct {
	configFlags
	sensorFlags
	Name string `arg:"" help:"Name: lower-case letters, digits, dot, dash, underscore."`
}

func (*sensorAddCmd) Help() string {
	return `Example: teiten sensor add tokyo-1 --group domestic --country JP --networks 198.51.100.0/24

Prints a code on standard output. On the sensor, within 30 minutes:
  teiten sensor enrol --hub https://hub.example --code CODE --state DIR

teiten import adds a sensor it does not know by itself.`
}

// Run adds the sensor.
func (c *sensorAddCmd) Run(ctx context.Context, p *program) error {
	if err := checkSensor(c.Name); err != nil {
		return err
	}
	s := casedb.Sensor{Name: c.Name}
	networks, err := c.apply(&s, nil)
	if err != nil {
		return err
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		added, err := db.AddSensor(ctx, s, networks, time.Now())
		if errors.Is(err, casedb.ErrConflict) {
			return fmt.Errorf("there is a sensor %s already; teiten sensor code %s prints a new code for it", c.Name, c.Name)
		}
		if err != nil {
			return err
		}
		return p.printCode(ctx, db, added)
	})
}

// printCode makes a code for a sensor and prints it.
func (p *program) printCode(ctx context.Context, db *casedb.DB, s casedb.Sensor) error {
	code, digest := hub.NewCode()
	if err := db.SetSensorCode(ctx, s.ID, digest, time.Now().Add(hub.CodeLife)); err != nil {
		return err
	}
	fmt.Fprintln(p.Stdout, code)
	return nil
}

// withSensor runs do with a sensor that must be there.
func (p *program) withSensor(ctx context.Context, f *configFlags, name string, do func(*casedb.DB, casedb.Sensor) error) error {
	return p.withDatabase(ctx, f, func(db *casedb.DB) error {
		s, err := db.SensorByName(ctx, name)
		if errors.Is(err, casedb.ErrNotFound) {
			return fmt.Errorf("there is no sensor %s", name)
		}
		if err != nil {
			return err
		}
		return do(db, s)
	})
}

type sensorCodeCmd struct {
	configFlags
	Name string `arg:"" help:"The sensor's name."`
}

func (*sensorCodeCmd) Help() string {
	return `Example: teiten sensor code tokyo-1

When the code is used, the sensor's token before is revoked.`
}

// Run prints a code.
func (c *sensorCodeCmd) Run(ctx context.Context, p *program) error {
	return p.withSensor(ctx, &c.configFlags, c.Name, func(db *casedb.DB, s casedb.Sensor) error {
		if s.RetiredAt != nil {
			return fmt.Errorf("sensor %s is retired", c.Name)
		}
		return p.printCode(ctx, db, s)
	})
}

type sensorSetCmd struct {
	configFlags
	sensorFlags
	Name string `arg:"" help:"The sensor's name."`
}

func (*sensorSetCmd) Help() string {
	return `Example: teiten sensor set tokyo-1 --networks 198.51.100.0/24,2001:db8:1::/48 --window 5m`
}

// Run changes the sensor.
func (c *sensorSetCmd) Run(ctx context.Context, p *program) error {
	return p.withSensor(ctx, &c.configFlags, c.Name, func(db *casedb.DB, s casedb.Sensor) error {
		var networks []casedb.Prefix
		for _, text := range s.Networks {
			n, err := netip.ParsePrefix(text)
			if err != nil {
				return fmt.Errorf("sensor %s: %w", s.Name, err)
			}
			networks = append(networks, casedb.Prefix{Prefix: n})
		}
		networks, err := c.apply(&s, networks)
		if err != nil {
			return err
		}
		return db.ChangeSensor(ctx, s, networks, time.Now())
	})
}

type sensorRevokeCmd struct {
	configFlags
	Name string `arg:"" help:"The sensor's name."`
}

func (*sensorRevokeCmd) Help() string {
	return `Example: teiten sensor revoke tokyo-1

The sensor keeps what it captures, and delivers it after it has enrolled again.`
}

// Run revokes the token.
func (c *sensorRevokeCmd) Run(ctx context.Context, p *program) error {
	return p.withSensor(ctx, &c.configFlags, c.Name, func(db *casedb.DB, _ casedb.Sensor) error { return db.RevokeSensor(ctx, c.Name, time.Now()) })
}

type sensorRetireCmd struct {
	configFlags
	Name string `arg:"" help:"The sensor's name."`
}

func (*sensorRetireCmd) Help() string { return `Example: teiten sensor retire tokyo-1` }

// Run retires the sensor.
func (c *sensorRetireCmd) Run(ctx context.Context, p *program) error {
	return p.withSensor(ctx, &c.configFlags, c.Name, func(db *casedb.DB, _ casedb.Sensor) error { return db.RetireSensor(ctx, c.Name, time.Now()) })
}

type sensorListCmd struct {
	configFlags
	Format string `help:"table or json." enum:"table,json" default:"table"`
}

func (*sensorListCmd) Help() string {
	return `Example: teiten sensor list --format json

A sensor is live, degraded (it drops more than one packet in a thousand, or its clock
is more than five seconds wrong), silent (nothing came for its window and five
minutes) or retired.`
}

// sensorLine is a sensor in JSON.
type sensorLine struct {
	Name         string     `json:"name"`
	Group        string     `json:"group"`
	State        string     `json:"state"`
	LastBatch    *time.Time `json:"last_batch"`
	Packets24h   int64      `json:"packets_24h"`
	Dropped24h   int64      `json:"dropped_24h"`
	SpoolBatches int64      `json:"spool_batches"`
	Skew         float64    `json:"clock_skew_seconds"`
	Version      string     `json:"version"`
	Country      string     `json:"country"`
	Place        string     `json:"place"`
	Networks     []string   `json:"networks"`
	Auto         bool       `json:"auto"`
	Note         string     `json:"note"`
	CreatedAt    time.Time  `json:"created_at"`
}

// Run lists the sensors.
func (c *sensorListCmd) Run(ctx context.Context, p *program) error {
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		now := time.Now()
		sensors, err := db.SensorsHealth(ctx, now)
		if err != nil {
			return err
		}
		lines := make([]sensorLine, 0, len(sensors))
		for i := range sensors {
			s := &sensors[i]
			l := sensorLine{Name: s.Name, Group: s.Group, State: string(s.State(now)), LastBatch: s.LastBatch, Packets24h: s.Packets24h, Dropped24h: s.Dropped24h, SpoolBatches: s.SpoolBatches,
				Skew: float64(s.SkewMS) / 1000, Version: s.Version, Country: s.Country, Place: s.Place, Networks: append([]string{}, s.Networks...), Auto: s.Auto, Note: s.Note, CreatedAt: s.CreatedAt.UTC()}
			if l.LastBatch != nil {
				utc := l.LastBatch.UTC()
				l.LastBatch = &utc
			}
			lines = append(lines, l)
		}
		if c.Format == "json" {
			e := json.NewEncoder(p.Stdout)
			e.SetEscapeHTML(false)
			return e.Encode(lines)
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tGROUP\tSTATE\tLAST BATCH\tPACKETS 24H\tDROPPED\tWAITING\tCLOCK\tNETWORKS\tSINCE\tNOTE")
		for _, l := range lines {
			networks := strings.Join(l.Networks, ",")
			if l.Auto {
				networks = "auto"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%+.1fs\t%s\t%s\t%s\n", l.Name, dash(l.Group), l.State, stamp(l.LastBatch), l.Packets24h, l.Dropped24h, l.SpoolBatches, l.Skew,
				dash(networks), l.CreatedAt.Format(time.RFC3339), l.Note)
		}
		return w.Flush()
	})
}
