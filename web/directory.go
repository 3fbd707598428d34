package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/directoryfile"
	"teiten/notify"
)

// directoryHistory bounds the history of an entry that is shown.
const directoryHistory = 50

// directoryPage is the data of view directory.
type directoryPage struct {
	Text   string
	Scope  casedb.DirectoryScope
	Scopes []casedb.DirectoryScope
	Rows   []casedb.DirectoryEntry
	Next   string
	Form   form
	Health health
}

// entryPage is the data of view entry.
type entryPage struct {
	Entry   casedb.DirectoryEntry
	History []casedb.DirectoryEntry // of its target, the newest first
	Scopes  []casedb.DirectoryScope
	Form    form
	Health  health
}

// directory lists the contacts that coordinators entered.
func (s *Server) directory(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderDirectory(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderDirectory(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	q := r.URL.Query()
	data := directoryPage{Text: casedb.CleanLine(q.Get("q"), 200), Scopes: casedb.DirectoryScopes(), Form: f}
	for _, scope := range data.Scopes {
		if q.Get("scope") == string(scope) {
			data.Scope = scope
		}
	}
	filter := casedb.DirectoryFilter{Scope: data.Scope, Text: data.Text}
	if a, err := netip.ParseAddr(data.Text); err == nil {
		filter.Address, filter.Text = a.Unmap().WithZone(""), ""
	}
	rows, err := s.db.DirectoryEntries(r.Context(), filter, idCursor(q.Get("before")), pageSize+1)
	if err != nil {
		return err
	}
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		data.Next = "/contacts?" + url.Values{"q": {data.Text}, "scope": {string(data.Scope)},
			"before": {strconv.FormatInt(rows[pageSize-1].ID, 10)}}.Encode()
	}
	data.Rows = rows
	if data.Health, err = s.entriesHealth(r.Context(), rows, v.now); err != nil {
		return err
	}
	return s.render(w, r, v, status, "directory", data)
}

func (s *Server) entriesHealth(ctx context.Context, entries []casedb.DirectoryEntry, now time.Time) (health, error) {
	addresses := make([]string, len(entries))
	for i := range entries {
		addresses[i] = entries[i].Email
	}
	return s.health(ctx, addresses, now)
}

// directoryEntry shows an entry with its history.
func (s *Server) directoryEntry(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderEntry(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderEntry(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	data := entryPage{Scopes: casedb.DirectoryScopes(), Form: f}
	if data.Entry, err = s.db.DirectoryEntry(r.Context(), id); err != nil {
		return err
	}
	if data.History, err = s.db.DirectoryHistory(r.Context(), data.Entry.Scope, data.Entry.Target, directoryHistory); err != nil {
		return err
	}
	if data.Health, err = s.entriesHealth(r.Context(), data.History, v.now); err != nil {
		return err
	}
	return s.render(w, r, v, status, "entry", data)
}

// putDirectoryEntry writes an entry: a new one, or one that replaces the one
// for the same target.
func (s *Server) putDirectoryEntry(w http.ResponseWriter, r *http.Request, v *visit) error {
	var old casedb.DirectoryEntry // its page's
	if text := r.PathValue("id"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return casedb.ErrNotFound
		}
		if old, err = s.db.DirectoryEntry(r.Context(), id); err != nil {
			return err
		}
	}
	entry, err := s.typedEntry(r.PostForm, v.now)
	var id int64
	if err == nil {
		entry.ValidFrom, entry.ValidUntil = sameDay(entry.ValidFrom, old.ValidFrom), sameDay(entry.ValidUntil, old.ValidUntil)
		err = s.db.InTx(r.Context(), func(tx *casedb.Tx) error {
			var err error
			if old.ID != 0 {
				err = tx.ReplaceDirectoryEntry(r.Context(), old.ID, entry, v.user.Name, v.now)
			} else {
				_, err = tx.PutDirectoryEntries(r.Context(), []casedb.DirectoryEntry{entry}, v.user.Name, v.now)
			}
			if err != nil {
				return err
			}
			current, err := tx.DirectoryHistory(r.Context(), entry.Scope, entry.Target, 1)
			if err == nil {
				id = current[0].ID
			}
			return err
		})
	}
	if key, status, ok := refused(err); ok {
		if errors.Is(err, casedb.ErrStale) {
			key = "directory.stale"
		}
		f := form{Name: "entry", Values: r.PostForm, Error: key}
		if old.ID != 0 {
			return s.renderEntry(w, r, v, status, f)
		}
		return s.renderDirectory(w, r, v, status, f)
	}
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/contacts/"+strconv.FormatInt(id, 10), v.p.T("directory.done.saved"))
}

// sameDay is the old time if it is on the typed day: the form knows days only,
// and who changes something else leaves it as it is.
func sameDay(typed, old *time.Time) *time.Time {
	if typed != nil && old != nil && typed.Equal(old.UTC().Truncate(24*time.Hour)) {
		return old
	}
	return typed
}

// typedEntry reads the form of an entry.
func (s *Server) typedEntry(values url.Values, now time.Time) (casedb.DirectoryEntry, error) {
	e := casedb.DirectoryEntry{Scope: casedb.DirectoryScope(values.Get("scope")), Target: values.Get("target"), Country: values.Get("country"),
		Email: values.Get("email"), Name: values.Get("name"), Language: values.Get("language"), Format: values.Get("format"), Note: values.Get("note"), PGPKey: values.Get("key"), Digest: values.Get("digest") != "",
		Silent: values.Get("silent") != "", Networks: values.Get("networks") != ""}
	for field, into := range map[string]**time.Time{"from": &e.ValidFrom, "until": &e.ValidUntil} {
		if text := strings.TrimSpace(values.Get(field)); text != "" {
			t, err := time.Parse(time.DateOnly, text)
			if err != nil || t.Year() < 2000 || t.Year() > 9000 {
				return e, invalidError("directory.bad.days")
			}
			*into = &t
		}
	}
	err := e.Check()
	var bad casedb.EntryError
	switch {
	case errors.As(err, &bad):
		return e, invalidError("directory.bad." + bad.Code)
	case err == nil && notify.CheckPGPKey(e.PGPKey, now) != nil:
		return e, invalidError("directory.bad.key")
	case err == nil && s.notAnOwner(e.Email):
		return e, invalidError("invalid.notowner")
	}
	return e, err
}

// entryField is a field of an entry as its form shows it; empty without one.
func entryField(e any, field string) string {
	entry, ok := e.(casedb.DirectoryEntry)
	if !ok {
		return ""
	}
	day := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.DateOnly)
	}
	switch field {
	case "scope":
		return string(entry.Scope)
	case "email":
		return entry.Email
	case "name":
		return entry.Name
	case "language":
		return entry.Language
	case "format":
		return entry.Format
	case "key":
		return entry.PGPKey
	case "digest", "silent", "networks":
		if map[string]bool{"digest": entry.Digest, "silent": entry.Silent, "networks": entry.Networks}[field] {
			return "1"
		}
		return ""
	case "country":
		return entry.Country
	case "from":
		return day(entry.ValidFrom)
	case "until":
		return day(entry.ValidUntil)
	}
	return entry.Note
}

// endDirectoryEntry ends an entry.
func (s *Server) endDirectoryEntry(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	err = s.db.InTx(r.Context(), func(tx *casedb.Tx) error {
		return tx.EndDirectoryEntry(r.Context(), id, v.user.Name, v.now)
	})
	if errors.Is(err, casedb.ErrNotFound) {
		err = casedb.ErrState // it has ended meanwhile
	}
	if key, status, ok := refused(err); ok {
		return s.renderEntry(w, r, v, status, form{Name: "end", Values: r.PostForm, Error: key})
	}
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/contacts", v.p.T("directory.done.ended"))
}

// directoryCSV writes the directory as `teiten contact export` does.
func (s *Server) directoryCSV(w http.ResponseWriter, r *http.Request, _ *visit) error {
	var out bytes.Buffer
	csv, err := directoryfile.NewWriter(&out)
	if err != nil {
		return err
	}
	if err := s.db.EachDirectoryEntry(r.Context(), casedb.DirectoryFilter{}, 0, csv.Write); err != nil {
		return err
	}
	if err := csv.Flush(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="contacts.csv"`)
	_, _ = w.Write(out.Bytes()) // a reader who went away is no error
	return nil
}
