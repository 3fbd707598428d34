package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layout says which of our packages each package may import: the drawing in
// docs/design.md. A new package gets its place here first.
var layout = map[string][]string{
	"teiten/cmd/teiten": {"*"},
	"teiten/web":        {"teiten/notify", "teiten/internal/casedb", "teiten/internal/locale", "teiten/internal/explain", "teiten/internal/survival", "teiten/internal/cell", "teiten/internal/directory", "teiten/internal/finding"},

	"teiten/capture":     {"teiten/internal/casedb"},
	"teiten/attribution": {"teiten/internal/casedb", "teiten/internal/work", "teiten/internal/explain"},
	"teiten/notify":      {"teiten/internal/casedb", "teiten/internal/locale", "teiten/internal/work", "teiten/internal/explain", "teiten/internal/cell"},

	"teiten/internal/explain":    {"teiten/internal/casedb"},
	"teiten/internal/evaluation": {"teiten/internal/casedb"},
	"teiten/internal/casedb":     {},
	"teiten/internal/locale":     {},
	"teiten/internal/work":       {},
	"teiten/internal/localpg":    {},
	"teiten/internal/synth":      {},
	"teiten/internal/survival":   {},
	"teiten/internal/cell":       {},
	"teiten/internal/finding":    {"teiten/internal/casedb"},
	"teiten/internal/directory":  {"teiten/internal/casedb", "teiten/internal/cell"},
	"teiten/migrations":          {},

	// Tests and benchmarks.
	"teiten/internal/pgtest":      {"teiten/migrations", "teiten/internal/localpg"},
	"teiten/internal/benchratio":  {"*"},
	"teiten/internal/browsertest": {},
}

// foreign says which packages alone may import a module.
var foreign = map[string][]string{
	"github.com/jmoiron/sqlx":       {"teiten/internal/casedb", "teiten/internal/pgtest", "teiten/migrations"},
	"github.com/lib/pq":             {"teiten/internal/casedb", "teiten/internal/pgtest", "teiten/migrations"},
	"github.com/google/gopacket":    {"teiten/capture"},
	"github.com/openrdap/rdap":      {"teiten/attribution"},
	"github.com/oschwald/maxminddb": {"teiten/attribution"},
	"github.com/emersion/go-smtp":   {"teiten/notify"},
	"github.com/pressly/goose":      {"teiten/migrations"},
	"github.com/jhillyerd/enmime":   {"teiten/notify"},
	"github.com/gaissmai/bart":      {"teiten/attribution"},
	"github.com/alexedwards/scs":    {"teiten/web"},
	"github.com/parquet-go/parquet": {"teiten/capture"},
}

func TestImportsFollowTheLayout(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "teiten/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		may, known := layout[p.ImportPath]
		// A folder below a known package (its own command) has its place there.
		for parent := p.ImportPath; !known && strings.Contains(parent, "/"); {
			parent = parent[:strings.LastIndex(parent, "/")]
			if may, known = layout[parent]; known {
				may = append(slices.Clone(may), parent)
			}
		}
		if !known {
			t.Errorf("%s has no place in the layout", p.ImportPath)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "teiten/") && !slices.Contains(may, "*") && !slices.Contains(may, i) {
				t.Errorf("%s may not import %s", p.ImportPath, i)
			}
			for module, allowed := range foreign {
				if strings.HasPrefix(i, module) && !slices.Contains(allowed, p.ImportPath) {
					t.Errorf("%s may not import %s", p.ImportPath, i)
				}
			}
		}
	}
}
