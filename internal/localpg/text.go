package localpg

import (
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// maxTailBytes bounds how much of the server's log an error looks at.
const maxTailBytes = 64 << 10

// lastLines returns the last few lines of text, joined, for an error that stays on one line.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " | ")
}

// readFrom returns the file's text from offset on, the last maxTailBytes of it at most.
func readFrom(path string, offset int64) (text string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if info.Size()-offset > maxTailBytes {
		offset = info.Size() - maxTailBytes
	}
	all, err := io.ReadAll(io.NewSectionReader(file, offset, maxTailBytes))
	return string(all), err
}

func appendTo(path, text string) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	return file.Sync()
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) (err error) {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return file.Sync()
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}
