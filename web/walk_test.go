package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"

	"teiten/internal/casedb"
	"teiten/web"
)

var (
	routeLine  = regexp.MustCompile(`(?m)^\s*(?:handle|mux\.Handle(?:Func)?)\("(GET|POST) (.+?), (?:s|promhttp|robots)\b`)
	routeConst = regexp.MustCompile(`"\+(\w+)\+"`)
)

// routesOf returns the paths of all routes of a method, from the routing table
// itself: a new one is looked at without anybody remembering to.
func routesOf(t *testing.T, method string) []string {
	t.Helper()
	var source strings.Builder
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	table, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, m := range routeLine.FindAllStringSubmatch(string(table), -1) {
		if m[1] != method {
			continue
		}
		// "+confirmPath+"{token}" is written out; a plain one ends with its quote.
		p := routeConst.ReplaceAllStringFunc(`"`+m[2], func(s string) string {
			name := strings.Trim(s, `"+`)
			v := regexp.MustCompile(`(?m)^const ` + name + ` = "([^"]+)"`).FindStringSubmatch(source.String())
			if v == nil {
				t.Fatalf("routes.go: what is %s?", name)
			}
			return v[1]
		})
		patterns = append(patterns, strings.Trim(strings.TrimPrefix(p, `""`), `"`))
	}
	if n := strings.Count(string(table), `"`+method+` `); len(patterns) != n || n < 15 {
		t.Fatalf("read %d of the %d routes: %q", len(patterns), n, patterns)
	}
	return patterns
}

// everyPage follows the links from every page of the table and from the given
// ones, and returns the addresses of what a browser shows: all, but not more
// than a few for each route. Every route must have been reached. first are the
// addresses of which each is the first of its route.
func (b *bundle) everyPage(more ...string) (pages, first []string) {
	b.t.Helper()
	const perRoute = 6
	patterns := routesOf(b.t, "GET")
	mux := http.NewServeMux()
	todo := slices.Clone(more)
	for _, p := range patterns {
		mux.HandleFunc("GET "+p, func(http.ResponseWriter, *http.Request) {})
		if path := strings.TrimSuffix(p, "{$}"); !strings.Contains(path, "{") {
			todo = append(todo, path)
		}
	}
	seen, reached := map[string]bool{}, map[string]int{}
	for len(todo) > 0 {
		path, _, _ := strings.Cut(todo[0], "#")
		todo = todo[1:]
		req, err := http.NewRequest(http.MethodGet, path, nil)
		if err != nil {
			b.t.Errorf("link to %q: %v", path, err)
			continue
		}
		_, route := mux.Handler(req)
		enough := reached[route] >= perRoute || reached[route] > 1 && strings.Contains(path, "lang=")
		if seen[path] || route == "" || enough && !slices.Contains(more, path) {
			continue
		}
		seen[path] = true
		status, body, h := b.get(path)
		if status >= 400 {
			continue
		}
		reached[route]++
		kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
		if kind == "image/svg+xml" && body != "" && !strings.HasPrefix(path, "/assets/") {
			pages = append(pages, path) // a document of its own in a browser
		}
		if kind != "text/html" || status != http.StatusOK {
			if h.Get("X-Content-Type-Options") != "nosniff" {
				b.t.Errorf("%s: a browser may take it for a page", path)
			}
			continue
		}
		if pages = append(pages, path); reached[route] == 1 {
			first = append(first, path)
		}
		doc, err := html.Parse(strings.NewReader(body))
		if err != nil {
			b.t.Fatal(err)
		}
		for n := range doc.Descendants() {
			for _, a := range n.Attr {
				switch {
				case a.Key == "href" && strings.HasPrefix(a.Val, "/"):
					todo = append(todo, a.Val)
				case a.Key == "href" && strings.HasPrefix(a.Val, "?"):
					base, _, _ := strings.Cut(path, "?")
					todo = append(todo, base+a.Val)
				}
			}
		}
	}
	for _, p := range patterns {
		if reached["GET "+p] == 0 {
			b.t.Errorf("no page leads to GET %s: let fill or fillWithEvil make what it shows", p)
		}
	}
	return pages, first
}

// TestEvilAddresses: whatever stands in an address, in its path or in the
// fields of a search, no page breaks, and none repeats it as markup.
func TestEvilAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Registry = prometheus.NewRegistry() })
	b.user("taro", casedb.RoleLead, "en")
	c := fill(t, b)
	evils := []string{brief("address"), evil("address"), "../../../etc/passwd", "..", "%00", "\x00", strings.Repeat("9", 400), "-1", "0", "' or 1=1 --", "\xff\xfe", "{{.}}", "a\r\nX-Evil: 1"}
	try := func(path string) {
		t.Helper()
		status, body, h := b.get(path)
		if status >= 500 || strings.Contains(body, "<x-pwn") || strings.Contains(body, "<script>window") || h.Get("X-Evil") != "" {
			t.Errorf("%.200s: %d", path, status)
		}
		if l := h.Get("Location"); l != "" && (!strings.HasPrefix(l, "/") || strings.HasPrefix(l, "//")) {
			t.Errorf("%.200s leads to %q", path, l)
		}
	}
	wildcard := regexp.MustCompile(`\{\w+\}`)
	for _, route := range routesOf(t, "GET") {
		if route = strings.TrimSuffix(route, "{$}"); wildcard.MatchString(route) {
			for _, e := range evils {
				try(wildcard.ReplaceAllLiteralString(route, url.PathEscape(e)))
			}
		}
	}
	// The names of all fields that searches have, and those of the pagers.
	names := map[string]bool{"before": true, "after": true, "sources": true, "said": true, "lang": true, "next": true, "answer": true, "version": true, "against": true}
	for _, path := range []string{"/cases", "/sources", "/sources/windows", "/aggregates", "/effect", "/outgoing", "/registrations", "/contacts"} {
		doc, err := html.Parse(strings.NewReader(b.page(path)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if name := attribute(n, "name"); name != "" && (n.Data == "input" || n.Data == "select") {
				names[name] = true
			}
		}
	}
	pages := []string{"/login", "/public/scanners", "/register", "/cases/" + c.Number, "/sources/" + c.Sources[0].String(), "/letters/infected-ms17-010.first.en", "/effect/survival.svg", "/effect/survival.csv"}
	for _, route := range routesOf(t, "GET") {
		if path := strings.TrimSuffix(route, "{$}"); !strings.Contains(path, "{") {
			pages = append(pages, path)
		}
	}
	for _, path := range pages {
		for _, e := range evils {
			query := url.Values{}
			for name := range names {
				query.Set(name, e)
			}
			try(path + "?" + query.Encode())
			for name := range names {
				if e == evils[0] {
					try(path + "?" + url.Values{name: {e}}.Encode())
				}
			}
		}
	}
}
