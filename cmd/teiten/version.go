package main

import (
	"fmt"
	"runtime/debug"
)

type versionCmd struct{}

// Run prints what the binary was built from.
func (*versionCmd) Run(p *program) error {
	_, err := fmt.Fprintln(p.Stdout, "teiten", version())
	return err
}

// version is what the binary was built from.
func version() string {
	version := "(development)"
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				version += " " + s.Value
			}
		}
		version += " " + info.GoVersion
	}
	return version
}
