package phrase_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"teiten/internal/phrase"
)

// maxPattern is how many characters a regular expression may have that is no
// table.
const maxPattern = 120

func TestAny(t *testing.T) {
	t.Parallel()
	re := phrase.Any(`(?i)^(%s)!$`, phrase.Table{
		{"greeting", `hello|hi`, "hello!"},
		{"name", `w\w+`, "world!"},
	})
	for s, want := range map[string]bool{"HELLO!": true, "hi!": true, "World!": true, "hello": false, "oh hi!": false} {
		if got := re.MatchString(s); got != want {
			t.Errorf("%q: %t, want %t", s, got, want)
		}
	}
}

// TestExamples: in every table of the repository each example matches its own
// pattern, and each entry has a name that no other of the table has. What is
// longer than a line and no table is an error.
func TestExamples(t *testing.T) {
	t.Parallel()
	examples := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		known := constants(file)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			switch {
			case !ok:
			case f.Sel.Name == "MustCompile" && len(call.Args) == 1:
				if s, _ := known.text(call.Args[0]); utf8.RuneCountInString(s) > maxPattern {
					t.Errorf("%s: a pattern of more than %d characters is a phrase.Table", set.Position(call.Pos()), maxPattern)
				}
			case f.Sel.Name == "Any" && named(f.X, "phrase"):
				examples += known.tryTable(t, set, call)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if examples < 100 {
		t.Errorf("only %d examples were found", examples)
	}
}

// tryTable tries the examples of a call of phrase.Any and counts them.
func (known names) tryTable(t *testing.T, set *token.FileSet, call *ast.CallExpr) int {
	frame, ok := known.text(call.Args[0])
	table, isTable := call.Args[1].(*ast.CompositeLit)
	if !ok || !isTable || strings.Count(frame, "%s") != 1 {
		t.Errorf("%s: cannot read the table", set.Position(call.Pos()))
		return 0
	}
	seen := map[string]bool{}
	for _, e := range table.Elts {
		var entry [3]string
		for i, field := range e.(*ast.CompositeLit).Elts {
			if entry[i], ok = known.text(field); !ok || entry[i] == "" {
				t.Errorf("%s: cannot read the entry", set.Position(e.Pos()))
			}
		}
		if seen[entry[0]] {
			t.Errorf("%s: %q is there twice", set.Position(e.Pos()), entry[0])
		}
		seen[entry[0]] = true
		if !phrase.Framed(frame, entry[1]).MatchString(entry[2]) {
			t.Errorf("%s: %s: %q does not match %q", set.Position(e.Pos()), entry[0], entry[2], entry[1])
		}
	}
	return len(table.Elts)
}

func named(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// names are the constants of a file that are strings.
type names map[string]string

func constants(file *ast.File) names {
	known := names{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == len(v.Values) {
			for i, name := range v.Names {
				if s, ok := known.text(v.Values[i]); ok {
					known[name.Name] = s
				}
			}
		}
		return true
	})
	return known
}

// text is the value of a string written in the source.
func (known names) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.Ident:
		s, ok := known[e.Name]
		return s, ok
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := known.text(e.X)
		right, also := known.text(e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	return "", false
}
