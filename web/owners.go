package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
)

// health is what became of the mail to the addresses of a page.
type health map[string]casedb.ContactHealth

// For returns the health of a mail address.
func (h health) For(address string) casedb.ContactHealth { return h[casedb.BaseAddress(address)] }

func (s *Server) health(ctx context.Context, addresses []string, now time.Time) (health, error) {
	return s.db.ContactsHealth(ctx, addresses, now)
}

// ownersPage is the data of view owners.
type ownersPage struct {
	Text string
	Rows []casedb.OwnerRow
	Next string
}

// owners lists the owners, those with most open cases first.
func (s *Server) owners(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	data := ownersPage{Text: casedb.CleanLine(q.Get("q"), 200)}
	rows, err := s.db.ListOwners(r.Context(), data.Text, ownerCursor(q.Get("after")), pageSize+1)
	if err != nil {
		return err
	}
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		last := rows[pageSize-1]
		data.Next = "/owners?" + url.Values{"q": {data.Text}, "after": {fmt.Sprintf("%d-%d", last.Open, last.ID)}}.Encode()
	}
	data.Rows = rows
	return s.render(w, r, v, http.StatusOK, "owners", data)
}

// ownerCursor reads a place in the list of owners; nonsense is its start.
func ownerCursor(text string) casedb.OwnerCursor {
	open, id, _ := strings.Cut(text, "-")
	n, err := strconv.ParseInt(open, 10, 32)
	if k := idCursor(id); err == nil && n >= 0 && k > 0 {
		return casedb.OwnerCursor{Open: int(n), ID: k}
	}
	return casedb.OwnerCursor{}
}

// ownerDeskPage is the data of view owner-desk.
type ownerDeskPage struct {
	casedb.OwnerDesk
	Health health
	Older  string // URL of older mails
}

// ownerDesk shows what we know of an owner.
func (s *Server) ownerDesk(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	ctx := r.Context()
	var before casedb.OwnerMailCursor
	at, key, _ := strings.Cut(r.URL.Query().Get("before"), "-")
	if micros := idCursor(at); micros > 0 && micros < 1<<53 {
		before = casedb.OwnerMailCursor{At: time.UnixMicro(micros), Key: idCursor(key)}
	}
	var data ownerDeskPage
	if data.OwnerDesk, err = s.db.OwnerDesk(ctx, id, before, pageSize); err != nil {
		return err
	}
	if data.More {
		last := data.Mails[len(data.Mails)-1]
		data.Older = fmt.Sprintf("/owners/%d?before=%d-%d#mails", id, last.At.UnixMicro(), last.Key)
	}
	addresses := make([]string, len(data.Contacts))
	for i, c := range data.Contacts {
		addresses[i] = c.Email
	}
	if data.Health, err = s.health(ctx, addresses, v.now); err != nil {
		return err
	}
	return s.render(w, r, v, http.StatusOK, "owner-desk", data)
}
