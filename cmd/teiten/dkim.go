package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"teiten/notify"
)

type dkimCmd struct {
	Keygen dkimKeygenCmd `cmd:"" help:"Make keys that sign mail, and print the DNS records that publish them."`
}

type dkimKeygenCmd struct {
	Domain   string   `arg:"" help:"Domain of the From address."`
	Selector string   `arg:"" help:"Beginning of the selectors, such as the year: 2026 gives 2026-rsa and 2026-ed25519."`
	Type     []string `help:"Kinds of keys: rsa, ed25519." enum:"rsa,ed25519" default:"rsa,ed25519"`
	Dir      string   `help:"Folder for the key files." default:"." type:"existingdir"`
}

func (*dkimKeygenCmd) Help() string {
	return `Example: teiten dkim keygen csirt.example 2026 --dir /etc/teiten/dkim

Each key goes to SELECTOR.pem, readable only by its owner; a file that exists
is never overwritten. Publish the records, wait until they can be looked up,
then name the keys in mail.dkim_keys.`
}

// Run makes the keys.
func (c *dkimKeygenCmd) Run(p *program) error {
	var settings string
	for _, kind := range c.Type {
		key, err := makeKey(kind)
		if err != nil {
			return err
		}
		selector := c.Selector + "-" + kind
		record, err := notify.DKIMRecord(c.Domain, selector, key) // before there is a file
		if err != nil {
			return usageError{err}
		}
		file, err := filepath.Abs(filepath.Join(c.Dir, selector+".pem"))
		if err != nil {
			return err
		}
		if err := writeKey(file, key); err != nil {
			return err
		}
		if settings != "" {
			settings += ", "
		}
		settings += fmt.Sprintf("%q", selector+"="+file)
		fmt.Fprintln(p.Stdout, record)
	}
	fmt.Fprintf(p.Stderr, "Once the records are published, set in section [mail]: dkim_keys = [%s]\n", settings)
	return nil
}

func makeKey(kind string) (crypto.Signer, error) {
	if kind == "ed25519" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return rsa.GenerateKey(rand.Reader, 2048) // longer ones make records that not all resolvers pass on
}

// writeKey writes a key to a new file.
func writeKey(file string, key crypto.Signer) (err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return f.Sync()
}
