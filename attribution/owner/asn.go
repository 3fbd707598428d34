package owner

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/gaissmai/bart"
	"github.com/oschwald/maxminddb-golang/v2"

	"teiten/internal/casedb"
)

// maxASFileBytes bounds an AS file, unpacked; a full table of both families is
// about 60 MB.
const maxASFileBytes = 1 << 30

// AS is an autonomous system.
type AS struct {
	Number int64 // 0: several announce the same prefix
	Name   string
}

// ASTable knows which AS announces a prefix. It is not changed after its making
// and safe for concurrent use; a nil table knows nothing.
type ASTable struct{ table bart.Table[*AS] }

// Len returns the number of prefixes.
func (t *ASTable) Len() int {
	if t == nil {
		return 0
	}
	return t.table.Size()
}

// Address returns the AS that announces the longest prefix around the address.
func (t *ASTable) Address(a netip.Addr) (AS, bool) {
	if t == nil || !a.IsValid() {
		return AS{}, false
	}
	as, ok := t.table.Lookup(a.Unmap().WithZone(""))
	if !ok || as.Number == 0 {
		return AS{}, false
	}
	return *as, true
}

// Network returns the AS that announces the range from first to last, as long
// as no other announces a part of it.
func (t *ASTable) Network(first, last netip.Addr) (AS, bool) {
	if t == nil || !first.IsValid() {
		return AS{}, false
	}
	var only *AS
	same := func(as *AS) bool {
		only = cmp.Or(only, as)
		return as.Number != 0 && as.Number == only.Number
	}
	for _, p := range coveringPrefixes(first, last) {
		if as, ok := t.table.LookupPrefix(p); ok && !same(as) {
			return AS{}, false
		}
		for _, as := range t.table.Subnets(p) {
			if !same(as) {
				return AS{}, false
			}
		}
	}
	if only == nil {
		return AS{}, false
	}
	return *only, true
}

// ReadASTable reads an operator's file that gives the AS of each prefix: an
// MMDB such as GeoLite2-ASN, or lines of one of these, with tabs or blanks,
// plain or packed with gzip:
//
//	PREFIX ASN [NAME]                 192.0.2.0/24 64500 Example
//	ADDRESS LENGTH ASN                192.0.2.0 24 64500           (pfx2as of CAIDA)
//	FIRST LAST ASN [COUNTRY NAME]     192.0.2.0 192.0.2.255 64500  (iptoasn)
//
// A prefix with several ASs has none.
func ReadASTable(file string) (*ASTable, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("AS file: %w", err)
	}
	defer f.Close()
	t, err := readASTable(f)
	if err != nil {
		return nil, fmt.Errorf("AS file %s: %w", file, err)
	}
	return t, nil
}

func readASTable(r io.Reader) (*ASTable, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(unpacked, 64<<10)
	}
	limited := &io.LimitedReader{R: in, N: maxASFileBytes}
	// An MMDB begins with its tree, mostly NULs; no text does.
	head, _ := in.Peek(4096)
	l := asLoader{table: &ASTable{}, known: make(map[AS]*AS)}
	var err error
	if bytes.IndexByte(head, 0) >= 0 {
		err = l.mmdb(limited)
	} else {
		err = l.lines(limited)
	}
	switch {
	case err != nil:
		return nil, err
	case limited.N <= 0:
		return nil, fmt.Errorf("larger than %d bytes", maxASFileBytes)
	case l.table.Len() == 0:
		return nil, errors.New("no prefix in it")
	}
	return l.table, nil
}

// asLoader fills a table; prefixes of one AS share its entry.
type asLoader struct {
	table *ASTable
	known map[AS]*AS
}

func (l *asLoader) add(p netip.Prefix, as AS) {
	shared := l.known[as]
	if shared == nil {
		shared = &as
		l.known[as] = shared
	}
	l.table.table.Modify(p.Masked(), func(old *AS, found bool) (*AS, bool) {
		if found && old.Number != as.Number {
			return &AS{}, false // announced by several
		}
		return shared, false
	})
}

func (l *asLoader) mmdb(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	db, err := maxminddb.OpenBytes(raw)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	for result := range db.Networks() {
		var record struct {
			Number uint32 `maxminddb:"autonomous_system_number"`
			Name   string `maxminddb:"autonomous_system_organization"`
		}
		if err := result.Decode(&record); err != nil {
			return err
		}
		if record.Number != 0 {
			l.add(unmapPrefix(result.Prefix()), AS{Number: int64(record.Number), Name: casedb.CleanLine(record.Name, maxNameBytes)})
		}
	}
	return nil
}

// unmapPrefix gives an IPv4 prefix that an IPv6 database holds its own form.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func (l *asLoader) lines(r io.Reader) error {
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if err := l.line(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s.Err()
}

func (l *asLoader) line(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return fmt.Errorf("%q is too short", casedb.CleanLine(line, 80))
	}
	prefixes, rest, err := asPrefixes(fields)
	if err != nil {
		return err
	}
	as, err := parseASN(rest[0])
	if err != nil || as.Number < 0 {
		return err // not announced at all
	}
	if name := rest[1:]; len(name) > 0 {
		if len(fields)-len(rest) == 2 && len(name) > 1 && len(name[0]) == 2 {
			name = name[1:] // a country
		}
		as.Name = casedb.CleanLine(strings.Join(name, " "), maxNameBytes)
	}
	for _, p := range prefixes {
		l.add(p, as)
	}
	return nil
}

// asPrefixes reads the prefixes in front of a line, and returns what is behind.
func asPrefixes(fields []string) ([]netip.Prefix, []string, error) {
	if strings.Contains(fields[0], "/") {
		p, err := netip.ParsePrefix(fields[0])
		return []netip.Prefix{p}, fields[1:], err
	}
	first, err := netip.ParseAddr(fields[0])
	if err != nil || len(fields) < 3 {
		return nil, nil, fmt.Errorf("%q is no prefix", casedb.CleanLine(fields[0], 80))
	}
	if bits, err := strconv.Atoi(fields[1]); err == nil {
		p, err := first.Prefix(bits)
		return []netip.Prefix{p}, fields[2:], err
	}
	last, err := netip.ParseAddr(fields[1])
	if err != nil || last.BitLen() != first.BitLen() || last.Less(first) {
		return nil, nil, fmt.Errorf("%q is no last address of a range", casedb.CleanLine(fields[1], 80))
	}
	return coveringPrefixes(first, last), fields[2:], nil
}

// parseASN reads "64500", "AS64500", or several, "64500_64501" or
// "{64500,64501}", which give the zero AS. A negative number is not an AS: AS 0
// means that no AS announces the prefix.
func parseASN(s string) (AS, error) {
	var as AS
	for i, part := range strings.FieldsFunc(strings.Trim(s, "{}"), func(r rune) bool { return r == '_' || r == ',' }) {
		part = strings.TrimPrefix(strings.ToUpper(part), "AS")
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return as, fmt.Errorf("%q is no AS number", casedb.CleanLine(s, 80))
		}
		if i > 0 && int64(n) != as.Number {
			return AS{}, nil
		}
		as.Number = int64(n)
	}
	if as.Number == 0 {
		as.Number = -1
	}
	return as, nil
}
