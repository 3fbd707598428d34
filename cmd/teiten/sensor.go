package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"teiten/internal/casedb"
)

type sensorCmd struct {
	Add  sensorAddCmd  `cmd:"" help:"Add a sensor."`
	List sensorListCmd `cmd:"" help:"List the sensors."`
}

type sensorAddCmd struct {
	configFlags
	Name     string   `arg:"" help:"Name: lower-case letters, digits, dot, dash, underscore."`
	Networks []string `help:"Addresses it watches, as prefixes." placeholder:"CIDR"`
	Note     string   `help:"A note about the sensor."`
}

func (*sensorAddCmd) Help() string {
	return `Example: teiten sensor add tokyo-1 --networks 198.51.100.0/24

teiten import adds a sensor it does not know by itself.`
}

// Run adds the sensor.
func (c *sensorAddCmd) Run(ctx context.Context, p *program) error {
	var networks []casedb.Prefix
	for _, s := range c.Networks {
		n, err := netip.ParsePrefix(s)
		if err != nil {
			return usagef("--networks %s: not a prefix", s)
		}
		networks = append(networks, casedb.Prefix{Prefix: n.Masked()})
	}
	if err := checkSensor(c.Name); err != nil {
		return err
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		_, err := db.AddSensor(ctx, c.Name, networks, casedb.Clean(c.Note, 1000), time.Now())
		if errors.Is(err, casedb.ErrConflict) {
			return fmt.Errorf("there is a sensor %s already", c.Name)
		}
		return err
	})
}

type sensorListCmd struct{ configFlags }

func (*sensorListCmd) Help() string { return `Example: teiten sensor list` }

// Run lists the sensors.
func (c *sensorListCmd) Run(ctx context.Context, p *program) error {
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		sensors, err := db.Sensors(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tNETWORKS\tSINCE\tNOTE")
		for _, s := range sensors {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, strings.Join(s.Networks, ","), s.CreatedAt.UTC().Format(time.RFC3339), s.Note)
		}
		return w.Flush()
	})
}
