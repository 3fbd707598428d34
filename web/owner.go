package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/notify"
)

// ownerPath is where the link in a mail leads; its token follows.
const ownerPath = "/o/"

const (
	ownerRows = 500
	// ownerQuiet is how long nothing must have been seen of a source before the
	// page says so.
	ownerQuiet = 3 * 24 * time.Hour
	maxComment = 4000
)

// ownerPage is the data of view owner.
type ownerPage struct {
	Token   string
	Dead    bool // no such link, or no longer
	Page    casedb.OwnerPage
	Rows    []ownerRow
	LeftOut int
	Paused  bool
	Said    casedb.OwnerAct // what was just recorded
	Other   string          // the language that the next mails are not in
	Form    form
	Errors  map[string]string
	Pauses  []int // days

	Label                 casedb.TLP
	We, Authority, Verify string // who writes; who we are and how to check us, empty: not set
}

// ownerRow is what one source of the owner sent to one port.
type ownerRow struct {
	casedb.LetterRow
	Quiet bool
}

// byLink is a route for a visitor with the link in a mail: no session, no cookie,
// nothing that tells one reader from another, and nothing that another page
// could learn the link from.
func (s *Server) byLink(a action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		v := s.stranger(r)
		if !s.mayFollow(r, v.now) {
			s.fail(w, r, v, errBusy)
			return
		}
		if err := a(w, r, v); err != nil {
			s.fail(w, r, v, err)
		}
	})
}

// mayFollow bounds what one address may ask for: so many pages of each link
// that we made, and so many that we did not. Neither takes from the other, nor
// one link from the next, since mail scanners follow all the links of many
// owners from one address, and an owner can share an address with a person who guesses.
func (s *Server) mayFollow(r *http.Request, now time.Time) bool {
	address := addressKey(s.clientAddr(r))
	if token, ok := s.pageToken(r); ok {
		return s.limits.owner.Take(address+" "+strconv.FormatInt(token.Message, 10), 1, now)
	}
	return s.limits.ownerGuess.Take(address, 1, now)
}

// ownerShow shows an owner the evidence. Mail scanners follow links, so it
// changes nothing.
func (s *Server) ownerShow(w http.ResponseWriter, r *http.Request, v *visit) error {
	said := casedb.OwnerAct(r.URL.Query().Get("said"))
	if !slices.Contains(casedb.OwnerActs, said) {
		said = ""
	}
	return s.renderOwner(w, r, v, http.StatusOK, ownerPage{Said: said})
}

// ownerSay records what an owner says.
func (s *Server) ownerSay(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errForm
	}
	id, ok, err := s.pageMessage(r)
	if err != nil {
		return err
	}
	if !ok {
		return s.renderOwner(w, r, v, http.StatusNotFound, ownerPage{})
	}
	said, problems := readStatement(r.PostForm)
	if len(problems) > 0 {
		return s.renderOwner(w, r, v, http.StatusUnprocessableEntity, ownerPage{Form: form{Name: "owner", Values: r.PostForm}, Errors: problems})
	}
	err = s.db.InTx(r.Context(), func(tx *casedb.Tx) error { return tx.OwnerSays(r.Context(), id, said, v.now) })
	switch {
	case errors.Is(err, casedb.ErrNotFound):
		return s.renderOwner(w, r, v, http.StatusNotFound, ownerPage{})
	case errors.Is(err, casedb.ErrState):
		return errBusy
	case err != nil:
		return err
	}
	s.log.InfoContext(r.Context(), "owner said", "message", id, "act", said.Act)
	query := url.Values{"said": {string(said.Act)}}
	if lang := r.URL.Query().Get("lang"); locale.Supported(lang) {
		query.Set("lang", lang)
	}
	http.Redirect(w, r, ownerPath+r.PathValue("token")+"?"+query.Encode(), http.StatusSeeOther)
	return nil
}

// readStatement reads the form; problems are keys of lines by field.
func readStatement(f url.Values) (said casedb.OwnerStatement, problems map[string]string) {
	problems = make(map[string]string)
	said.Act = casedb.OwnerAct(f.Get("act"))
	if !slices.Contains(casedb.OwnerActs, said.Act) {
		problems["act"] = "invalid.form"
	}
	var ok bool
	if said.Text, ok = typedText(f.Get("comment"), maxComment); !ok {
		problems["comment"] = "invalid.toolong"
	}
	switch said.Act {
	case casedb.OwnerContact:
		if said.Email, ok = parseEmail(f.Get("email")); !ok {
			problems["email"] = "invalid.email"
		}
	case casedb.OwnerPause:
		days, err := strconv.Atoi(f.Get("days"))
		if err != nil || !slices.Contains(pauseDays, days) {
			problems["days"] = "invalid.form"
		}
		said.Pause = time.Duration(days) * 24 * time.Hour
	case casedb.OwnerLanguage:
		if said.NewLang = f.Get("language"); !locale.Supported(said.NewLang) {
			problems["language"] = "invalid.form"
		}
	}
	return said, problems
}

