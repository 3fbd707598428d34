package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"teiten/internal/soak"
)

// TestSoakFreshScansAreAttributed lets Debian's zmap, masscan and nmap scan an
// unused network in network namespaces made for it, and judges what arrives.
// Nothing leaves the namespaces: they have no other interface.
func TestSoakFreshScansAreAttributed(t *testing.T) {
	soak.Start(t)
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", "tcpdump", "zmap", "masscan", "nmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: `.ci/run` installs it", tool)
		}
	}
	n := newScanNet(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const dark = "198.18.66.0/24" // RFC 2544
	for _, scan := range []struct {
		name, tool, port string
		args             []string
	}{
		// One thread and one order: zmap 2.1.1 aborts now and then with others (constraint_lookup_index).
		{"zmap", "zmap", "23/TCP", []string{"zmap", "-T", "1", "-e", "7", "-i", "scan0", "-G", n.routerMAC, "-S", "10.77.0.1", "-b", empty, "-p", "23", "-r", "2000", "-c", "1",
			"-o", "/dev/null", dark}},
		{"masscan", "masscan", "8080/TCP", []string{"masscan", dark, "-p22,8080", "--rate", "3000", "--wait", "1", "-e", "scan0", "--source-ip", "10.77.0.1",
			"--router-mac", n.routerMAC}},
		{"nmap", "nmap", "443/TCP", []string{"nmap", "-sS", "-Pn", "-n", "-T4", "--max-retries", "0", "--min-rate", "500", "-p", "80,443", "198.18.66.0/26"}},
	} {
		file := n.capture(scan.name, scan.args)
		cmd := teiten("attribute", file)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", scan.name, err)
		}
		found := false
		for line := range strings.Lines(string(out)) {
			var v struct {
				Source, Kind, Tool string
				Ports              []string
			}
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatal(err)
			}
			if v.Source != "10.77.0.1" {
				continue
			}
			found = true
			if v.Kind != "scanner" || v.Tool != scan.tool || !strings.Contains(strings.Join(v.Ports, " "), scan.port) {
				t.Errorf("%s came out as %s", scan.name, line)
			}
		}
		if !found {
			t.Errorf("%s: nothing from the scanner in the capture:\n%s", scan.name, out)
		}
	}
}

// scanNet is two namespaces: one with a scanner, one in which a darknet's
// packets arrive.
type scanNet struct {
	t              *testing.T
	scanner, dark  string
	routerMAC, dir string
}

func newScanNet(t *testing.T) *scanNet {
	t.Helper()
	id := fmt.Sprintf("%d", os.Getpid())
	n := &scanNet{t: t, scanner: "tts" + id, dark: "ttd" + id, routerMAC: "02:00:00:00:77:02", dir: t.TempDir()}
	for _, ns := range []string{n.scanner, n.dark} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("network namespaces are not allowed here: %s", bytes.TrimSpace(out))
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	for _, args := range [][]string{
		{"ip", "-n", n.scanner, "link", "add", "scan0", "type", "veth", "peer", "name", "dark0", "netns", n.dark},
		{"ip", "-n", n.dark, "link", "set", "dark0", "address", n.routerMAC, "up"},
		{"ip", "-n", n.dark, "addr", "add", "10.77.0.2/24", "dev", "dark0"},
		{"ip", "-n", n.scanner, "addr", "add", "10.77.0.1/24", "dev", "scan0"},
		{"ip", "-n", n.scanner, "link", "set", "scan0", "up"},
		{"ip", "-n", n.scanner, "link", "set", "lo", "up"},
		{"ip", "-n", n.scanner, "route", "add", "default", "via", "10.77.0.2"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("cannot lay out namespaces here: %s: %s", strings.Join(args, " "), bytes.TrimSpace(out))
		}
	}
	return n
}

// capture runs the scan and returns the file of what arrived.
func (n *scanNet) capture(name string, scan []string) string {
	n.t.Helper()
	file := filepath.Join(n.dir, name+".pcap")
	dump := exec.Command("ip", "netns", "exec", n.dark, "tcpdump", "-i", "dark0", "-U", "-Z", "root", "-w", file, "ip and dst net 198.18.66.0/24")
	dump.Stderr = &lockedBuffer{}
	if err := dump.Start(); err != nil {
		n.t.Fatal(err)
	}
	defer func() {
		_ = dump.Process.Signal(os.Interrupt)
		_ = dump.Wait() // it was interrupted
	}()
	eventually(n.t, "tcpdump listens", func() bool { return strings.Contains(dump.Stderr.(*lockedBuffer).String(), "listening on") })
	ctx, cancel := context.WithTimeout(n.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.scanner}, scan...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	time.Sleep(300 * time.Millisecond) // tcpdump does not say when the last packet has arrived
	return file
}
