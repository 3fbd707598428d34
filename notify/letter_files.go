package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"unicode"

	"github.com/jhillyerd/enmime/v2"

	"teiten/internal/casedb"
)

// What is listed of the files of an inbound mail.
const (
	maxFiles    = 50
	maxFileName = 120 // bytes
)

// ListFiles lists the files of an inbound mail. They are decoded to measure
// them, and not looked into.
func ListFiles(raw []byte) casedb.InboundFiles {
	var l fileLister
	root := readParts(stripMbox(raw))
	if root == nil {
		kind := strings.ToLower(readHeader(raw[:min(len(raw), maxPartBytes)]).Get("Content-Type"))
		return casedb.InboundFiles{Unreadable: strings.HasPrefix(strings.TrimSpace(kind), "multipart/")}
	}
	l.report = strings.EqualFold(root.ContentType, "multipart/report")
	l.walk(root, 0)
	return l.files
}

// FileOf returns file n of a mail's list, from 0, and its content.
func FileOf(raw []byte, n int) (casedb.InboundFile, []byte, bool) {
	l := fileLister{keep: n + 1}
	if root := readParts(stripMbox(raw)); root != nil && n >= 0 {
		l.report = strings.EqualFold(root.ContentType, "multipart/report")
		l.walk(root, 0)
	}
	if n < 0 || n >= len(l.files.List) {
		return casedb.InboundFile{}, nil, false
	}
	return l.files.List[n], l.kept, true
}

// fileLister collects the files of a mail.
type fileLister struct {
	files  casedb.InboundFiles
	report bool // the mail is a report: RFC 6522
	parts  int
	keep   int // the file whose content is kept, from 1; 0: none
	kept   []byte
}

func (l *fileLister) walk(part *enmime.Part, depth int) {
	for ; part != nil; part = part.NextSibling {
		if l.parts++; l.parts > maxParts || depth > maxDepth {
			l.files.Unreadable = true
			return
		}
		switch {
		case part.FirstChild != nil:
			l.walk(part.FirstChild, depth+1)
		case l.isFile(part):
			l.add(part)
		}
	}
}

// isFile reports whether a part is for the reader's disk and not for his eyes,
// nor what a mail system reports or returns.
func (l *fileLister) isFile(part *enmime.Part) bool {
	if _, ok := partName(part.Header); ok {
		return true
	}
	main, _, _ := strings.Cut(strings.ToLower(part.ContentType), "/")
	return main != "" && main != "text" && main != "multipart" && (main != "message" || !l.report)
}

func (l *fileLister) add(part *enmime.Part) {
	if len(l.files.List) == maxFiles {
		l.files.Left++
		return
	}
	content := decodeTransfer(part.Content, part.Header.Get("Content-Transfer-Encoding"))
	name, _ := partName(part.Header)
	sum := sha256.Sum256(content)
	l.files.List = append(l.files.List, casedb.InboundFile{Name: FileName(name), Type: casedb.CleanLine(part.ContentType, 100),
		SizeBytes: len(content), SHA256: hex.EncodeToString(sum[:])})
	if len(l.files.List) == l.keep {
		l.kept = bytes.Clone(content)
	}
}

// FileName makes a stranger's name for a file one that is safe to show and to
// save under: the last element of a path, without characters that change how
// the rest reads or that a file system takes for something else.
func FileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`<>:"|?*;`, r):
			return '_'
		case unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.ReplaceAll(s, `\`, "/"))
	s = strings.Trim(path.Base("/"+casedb.CleanLine(s, 1000)), ". /")
	if ext := path.Ext(s); len(s) > maxFileName && len(ext) < 20 {
		s = casedb.Clean(s, maxFileName-len(ext)) + ext
	}
	stem, _, _ := strings.Cut(s, ".")
	switch stem = strings.ToUpper(strings.TrimSpace(stem)); {
	case stem == "CON", stem == "PRN", stem == "AUX", stem == "NUL",
		len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")): // devices of Windows
		s = "_" + s
	}
	return casedb.Clean(s, maxFileName)
}
