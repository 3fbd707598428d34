package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

//go:embed templates
var templateFiles embed.FS

// views holds one parsed set of templates per language: nothing is bound to a
// language at the moment of rendering.
type views struct {
	byLang map[string]map[string]*template.Template
}

// parseViews parses templates/views/*.html, each together with layout.html and
// all partials, once per language.
func parseViews(catalog *locale.Catalog, a *assets) (*views, error) {
	names, err := fs.Glob(templateFiles, "templates/views/*.html")
	if err != nil {
		return nil, fmt.Errorf("find views: %w", err)
	}
	v := &views{byLang: make(map[string]map[string]*template.Template)}
	for _, lang := range locale.Languages() {
		base, err := template.New("layout.html").Funcs(functions(catalog.Printer(lang), a)).
			ParseFS(templateFiles, "templates/layout.html", "templates/partials/*.html")
		if err != nil {
			return nil, fmt.Errorf("parse layout: %w", err)
		}
		v.byLang[lang] = make(map[string]*template.Template)
		for _, name := range names {
			view, err := base.Clone()
			if err == nil {
				view, err = view.ParseFS(templateFiles, name)
			}
			if err != nil {
				return nil, fmt.Errorf("parse %s: %w", name, err)
			}
			v.byLang[lang][strings.TrimSuffix(path.Base(name), ".html")] = view
		}
	}
	return v, nil
}

// page is what every view gets: the frame, and its own data in V.
type page struct {
	Lang         string
	Other        string // the other language, and where this page is in it
	OtherURL     string
	Path         string
	Section      string // which entry of the navigation is current
	User         *casedb.User
	MayChange    bool
	MayLead      bool
	Stop         *casedb.SwitchChange // the stop of all mail; nil: mail is not stopped
	Inbox        casedb.Inbox         // counted where the frame is shown after a GET
	Flash        string
	Organisation string
	Contact      string
	Version      string
	Mailbox      bool
	Outgoing     bool // there is a page of what will be sent
	V            any
}

// partialHeader asks for a page's content without its frame.
const partialHeader = "Teiten-Partial"

// render writes the view. Nothing is sent if a template fails.
func (s *Server) render(w http.ResponseWriter, r *http.Request, v *visit, status int, view string, data any) error {
	t := s.views.byLang[v.p.Lang()][view]
	if t == nil {
		return fmt.Errorf("render: no view %s", view)
	}
	p := page{Lang: v.p.Lang(), Path: r.URL.Path, Section: section(r.URL.Path), User: v.user, Flash: v.flash,
		MayChange: v.user != nil && v.user.MayChange(), MayLead: v.user != nil && v.user.MayLead(), Stop: v.stop, Inbox: v.inbox, Organisation: s.cfg.Organisation[v.p.Lang()], Contact: s.cfg.Contact,
		Version: s.cfg.Version, Mailbox: s.cfg.Mailbox, Outgoing: s.cfg.Planner != nil, V: data}
	p.Other = locale.English
	if p.Lang == locale.English {
		p.Other = locale.Japanese
	}
	query := r.URL.Query()
	query.Set("lang", p.Other)
	p.OtherURL = r.URL.Path + "?" + query.Encode()
	if r.Method != http.MethodGet {
		p.OtherURL = ""
	}
	name := "layout"
	if r.Header.Get(partialHeader) != "" {
		name = "content"
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, p); err != nil {
		return fmt.Errorf("render %s: %w", view, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	h.Add("Vary", partialHeader)
	h.Add("Vary", "Accept-Language")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // a reader who went away is no error
	return nil
}

// section returns the navigation entry that a path belongs to.
func section(p string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	if first == "aggregates" || first == "captures" { // views of the sources
		return "sources"
	}
	if first == "letters" {
		return "settings"
	}
	return first
}

// redirect sends the browser to a page after a change, with a line for the
// reader.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, to, flash string) error {
	if flash != "" {
		s.sessions.Put(r.Context(), sessionFlash, flash)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
