package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// sourcesPage is the data of view sources.
type sourcesPage struct {
	Query  url.Values
	Filter casedb.SourceFilter
	Tabs   tabCounts
	Rows   []casedb.SourceRow
	Kinds  []casedb.Kind
	Tools  []string
	Next   string
	Bad    string // key of the line that says which filter was not understood
}

// tools are what a verdict can name, as in the contract's kind of tool.
func tools() []string {
	return []string{"zmap", "masscan", "nmap", "unicornscan", "hping3", "angryip"}
}

var portPattern = regexp.MustCompile(`^([0-9]{1,5})(/(tcp|udp|icmp|[0-9]{1,3}))?$`)

// parsePort reads "445", "445/tcp" or "53/UDP"; a bare number is TCP.
func parsePort(s string) (string, bool) {
	m := portPattern.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
	if m == nil {
		return "", false
	}
	proto := m[3]
	if proto == "" {
		proto = "tcp"
	}
	number := strings.TrimLeft(m[1], "0")
	if number == "" {
		number = "0"
	}
	return number + "/" + strings.ToUpper(proto), true
}

// sources lists the judged sources.
func (s *Server) sources(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	data := sourcesPage{Kinds: casedb.Kinds, Tools: tools(), Query: url.Values{}}
	var f casedb.SourceFilter
	keep := func(key, value string) {
		if value != "" {
			data.Query.Set(key, value)
		}
	}
	if q.Get("attention") != "" {
		f.Attention = true
		keep("attention", "1")
	}
	if k := casedb.Kind(q.Get("kind")); slices.Contains(casedb.Kinds, k) {
		f.Kind = k
		keep("kind", string(k))
	}
	if t := q.Get("tool"); slices.Contains(data.Tools, t) {
		f.Tool = t
		keep("tool", t)
	}
	if text := casedb.CleanLine(q.Get("port"), 32); text != "" {
		var ok bool
		if f.Port, ok = parsePort(text); !ok {
			data.Bad = "invalid.port"
		}
		keep("port", text)
	}
	if text := casedb.CleanLine(q.Get("q"), 64); text != "" {
		keep("q", text)
		if a, err := netip.ParseAddr(text); err == nil {
			f.Prefix = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())
		} else if p, err := netip.ParsePrefix(text); err == nil {
			f.Prefix = p.Masked()
		} else {
			data.Bad = "invalid.address"
		}
	}
	data.Filter = f
	var err error
	if data.Tabs, err = s.tabCounts(r.Context()); err != nil {
		return err
	}
	if data.Bad != "" {
		return s.render(w, r, v, http.StatusUnprocessableEntity, "sources", data)
	}
	var after casedb.SourceCursor
	after.Last, after.ID = parseCursor(q.Get("after"))
	if a, err := netip.ParseAddr(q.Get("behind")); err == nil {
		after.Source.Addr = a.Unmap().WithZone("")
	}
	rows, more, err := s.db.ListSources(r.Context(), f, after, pageSize)
	if err != nil {
		return err
	}
	data.Rows = rows
	if more {
		last := rows[len(rows)-1]
		if f.Prefix.IsValid() {
			data.Next = listURL("/sources", data.Query, "behind", last.Source.String())
		} else {
			data.Next = listURL("/sources", data.Query, "after", cursorText(last.Last, last.ID))
		}
	}
	return s.render(w, r, v, http.StatusOK, "sources", data)
}
