package notify

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

// attachedAs is a mail with one file whose part has the headers.
func attachedAs(headers string) []byte {
	return []byte("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nText.\r\n--b\r\n" +
		headers + "\r\n\r\nMZ\x00\r\n--b--\r\n")
}

func TestFilesAreListedByTheirDecodedNames(t *testing.T) {
	t.Parallel()
	sjis, err := japanese.ShiftJIS.NewEncoder().String("調査結果.xlsx")
	if err != nil {
		t.Fatal(err)
	}
	jis, err := japanese.ISO2022JP.NewEncoder().String("調査結果.xlsx")
	if err != nil {
		t.Fatal(err)
	}
	percent := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
		return b.String()
	}
	const attachment = "Content-Disposition: attachment; "
	for headers, want := range map[string]string{
		attachment + `filename="report.pdf"`: "report.pdf",
		attachment + `filename="=?utf-8?B?` + base64.StdEncoding.EncodeToString([]byte("調査結果.xlsx")) + `?="`:                 "調査結果.xlsx",
		attachment + `filename="=?ISO-2022-JP?B?` + base64.StdEncoding.EncodeToString([]byte(jis)) + `?="`:                   "調査結果.xlsx",
		"Content-Type: application/x; name=\"=?shift_jis?B?" + base64.StdEncoding.EncodeToString([]byte(sjis)) + "?=\"":      "調査結果.xlsx",
		attachment + "filename*=utf-8'ja'" + percent("調査結果.xlsx"):                                                            "調査結果.xlsx",
		attachment + "filename*=iso-2022-jp'ja'" + percent(jis):                                                              "調査結果.xlsx",
		attachment + "filename*=Shift_JIS''" + percent(sjis):                                                                 "調査結果.xlsx",
		attachment + "filename*0*=utf-8''" + percent("調査") + ";\r\n filename*1*=" + percent("結果") + ";\r\n filename*2=.xlsx": "調査結果.xlsx",
		attachment + `filename="` + sjis + `"`:                                                                               "調査結果.xlsx",
		attachment + `filename="../../x"`:                                                                                    "x",
		attachment + `filename="..\\..\\windows\\system.ini"`:                                                                "system.ini",
		attachment + "filename=\"a.pdf\u202eexe\"":                                                                           "a.pdfexe",
		attachment + "filename*=utf-8''a%E2%80%AEfdp.exe":                                                                    "afdp.exe",
		attachment + "filename*=utf-8''a%0D%0AX:%20y%01.txt":                                                                 "a X_ y.txt",
		attachment + `filename="<script>.html"`:                                                                              "_script_.html",
		attachment + `filename="NUL.txt"`:                                                                                    "_NUL.txt",
		attachment + `filename="..."`:                                                                                        "",
		attachment + `filename="."`:                                                                                          "",
		"Content-Type: image/png\r\nContent-Disposition: inline":                                                             "",
		attachment + `filename="` + strings.Repeat("あ", 200) + `.pdf"`:                                                       strings.Repeat("あ", 38) + ".pdf",
	} {
		raw := attachedAs(headers)
		got := ParseMail(raw).Files()
		if len(got.List) != 1 || got.Left != 0 || got.List[0].Name != want || got.List[0].SizeBytes != 3 {
			t.Errorf("%q: got %+v, want %q", headers, got, want)
			continue
		}
		f, content, ok := ParseMail(raw).File(0)
		if !ok || f != got.List[0] || string(content) != "MZ\x00" {
			t.Errorf("%q: got %+v %q %v", headers, f, content, ok)
		}
	}
	for _, n := range []int{-1, 1, 1 << 40} {
		if _, _, ok := ParseMail(attachedAs(attachment + "filename=x")).File(n); ok {
			t.Errorf("there is a file %d", n)
		}
	}
}

func TestManyFilesAreCounted(t *testing.T) {
	t.Parallel()
	mail := func(n int, part string) []byte {
		return []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n"+part, n) + "--b--\n")
	}
	same := "Content-Type: application/pdf\nContent-Disposition: attachment; filename=same.pdf\nContent-Transfer-Encoding: base64\n\nQUJD\n"
	if got := ParseMail(mail(60, same)).Files(); len(got.List) != maxFiles || got.Left != 10 || got.Unreadable {
		t.Errorf("60 files: %d listed, %d left, %v", len(got.List), got.Left, got.Unreadable)
	}
	for _, n := range []int{1000, 100_000} {
		if got := ParseMail(mail(n, same)).Files(); len(got.List) > maxFiles || !got.Unreadable {
			t.Errorf("%d files: %d listed, %d left, %v", n, len(got.List), got.Left, got.Unreadable)
		}
	}
	deep := ""
	for i := range 100 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	if got := ParseMail([]byte(deep + same)).Files(); len(got.List) != 0 || !got.Unreadable {
		t.Errorf("a deep mail: %+v", got)
	}
	if got := ParseMail([]byte("Subject: x\n\nJust text.\n")).Files(); got.Any() {
		t.Errorf("a mail without files: %+v", got)
	}
}

// TestReturnedMailIsNoFile, but one that a person forwards is.
func TestReturnedMailIsNoFile(t *testing.T) {
	t.Parallel()
	const parts = "; boundary=b\n\n--b\nContent-Type: text/plain\n\nx\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\nz\n--b--\n"
	if got := ParseMail([]byte("Content-Type: multipart/report; report-type=delivery-status" + parts)).Files(); got.Any() {
		t.Errorf("a report: %+v", got)
	}
	got := ParseMail([]byte("Content-Type: multipart/mixed" + parts)).Files()
	if len(got.List) != 1 || got.List[0].Type != "message/rfc822" {
		t.Errorf("a forwarded mail: %+v", got)
	}
}

func FuzzListFiles(f *testing.F) {
	f.Add(attachedAs("Content-Disposition: attachment; filename*=utf-8''a%E2%80%AEfdp.exe"))
	f.Add(attachedAs("Content-Type: application/x; name=\"=?iso-2022-jp?B?GyRCJUYbKEI=?=\"\r\nContent-Transfer-Encoding: base64"))
	f.Add([]byte("Content-Type: image/png\n\nx"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := ParseMail(raw).Files()
		if len(got.List) > maxFiles {
			t.Fatalf("%d files", len(got.List))
		}
		for i, file := range got.List {
			if file.Name != FileName(file.Name) || len(file.Name) > maxFileName || !utf8.ValidString(file.Name+file.Type) || strings.ContainsAny(file.Name, "/\\\r\n\x00\"") ||
				strings.HasPrefix(file.Name, ".") || strings.IndexFunc(file.Name, func(r rune) bool { return unicode.Is(unicode.Cf, r) }) >= 0 {
				t.Errorf("name %q", file.Name)
			}
			again, content, ok := ParseMail(raw).File(i)
			if !ok || again != file || len(content) != file.SizeBytes || bytes.Contains([]byte(file.SHA256), []byte(" ")) {
				t.Errorf("file %d is %+v, then %+v %v", i, file, again, ok)
			}
		}
	})
}
