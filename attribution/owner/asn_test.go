package owner_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"teiten/attribution/owner"
)

func TestASTable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, query, want string }{
		{"prefix", "# comment\n192.0.2.0/24\tAS64500\tExample Net\n", "192.0.2.5", "64500 Example Net"},
		{"host bits", "192.0.2.7/24 64500\n", "192.0.2.5", "64500 "},
		{"pfx2as", "192.0.2.0\t24\t64500\n198.51.100.0\t24\t64501\n", "198.51.100.5", "64501 "},
		{"pfx2as, several", "192.0.2.0\t24\t64500_64501\n", "192.0.2.5", ""},
		{"pfx2as, a set", "192.0.2.0\t24\t64500,64501\n", "192.0.2.5", ""},
		{"the same twice", "192.0.2.0/24 64500\n192.0.2.0/24 64500\n", "192.0.2.5", "64500 "},
		{"two lines disagree", "192.0.2.0/24 64500\n192.0.2.0/24 64501\n", "192.0.2.5", ""},
		{"the longest prefix", "192.0.2.0/24 64500\n192.0.2.0/28 64501\n", "192.0.2.5", "64501 "},
		{"a range", "192.0.2.3\t192.0.2.9\t64500\tJP\tExample Net\n", "192.0.2.9", "64500 Example Net"},
		{"a range, not announced", "192.0.2.0\t192.0.2.9\t0\tNone\tNot routed\n192.0.2.10 192.0.2.11 1 X\n", "192.0.2.9", ""},
		{"IPv6", "2001:db8::/32 64500 Six\n", "2001:db8::1", "64500 Six"},
		{"elsewhere", "192.0.2.0/24 64500\n", "198.51.100.5", ""},
		{"HTML", "<html>\n", "", "line 1"},
		{"no number", "192.0.2.0/24 JP\n", "", "line 1"},
		{"too large a number", "192.0.2.0/24 4294967296\n", "", "line 1"},
		{"backwards", "192.0.2.9 192.0.2.1 64500\n", "", "line 1"},
		{"length", "192.0.2.0 33 64500\n", "", "line 1"},
		{"nothing", "\n#\n", "", "no prefix"},
		{"a line without end", strings.Repeat("x", 1<<20), "", "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "as")
			if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			table, err := owner.ReadASTable(file)
			if tt.query == "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if as, ok := table.Address(netip.MustParseAddr(tt.query)); ok {
				got = fmt.Sprintf("%d %s", as.Number, as.Name)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestASOfNetwork(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "as")
	if err := os.WriteFile(file, []byte("192.0.2.0/24 64500\n192.0.2.0/28 64500\n198.51.100.0/24 64500\n198.51.100.0/28 64501\n203.0.113.0/28 64502\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := owner.ReadASTable(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		first, last string
		want        int64
	}{
		{"192.0.2.0", "192.0.2.255", 64500},
		{"192.0.2.3", "192.0.2.77", 64500},
		{"198.51.100.0", "198.51.100.255", 0}, // a part is another's
		{"198.51.100.128", "198.51.100.255", 64500},
		{"203.0.113.0", "203.0.113.255", 64502}, // the rest has no AS
		{"203.0.113.64", "203.0.113.127", 0},
	} {
		as, ok := table.Network(netip.MustParseAddr(tt.first), netip.MustParseAddr(tt.last))
		if as.Number != tt.want || ok != (tt.want != 0) {
			t.Errorf("%s to %s: got %d, want %d", tt.first, tt.last, as.Number, tt.want)
		}
	}
	var none *owner.ASTable
	if _, ok := none.Network(netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.255")); ok || none.Len() != 0 {
		t.Error("a table that is not there knows something")
	}
}

// mmdb makes an MMDB of IPv4 with one prefix (MaxMind DB File Format 2.0).
func mmdb(p netip.Prefix, number uint32, name string) []byte {
	str := func(s string) string {
		if len(s) < 29 {
			return string(rune(0x40|len(s))) + s
		}
		return "\x5d" + string(rune(len(s)-29)) + s
	}
	be := func(n, size int) string {
		var b []byte
		for i := size - 1; i >= 0; i-- {
			b = append(b, byte(n>>(8*i)))
		}
		return string(b)
	}
	var f bytes.Buffer
	address := p.Addr().As4()
	for i := range p.Bits() {
		next := i + 1
		if next == p.Bits() {
			next = p.Bits() + 16 // the first record of the data
		}
		children := [2]int{p.Bits(), p.Bits()} // nothing there
		children[address[i/8]>>(7-i%8)&1] = next
		f.WriteString(be(children[0], 3) + be(children[1], 3))
	}
	f.Write(make([]byte, 16))
	f.WriteString("\xe2" + str("autonomous_system_number") + "\xc4" + be(int(number), 4) + str("autonomous_system_organization") + str(name))
	f.WriteString("\xab\xcd\xefMaxMind.com\xe9" +
		str("binary_format_major_version") + "\xa1\x02" + str("binary_format_minor_version") + "\xa0" +
		str("build_epoch") + "\x04\x02" + be(1_800_000_000, 4) + str("database_type") + str("Example-ASN") +
		str("description") + "\xe0" + str("ip_version") + "\xa1\x04" + str("languages") + "\x00\x04" +
		str("node_count") + "\xc1" + be(p.Bits(), 1) + str("record_size") + "\xa1\x18")
	return f.Bytes()
}

func TestASTableReadsMMDBAndGzip(t *testing.T) {
	t.Parallel()
	raw := mmdb(netip.MustParsePrefix("192.0.2.0/24"), 64500, "Example Net")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("192.0.2.0/24 64500 Example Net\n"))
	_ = z.Close()
	for name, content := range map[string][]byte{"MMDB": raw, "gzip": packed.Bytes()} {
		file := filepath.Join(t.TempDir(), "as")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := owner.ReadASTable(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		as, ok := table.Address(netip.MustParseAddr("192.0.2.77"))
		if !ok || as.Number != 64500 || as.Name != "Example Net" || table.Len() != 1 {
			t.Errorf("%s: got %+v of %d", name, as, table.Len())
		}
		// Cut short, it is refused.
		if err := os.WriteFile(file, content[:len(content)-20], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := owner.ReadASTable(file); err == nil {
			t.Errorf("%s: half a file is read", name)
		}
	}
}
