package main_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What a reader takes in at once.
const (
	maxFunctionLines   = 80
	maxFileLines       = 500
	maxTemplateColumns = 140
	sizesOfTests       = true // whether the limits are also those of test files
)

// eachFile calls f for the files of the repository that have the ending.
// Test data and what builds leave behind are not ours to read.
func eachFile(t *testing.T, ending string, f func(path string, content []byte)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"testdata", "bin", ".git", "node_modules"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ending) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		f(strings.TrimPrefix(path, "../../"), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 30 {
		t.Errorf("only %d files end in %s", files, ending)
	}
}

// TestSizesOfGoFiles: no function and no file is longer than a reader can keep
// in mind.
func TestSizesOfGoFiles(t *testing.T) {
	t.Parallel()
	eachFile(t, ".go", func(path string, content []byte) {
		if strings.HasSuffix(path, "_test.go") && !sizesOfTests {
			return
		}
		if n := bytes.Count(content, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", path, n, maxFileLines)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, content, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			name := "a function literal"
			switch f := n.(type) {
			case *ast.FuncDecl:
				name = f.Name.Name
			case *ast.FuncLit:
			default:
				return true
			}
			if lines := set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1; lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", set.Position(n.Pos()), name, lines, maxFunctionLines)
			}
			return true
		})
	})
}

// TestWidthOfTemplates: a line of a page's template fits on a screen.
func TestWidthOfTemplates(t *testing.T) {
	t.Parallel()
	eachFile(t, ".html", func(path string, content []byte) {
		for i, line := range strings.Split(string(content), "\n") {
			if n := utf8.RuneCountInString(line); n > maxTemplateColumns {
				t.Errorf("%s:%d has %d columns, more than %d", path, i+1, n, maxTemplateColumns)
			}
		}
	})
}
