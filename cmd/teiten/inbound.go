package main

import (
	"encoding/json"
	"fmt"
	"io"

	"teiten/notify"
)

// maxMailFile bounds a mail read from a file.
const maxMailFile = 64 << 20

type inboundCmd struct {
	Files []string `arg:"" name:"file" help:"Mails as they came (RFC 5322); - is standard input."`
}

func (*inboundCmd) Help() string {
	return `Example: teiten inbound bounce.eml

Prints one JSON line per mail: bounce, delay, autoreply, feedback, challenge or
human, whether it counts as the owner's answer, and whether a person must look.`
}

// Run classifies mails without a database.
func (c *inboundCmd) Run(p *program) error {
	enc := json.NewEncoder(p.Stdout)
	enc.SetEscapeHTML(false)
	good := 0
	for _, name := range c.Files {
		raw, err := p.readMail(name)
		if err != nil {
			fmt.Fprintln(p.Stderr, "teiten:", err)
			continue
		}
		good++
		if err := enc.Encode(notify.ClassifyMail(name, raw)); err != nil {
			return err
		}
	}
	if good < len(c.Files) {
		return errReported
	}
	return nil
}

func (p *program) readMail(name string) ([]byte, error) {
	in, err := p.openInput(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, maxMailFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxMailFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxMailFile)
	}
	return raw, nil
}
