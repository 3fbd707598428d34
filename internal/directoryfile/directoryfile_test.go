package directoryfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/directoryfile"
)

func anybody(*casedb.DirectoryEntry) error { return nil }

func TestRead(t *testing.T) {
	t.Parallel()
	const file = "\xef\xbb\xbfScope,TARGET,email,name,language,format,valid_from,valid_until,note,extra\r\n" +
		"prefix,192.0.2.0/24,abuse@example.net,Example,ja,xarf,2026-04-01,2027-04-01,\"by phone, twice\",x\r\n" +
		"as,AS064500,noc@example.net,,,,,,,\r\n" + // a leading zero that a spreadsheet left
		"organisation,Example University,'=cert@example.ac.jp,,,,,,,\r\n" +
		",,,,,,,,,\r\n" +
		"country,kr,cert@example.kr,,en,,2026/4/1,,,\r\n" +
		"prefix,192.0.2.1/24,a@example.net,,,,,,,\r\n" +
		"prefix,2001:db8::/8,a@example.net,,,,,,,\r\n" +
		"prefix,192.0.2.0/24,b@example.net,,,,,,,\r\n" +
		"as,zero,a@example.net,,,,,,,\r\n" +
		"country,Korea,a@example.net,,,,,,,\r\n" +
		"isp,x,a@example.net,,,,,,,\r\n" +
		"as,64501,nobody,,,,,,,\r\n" +
		"as,64502,hostmaster@registry.example,,,,,,,\r\n" +
		"as,64503,a@example.net,,fr,,,,,\r\n" +
		"as,64504,a@example.net,,,,2026-05-01,2026-04-01,,\r\n" +
		"as,64505\r\n" +
		"as,64506,a@example.net,Example \"Net\",,,,,,\r\n" +
		"as,64507,a@example.net,Example, Inc.,en,,,,,,x,y\r\n" +
		"as,64508,a\x00@example.net,,,,,,,\r\n" +
		"as,64509,a@example.net,,,,,,,,x,,comma\r\n" +
		"prefix,::ffff:192.0.2.0/120,a@example.net,,,,,,,\r\n"
	list, err := directoryfile.Read(strings.NewReader(file), func(e *casedb.DirectoryEntry) error {
		if strings.HasSuffix(e.Email, "@registry.example") {
			return errors.New("a registry's own address")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Entries {
		until := ""
		if e.ValidUntil != nil {
			until = e.ValidUntil.Format("2006-01-02")
		}
		got = append(got, fmt.Sprintf("%s %s %s %s%s %s", e.Scope, e.Target, e.Email, e.Language, e.Format, until))
	}
	want := []string{"prefix 192.0.2.0/24 abuse@example.net jaxarf 2027-04-01", "as 64500 noc@example.net en ",
		"organisation example university =cert@example.ac.jp en ", "country KR cert@example.kr en "}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	whys := []string{"7: 192.0.2.1/24 has host bits set; did you mean 192.0.2.0/24", "8: 2001:db8::/8 has host bits", "9: prefix 192.0.2.0/24 is in line 2", "10: \"zero\" is not an AS",
		"11: country \"KOREA\"", "12: \"isp\" is neither", "13: \"nobody\" is not a mail address", "14: a registry's own", "15: language \"fr\"",
		"16: it ends before", "17: \"\" is not a mail address", "18: parse error on line 18", "19: language \"inc.\"", "20: \"a\uFFFD@example.net\" is not a mail", "21: it has more cells",
		"22: \"::ffff:192.0.2.0/120\" is neither"}
	if list.Bad != len(whys) || len(list.Problems) != len(whys) {
		t.Fatalf("got %d problems: %v", list.Bad, list.Problems)
	}
	for i, why := range whys {
		if p := list.Problems[i].String(); !strings.HasPrefix(p, "line "+why) {
			t.Errorf("got  %s\nwant line %s", p, why)
		}
	}
}

// TestKeysInProblemsAreNotRepeated: what is not taken may be a private key.
func TestKeysInProblemsAreNotRepeated(t *testing.T) {
	t.Parallel()
	const key = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nc2VjcmV0\n-----END PGP PRIVATE KEY BLOCK-----"
	file := "scope,target,email,pgp_key,note\nas,64500,a@example.net,\"" + key + "\",x\nas,none,a@example.net,\"" + key[:50] + "\",x\n"
	list, err := directoryfile.Read(strings.NewReader(file), func(*casedb.DirectoryEntry) error { return errors.New("a private one") })
	if err != nil || len(list.Problems) != 2 {
		t.Fatal(list, err)
	}
	for _, p := range list.Problems {
		if !strings.Contains(p.Text, "a@example.net,[key]") || strings.Contains(p.String()+p.Text, "c2VjcmV0") {
			t.Errorf("%q", p.Text)
		}
	}
}

// TestKeysComeBack: what was written is read as it was.
func TestKeysComeBack(t *testing.T) {
	t.Parallel()
	e := casedb.DirectoryEntry{Scope: casedb.ScopeAS, Target: "64500", Email: "a@example.net", Language: "en",
		PGPKey: "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: \"x\", =y\n\nmQ==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----"}
	var b strings.Builder
	w, err := directoryfile.NewWriter(&b)
	if err := errors.Join(err, w.Write(&e), w.Flush()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{b.String(), strings.ReplaceAll(b.String(), "\n", "\r\n")} {
		list, err := directoryfile.Read(strings.NewReader(file), anybody)
		if err != nil || len(list.Entries) != 1 || list.Entries[0].PGPKey != e.PGPKey {
			t.Errorf("%+v, %v", list, err)
		}
	}
}

func TestReadRefusesFiles(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"not in UTF-8":     "scope,target,email,name\nas,64500,a@example.net,\x83\x65\x83\x58\x83\x67\n",
		"no header":        "",
		"no column":        "prefix,email\n192.0.2.0/24,a@example.net\n",
		"is there twice":   "scope,target,email,target\n",
		"in line 3 is not": "scope,target,email,name\nas,1,a@example.net,x\nas,2,a@example.net,\"Example\nas,3,a@example.net,x\n",
		"in line 2 is not": "scope,target,email,name\nas,2,a@example.net,\"Example\nas,3,a@example.net,\"Net\"\n",
		"larger than":      "scope,target,email\n" + strings.Repeat("#", directoryfile.MaxBytes),
		"more than":        "scope,target,email\n" + strings.Repeat("country,JP,a@example.jp\nas,1,a@example.jp\n", 1) + manyLines(directoryfile.MaxEntries),
	} {
		if _, err := directoryfile.Read(strings.NewReader(file), anybody); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "as,%d,a@example.jp\n", i+2)
	}
	return b.String()
}

// FuzzRead: whatever is read is written and read again as the same, and no cell
// is a formula.
func FuzzRead(f *testing.F) {
	f.Add([]byte("scope,target,email,name,note\nprefix,192.0.2.0/24,a@example.net,=1+1,\"x\ny\"\n"))
	f.Add([]byte("scope,target,email\nas,AS1,'+a@example.net\n\"organisation\",\"'=x\",a@b\n"))
	f.Add([]byte("scope,target,email,valid_from\ncountry,JP,a@b,2026-04-01T12:30:00+09:00\n"))
	f.Add([]byte("scope,target,email,valid_from\ncountry,JP,a@b,2026-04-01T12:30:00.5Z\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		list, err := directoryfile.Read(bytes.NewReader(file), anybody)
		if err != nil {
			return
		}
		var out bytes.Buffer
		w, err := directoryfile.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Entries {
			if err := w.Write(&list.Entries[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		again, err := directoryfile.Read(&out, anybody)
		if err != nil || again.Bad != 0 || len(again.Entries) != len(list.Entries) {
			t.Fatalf("got %d of %d entries, %v: %v", len(again.Entries), len(list.Entries), again, err)
		}
		for i := range list.Entries {
			if a, b := plain(list.Entries[i]), plain(again.Entries[i]); a != b {
				t.Errorf("got  %s\nwant %s", b, a)
			}
		}
	})
}

func plain(e casedb.DirectoryEntry) string {
	from, until := "", ""
	if e.ValidFrom != nil {
		from = e.ValidFrom.String()
	}
	if e.ValidUntil != nil {
		until = e.ValidUntil.String()
	}
	e.ValidFrom, e.ValidUntil = nil, nil
	return fmt.Sprintf("%+v %s %s", e, from, until)
}
