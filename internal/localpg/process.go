package localpg

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// pidFile is what a server writes about itself into postmaster.pid.
type pidFile struct {
	pid       int
	socketDir string
	ready     bool
}

// readPidFile reads postmaster.pid: line 1 is the process id, line 5 the socket folder, line 8 the state. ok is
// false while there is no file or it is not complete.
func readPidFile(dataDir string) (p pidFile, ok bool) {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return p, false
	}
	lines := strings.Split(string(text), "\n")
	p.pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || p.pid <= 1 {
		return p, false
	}
	if len(lines) >= 8 {
		p.socketDir = strings.TrimSpace(lines[4])
		p.ready = strings.TrimSpace(lines[7]) == "ready"
	}
	return p, true
}

// processState says what is left of a process.
type processState int

const (
	processGone processState = iota
	processZombie
	processAlive
)

// stateOf looks a process up in /proc, or asks the kernel where /proc is not mounted.
func stateOf(pid int) processState {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		if !procMounted() {
			if err := syscall.Kill(pid, 0); err == nil || errors.Is(err, syscall.EPERM) {
				return processAlive
			}
		}
		return processGone
	}
	// The name in brackets may itself hold brackets and blanks; the state follows the last one.
	_, rest, found := bytes.Cut(stat[max(bytes.LastIndexByte(stat, ')'), 0):], []byte(") "))
	if found && len(rest) > 0 && (rest[0] == 'Z' || rest[0] == 'X') {
		return processZombie
	}
	return processAlive
}

// worksIn reports whether a process's working folder is dir, which for a server is its data folder. A number
// that the kernel has given to some other program since fails this test. Where /proc is not mounted, nothing
// fails it.
func worksIn(pid int, dir string) bool {
	at, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/cwd")
	if err != nil {
		return !procMounted()
	}
	want, err := os.Stat(dir)
	return err == nil && os.SameFile(at, want)
}

// anyoneWorksIn reports whether any live process's working folder is dir.
func anyoneWorksIn(dir string) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return true // cannot know
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && stateOf(pid) == processAlive && worksIn(pid, dir) {
			return true
		}
	}
	return false
}

func procMounted() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}