// pauseDays are the pauses an owner can choose from.
var pauseDays = []int{7, 30, 90}

// pageToken is the token in the address, if we made it for whatever message had
// its number.
func (s *Server) pageToken(r *http.Request) (notify.Token, bool) {
	token := r.PathValue("token")
	if s.cfg.Composer == nil || len(token) > 100 {
		return notify.Token{}, false
	}
	return s.cfg.Composer.Tokens().PageToken(token)
}

// pageMessage returns the message that the address is about.
func (s *Server) pageMessage(r *http.Request) (id int64, ok bool, err error) {
	token, ok := s.pageToken(r)
	if !ok {
		return 0, false, nil
	}
	m, err := s.db.MessageProof(r.Context(), token.Message)
	switch {
	case errors.Is(err, casedb.ErrNotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	return m.ID, s.cfg.Composer.Tokens().Proves(token, &m), nil
}

// renderOwner fills in the page and shows it: in the language of the mail,
// unless the reader asks for the other one.
func (s *Server) renderOwner(w http.ResponseWriter, r *http.Request, v *visit, status int, data ownerPage) error {
	data.Token, data.Pauses = r.PathValue("token"), pauseDays
	id, ok, err := s.pageMessage(r)
	if err != nil {
		return err
	}
	if ok {
		data.Page, err = s.db.OwnerPage(r.Context(), id)
		if err != nil && !errors.Is(err, casedb.ErrNotFound) {
			return err
		}
		ok = err == nil && data.Page.Works(v.now)
	}
	if !ok {
		data.Dead = true
		return s.render(w, r, v, http.StatusNotFound, "owner", data)
	}
	if !locale.Supported(r.URL.Query().Get("lang")) {
		v.p = s.catalog.Printer(data.Page.Language)
	}
	lang := v.p.Lang()
	data.Label, data.We = s.label(data.Page.TLP), s.cfg.Organisation[lang]
	data.Authority, data.Verify = s.cfg.Authority[lang], s.cfg.Verify[lang]
	data.Other = locale.English
	if data.Page.WriteIn == locale.English {
		data.Other = locale.Japanese
	}
	data.Paused = data.Page.PausedUntil != nil && v.now.Before(*data.Page.PausedUntil)
	if err := s.ownerEvidence(r.Context(), &data, v.now); err != nil {
		return err
	}
	return s.render(w, r, v, status, "owner", data)
}

// ownerEvidence collects what the mail's sources sent, up to now.
func (s *Server) ownerEvidence(ctx context.Context, data *ownerPage, now time.Time) error {
	scope := data.Page.Scope(now)
	groups, err := s.db.LetterGroups(ctx, scope)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, g := range groups { // one per rule; a malware's rows come together
		if seen[g.Malware] {
			continue
		}
		seen[g.Malware] = true
		rows, err := s.db.LetterTable(ctx, scope, g.Malware, data.Page.SentAt.Add(-31*24*time.Hour), now, ownerRows)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if len(data.Rows) < ownerRows {
				data.Rows = append(data.Rows, ownerRow{row, now.Sub(row.Last) > ownerQuiet})
			}
		}
		if len(rows) > 0 {
			data.LeftOut += rows[0].Total
		}
	}
	data.LeftOut -= len(data.Rows)
	slices.SortStableFunc(data.Rows, func(a, b ownerRow) int { return strings.Compare(a.Source.String(), b.Source.String()) })
	return nil
}

// endOwnerLink ends the link of a mail, for a coordinator.
func (s *Server) endOwnerLink(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	id, err := strconv.ParseInt(a.values.Get("message"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	reason, err := a.reason("reason")
	if err != nil {
		return err
	}
	page, err := tx.OwnerPage(ctx, id)
	if err != nil {
		return err
	}
	if page.CaseID != a.c.ID {
		return casedb.ErrNotFound
	}
	if _, err := a.locked(ctx, tx); err != nil {
		return err
	}
	return tx.EndOwnerLink(ctx, id, a.v.user.Name, reason, a.v.now)
}
