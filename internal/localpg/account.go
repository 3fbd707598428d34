package localpg

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user the server runs as. When drop is false that is the user of this process.
type account struct {
	drop     bool
	name     string
	uid, gid int
}

// serverAccounts are tried in this order when teiten runs as root; initdb and postgres refuse root, and
// initdb wants the user to be in passwd.
var serverAccounts = [...]string{"teiten", "postgres", "nobody"}

// chooseAccount returns the account for a server started by euid: that user itself, or for root the owner of an
// existing data folder, or the first of serverAccounts.
func chooseAccount(euid int, dataDir string) (account, error) {
	if euid != 0 {
		return account{uid: euid, gid: os.Getegid()}, nil
	}
	info, err := os.Stat(dataDir)
	switch {
	case err == nil:
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && st.Uid != 0 {
			u, err := user.LookupId(strconv.Itoa(int(st.Uid)))
			if err != nil {
				return account{}, fmt.Errorf("the owner of %s is not a known user: %w", dataDir, err)
			}
			return accountOf(u)
		}
		return account{}, fmt.Errorf("%s belongs to root, but PostgreSQL refuses to run as root: give it to an ordinary user", dataDir)
	case !errors.Is(err, os.ErrNotExist):
		return account{}, fmt.Errorf("look at the data folder: %w", err)
	}
	for _, name := range serverAccounts {
		if u, err := user.Lookup(name); err == nil {
			return accountOf(u)
		}
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root and none of the users %v exists", serverAccounts)
}

func accountOf(u *user.User) (account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return account{drop: true, name: u.Username, uid: uid, gid: gid}, nil
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.drop {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// sysProcAttr makes a child run as the account, in a process group of its own so that the terminal's Ctrl-C
// does not reach it, and asks the kernel to send it signal when the thread that starts it ends.
func (a account) sysProcAttr(signal syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: signal}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}
