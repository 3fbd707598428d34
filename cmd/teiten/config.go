package main

import (
	"fmt"
	"text/tabwriter"
)

type configCmd struct{ configFlags }

func (*configCmd) Help() string {
	return `Example: TEITEN_MAIL_DOMAIN=csirt.example teiten config`
}

// Run prints every setting with its value, origin and meaning. Secrets are
// masked.
func (c *configCmd) Run(p *program) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "# key\tvalue\tfrom\tenvironment\tmeaning")
	for _, o := range cfg.Options() {
		value := o.String()
		switch {
		case o.Secret && value != "":
			value = "(secret)"
		case value == "":
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", o.Key, value, cfg.From(o.Key), o.Env, o.Help)
	}
	return w.Flush()
}
