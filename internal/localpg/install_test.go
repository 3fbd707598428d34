package localpg_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// runInstaller runs install-debian.sh with a PATH that holds the named fakes and nothing that could install.
func runInstaller(t *testing.T, fakes map[string]string, args ...string) (stderr string, code int) {
	t.Helper()
	bin := t.TempDir()
	for name, script := range fakes {
		writeProgram(t, filepath.Join(bin, name), script)
	}
	cmd := exec.Command("/bin/sh", append([]string{"./install-debian.sh"}, args...)...)
	cmd.Env = []string{"PATH=" + bin}
	var errs strings.Builder
	cmd.Stderr = &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return errs.String(), cmd.ProcessState.ExitCode()
}

// writeProgram writes a script while nothing is forked: a process that another
// test starts meanwhile would inherit the open file, and running the script fail
// with "text file busy" (golang/go#22315).
func writeProgram(t *testing.T, file, script string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestInstallerWithoutRootOrSudoSaysInOneLineWhatToDo(t *testing.T) {
	t.Parallel()
	fakes := map[string]string{"id": "echo 1000", "apt-get": "exit 1", "dpkg-query": "exit 1"}
	stderr, code := runInstaller(t, fakes, "no-such-package")
	if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "as root: apt-get install --no-install-recommends no-such-package") {
		t.Errorf("got exit code %d and %q, want 1 and one line that says what to install", code, stderr)
	}
	stderr, code = runInstaller(t, fakes, "--optional", "no-such-package")
	if code != 0 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "skipped") {
		t.Errorf("got exit code %d and %q, want 0 and one line that says what is missing", code, stderr)
	}
}

func TestInstallerLeavesWhatIsThereAlone(t *testing.T) {
	t.Parallel()
	stderr, code := runInstaller(t, map[string]string{"dpkg-query": "printf installed"}, "something")
	if code != 0 || stderr != "" {
		t.Errorf("got exit code %d and %q, want 0 and silence", code, stderr)
	}
}

func TestInstallerShowsWhyItFailed(t *testing.T) {
	t.Parallel()
	stderr, code := runInstaller(t, map[string]string{
		"id": "echo 0", "dpkg-query": "exit 1", "mktemp": `f="$0.log"; : >"$f"; printf %s "$f"`,
		"rm": "", "tail": `/usr/bin/tail "$@"`, "env": `while [ "${1#*=}" != "$1" ]; do shift; done; exec "$@"`,
		"apt-get": "echo E: the mirror is away >&2; exit 100",
	}, "no-such-package")
	if code != 1 || !strings.Contains(stderr, "the mirror is away") || !strings.Contains(stderr, "could not install no-such-package") {
		t.Errorf("got exit code %d and %q, want 1 and the reason", code, stderr)
	}
}
