package app

import (
	"context"
	"time"

	"teiten/attribution"
	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/casework"
	"teiten/internal/config"
	"teiten/internal/ingest"
)

// JudgeOptions says how sources are judged: by the definitions of the
// configuration, and knowing which addresses are the sensors' own.
func JudgeOptions(ctx context.Context, c *config.Config, db *casedb.DB) (opt attribution.Options, err error) {
	a := c.Attribution
	opt.Definitions = attribution.Definitions{PortsPerDay: a.ScannerPorts, Addresses: a.ScannerAddresses, BlockPorts: a.ScannerBlockPorts,
		BlockAddresses: a.ScannerBlockAddresses, Protocols: a.ScannerProtocols}
	if opt.Location, err = time.LoadLocation(a.TimeZone); err != nil {
		return opt, err
	}
	sensors, err := db.Sensors(ctx)
	if err != nil {
		return opt, err
	}
	for _, s := range sensors {
		opt.SensorNets = append(opt.SensorNets, config.Prefixes(s.Networks)...)
	}
	return opt, nil
}

// ControlGroup says which first letters are drawn for the control group.
func ControlGroup(ctx context.Context, c *config.Config, db *casedb.DB) (casework.Control, error) {
	k := c.Control
	group := casework.Control{Share: k.Share, Days: k.Days, Rules: k.Rules, Critical: config.Prefixes(k.Critical), Seed: k.Seed}
	if group.Share == 0 || group.Seed != "" {
		return group, nil
	}
	var err error
	group.Seed, err = db.ControlSeed(ctx, time.Now())
	return group, err
}

// ImportOptions says how captures are imported: in windows that lie within one
// day of reports, each source with the country that the data of today give it.
func ImportOptions(c *config.Config) (opt ingest.Options, err error) {
	opt.Location, err = time.LoadLocation(c.Report.TimeZone)
	opt.Country, opt.CountryData = owner.Country, owner.CountryData
	return opt, err
}
