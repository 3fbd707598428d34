package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block returns a fenced block of docs/design.md, line by line.
func block(t *testing.T, name string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + name + "\n(.*?)\n```").FindSubmatch(page)
	if m == nil {
		t.Fatalf("docs/design.md has no block %q", name)
	}
	return strings.Split(string(m[1]), "\n")
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// drawing reads which of our packages each package may import.
func drawing(t *testing.T) map[string][]string {
	t.Helper()
	may := map[string][]string{}
	for _, line := range block(t, "imports") {
		left, right, ok := strings.Cut(line, "──►")
		name := words(left)
		if !ok || len(name) == 0 {
			t.Fatalf("cannot read %q", line)
		}
		may[name[len(name)-1]] = words(right)
	}
	return may
}

// homes reads which of our packages alone may import a module.
func homes(t *testing.T) map[string][]string {
	t.Helper()
	m := map[string][]string{}
	for _, line := range block(t, "modules") {
		w := words(line)
		m[w[0]] = w[1:]
	}
	return m
}

// home is the drawn package that a package is, or is a folder of.
func home(may map[string][]string, name string) string {
	for {
		if _, ok := may[name]; ok {
			return name
		}
		i := strings.LastIndex(name, "/")
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
}

// TestImportsFollowTheDrawing: the drawing allows what is imported, and draws
// nothing that is not.
func TestImportsFollowTheDrawing(t *testing.T) {
	t.Parallel()
	may, foreign := drawing(t), homes(t)
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "teiten/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string][]string{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		path := strings.TrimPrefix(p.ImportPath, "teiten/")
		name := home(may, path)
		if name == "" {
			t.Errorf("%s is not in the drawing", path)
			continue
		}
		imported[name] = append(imported[name], "")
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "teiten/"); ok {
				imported[name] = append(imported[name], ours)
				if ours != name && !slices.Contains(may[name], ours) && !slices.Contains(may[name], "*") {
					t.Errorf("%s may not import %s", path, ours)
				}
			}
			for module, allowed := range foreign {
				if strings.HasPrefix(i, module) && !slices.Contains(allowed, path) {
					t.Errorf("%s may not import %s", path, i)
				}
			}
		}
	}
	for name, list := range may {
		if imported[name] == nil {
			t.Errorf("the drawing has %s, which does not exist", name)
		}
		for _, i := range list {
			if i != "*" && !slices.Contains(imported[name], i) {
				t.Errorf("the drawing lets %s import %s, which it does not", name, i)
			}
		}
	}
}

// TestCaptureIsFreeOfSQL: a sensor's build carries no database driver.
func TestCaptureIsFreeOfSQL(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "teiten/capture").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(out)) {
		if strings.Contains(name, "sql") || strings.Contains(name, "lib/pq") {
			t.Errorf("capture depends on %s", name)
		}
	}
}
