package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"unicode"

	"teiten/internal/casedb"
)

// The limits for listing the files of an inbound mail.
const (
	maxFiles    = 50
	maxFileName = 120 // bytes
)

// Files lists the files of the mail. They are measured, and not looked into.
func (p *Mail) Files() casedb.InboundFiles {
	files := casedb.InboundFiles{Unreadable: !p.whole}
	for i := range p.Parts {
		switch part := &p.Parts[i]; {
		case !p.isFile(part):
		case len(files.List) == maxFiles:
			files.Left++
		default:
			files.List = append(files.List, part.listed())
		}
	}
	return files
}

// File returns file n of the list that Files gives, from 0, and its content.
func (p *Mail) File(n int) (casedb.InboundFile, []byte, bool) {
	found := 0
	for i := range p.Parts {
		part := &p.Parts[i]
		if !p.isFile(part) {
			continue
		}
		if found == n && n < maxFiles {
			return part.listed(), part.Content, true
		}
		found++
	}
	return casedb.InboundFile{}, nil, false
}

// isFile reports whether a part is for the reader's disk and not for his eyes,
// nor what a mail system reports (RFC 6522) or returns.
func (p *Mail) isFile(part *Part) bool {
	if part.File {
		return true
	}
	main, _, _ := strings.Cut(part.Type, "/")
	return main != "" && main != "text" && main != "multipart" && (main != "message" || p.contentType != "multipart/report")
}

func (p *Part) listed() casedb.InboundFile {
	sum := sha256.Sum256(p.Content)
	return casedb.InboundFile{Name: FileName(p.Name), Type: casedb.CleanLine(p.Type, 100), SizeBytes: len(p.Content),
		SHA256: hex.EncodeToString(sum[:])}
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
