package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"teiten/internal/casedb"
	"teiten/web"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Add a user."`
	Passwd userPasswdCmd `cmd:"" help:"Set a user's password."`
	Role   userRoleCmd   `cmd:"" help:"Set the role of a user."`
	List   userListCmd   `cmd:"" help:"List the users."`

	Disable userDisableCmd `cmd:"" help:"End a user's access."`
	Enable  userEnableCmd  `cmd:"" help:"Give a disabled user access again."`
}

type userAddCmd struct {
	configFlags
	Name        string `arg:"" help:"Name to log in with."`
	Role        string `help:"lead, coordinator or viewer." enum:"lead,coordinator,viewer" default:"coordinator"`
	DisplayName string `help:"Name shown on the pages."`
	Email       string `help:"E-mail address."`
	Language    string `help:"ja or en." enum:"ja,en" default:"ja"`
}

func (*userAddCmd) Help() string {
	return `Example: teiten user add hanako --role coordinator

A viewer sees everything and changes nothing; a coordinator decides about
cases and mails and may stop all mail; a lead also says how far each rule's
letters go on their own, and starts mail again.

The password is asked for on a terminal, or read as one line from standard
input.`
}

// Run adds the user.
func (c *userAddCmd) Run(ctx context.Context, p *program) error {
	hash, err := p.newPassword()
	if err != nil {
		return err
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		u, err := db.CreateUser(ctx, casedb.User{Name: c.Name, DisplayName: c.DisplayName, Email: c.Email,
			PasswordHash: hash, Role: casedb.Role(c.Role), Language: c.Language}, time.Now())
		if errors.Is(err, casedb.ErrConflict) {
			return fmt.Errorf("there is a user %s already", c.Name)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(p.Stderr, "Added %s (%s).\n", u.Name, u.Role)
		return nil
	})
}

type userPasswdCmd struct {
	configFlags
	Name string `arg:"" help:"Name of the user."`
}

func (*userPasswdCmd) Help() string { return `Example: teiten user passwd hanako` }

// Run sets the password.
func (c *userPasswdCmd) Run(ctx context.Context, p *program) error {
	hash, err := p.newPassword()
	if err != nil {
		return err
	}
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		if err := db.SetPassword(ctx, c.Name, hash); errors.Is(err, casedb.ErrNotFound) {
			return fmt.Errorf("there is no user %s", c.Name)
		} else if err != nil {
			return err
		}
		fmt.Fprintf(p.Stderr, "The password of %s is set.\n", c.Name)
		return nil
	})
}

type userRoleCmd struct {
	configFlags
	Name string `arg:"" help:"Name of the user."`
	Role string `arg:"" help:"lead, coordinator or viewer." enum:"lead,coordinator,viewer"`
}

func (*userRoleCmd) Help() string { return `Example: teiten user role hanako lead` }

// Run sets the role.
func (c *userRoleCmd) Run(ctx context.Context, p *program) error {
	return p.withDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		if err := db.SetUserRole(ctx, c.Name, casedb.Role(c.Role)); errors.Is(err, casedb.ErrNotFound) {
			return fmt.Errorf("there is no user %s", c.Name)
		} else if err != nil {
			return err
		}
		fmt.Fprintf(p.Stderr, "%s is %s now.\n", c.Name, c.Role)
		return nil
	})
}

type userListCmd struct{ configFlags }

func (*userListCmd) Help() string { return `Example: teiten user list` }

// Run lists the users.
func (c *userListCmd) Run(ctx context.Context, p *program) error {
	return p.withExistingDatabase(ctx, &c.configFlags, func(db *casedb.DB) error {
		users, err := db.ListUsers(ctx, 10000)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.Stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tROLE\tLANGUAGE\tLAST LOGIN\tDISABLED")
		for _, u := range users {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.Name, u.Role, u.Language, stamp(u.LastLoginAt), stamp(u.DisabledAt))
		}
		return w.Flush()
	})
}

// newPassword asks twice on a terminal, or takes one line of standard input,
// and returns the hash.
func (p *program) newPassword() (string, error) {
	var password string
	if f, ok := p.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		var tries [2]string
		for i, prompt := range []string{"Password: ", "Again: "} {
			fmt.Fprint(p.Stderr, prompt)
			b, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(p.Stderr)
			if err != nil {
				return "", fmt.Errorf("read password: %w", err)
			}
			tries[i] = string(b)
		}
		if tries[0] != tries[1] {
			return "", errors.New("the two passwords differ")
		}
		password = tries[0]
	} else {
		line, err := bufio.NewReader(io.LimitReader(p.Stdin, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	if len(password) < 10 {
		return "", errors.New("a password needs at least 10 bytes")
	}
	return web.HashPassword(password)
}

type userDisableCmd struct {
	configFlags
	Name string `arg:"" help:"The user's name."`
}

func (*userDisableCmd) Help() string {
	return `Example: teiten user disable hanako

The user is logged out with the next request and cannot log in any more. What the
user did stays in the history under the user's name. teiten user enable undoes it.`
}

// Run disables the user.
func (c *userDisableCmd) Run(ctx context.Context, p *program) error {
	return p.changeUser(ctx, &c.configFlags, c.Name, func(db *casedb.DB) error { return db.DisableUser(ctx, c.Name, time.Now()) })
}

type userEnableCmd struct {
	configFlags
	Name string `arg:"" help:"The user's name."`
}

func (*userEnableCmd) Help() string { return `Example: teiten user enable hanako` }

// Run enables the user.
func (c *userEnableCmd) Run(ctx context.Context, p *program) error {
	return p.changeUser(ctx, &c.configFlags, c.Name, func(db *casedb.DB) error { return db.EnableUser(ctx, c.Name) })
}

// changeUser changes a user that must be there.
func (p *program) changeUser(ctx context.Context, f *configFlags, name string, change func(*casedb.DB) error) error {
	return p.withDatabase(ctx, f, func(db *casedb.DB) error {
		err := change(db)
		if errors.Is(err, casedb.ErrNotFound) {
			return fmt.Errorf("there is no user %s", name)
		}
		return err
	})
}
