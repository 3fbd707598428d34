package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

// createRegistration writes the request and the mail with its link in one
// transaction.
func (s *Server) createRegistration(ctx context.Context, reg casedb.Registration, token string) error {
	subject, body, err := s.cfg.Composer.Confirmation(reg.Language, notify.Registration{Organisation: reg.Organisation,
		Prefixes: reg.Prefixes, Link: s.cfg.BaseURL + confirmPath + token, Valid: confirmWithin})
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(tx *casedb.Tx) error {
		created, err := tx.CreateRegistration(ctx, reg)
		if err != nil {
			return err
		}
		return s.mailResearcher(ctx, tx, created, casedb.PurposeConfirmation, subject, body, "teiten", reg.CreatedAt)
	})
}

// confirmationFits reports whether the mail to an address would go out before its
// link is dead. A request whose mail cannot is refused, rather than kept.
func (s *Server) confirmationFits(ctx context.Context, email string) (bool, error) {
	if s.cfg.Planner == nil {
		return true, nil
	}
	_, domain, _ := strings.Cut(email, "@")
	return s.db.ConfirmationFits(ctx, s.cfg.Planner.Limits, domain, confirmWithin)
}

// mailResearcher writes a mail about a registration, due at once.
func (s *Server) mailResearcher(ctx context.Context, tx *casedb.Tx, reg casedb.Registration, purpose casedb.Purpose,
	subject, body, by string, now time.Time) error {
	m := casedb.Message{RegistrationID: &reg.ID, Purpose: purpose, State: casedb.MessageQueued, Reason: string(purpose),
		Recipient: reg.Email, Language: reg.Language, Subject: subject, Body: body, NextAttemptAt: &now, CreatedAt: now}
	m.HeaderID, m.Token = casedb.NewIdentity(s.cfg.MailDomain)
	_, err := tx.InsertMessage(ctx, m, by)
	return err
}

// confirmData finds the request that a mailed link belongs to.
func (s *Server) confirmData(r *http.Request, v *visit) (confirmPage, error) {
	data := confirmPage{Token: r.PathValue("token"), Dead: true}
	if s.cfg.Registration.Closed || !tokenPattern.MatchString(data.Token) {
		return data, nil
	}
	if !s.limits.confirm.Take(addressKey(s.clientAddr(r)), 1, v.now) {
		return data, errBusy
	}
	sum := sha256.Sum256([]byte(data.Token))
	reg, err := s.db.RegistrationByDigest(r.Context(), sum[:])
	if errors.Is(err, casedb.ErrNotFound) {
		return data, nil
	}
	if err != nil {
		return data, err
	}
	data.Registration = reg
	data.Done = reg.State != casedb.RegistrationUnconfirmed
	data.Dead = !data.Done && !v.now.Before(reg.ConfirmUntil)
	return data, nil
}

// confirm takes the press of the button: the mail address works, so the
// request goes to the coordinators.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.confirmData(r, v)
	if err != nil {
		return err
	}
	if data.Dead {
		return s.render(w, r, v, http.StatusNotFound, "confirm", data)
	}
	sum := sha256.Sum256([]byte(data.Token))
	if _, err := s.db.ConfirmRegistration(r.Context(), sum[:], v.now); err != nil && !errors.Is(err, casedb.ErrState) {
		return err
	}
	return s.redirect(w, r, confirmPath+data.Token, "")
}

// scannersPage is the data of views public and scanners.
type scannersPage struct {
	Scanners []casedb.Scanner
	Next     string
	Form     form // Name is the entry's id
	Now      time.Time
}

// Ends reports whether the entry is, or will be, in force.
func (p scannersPage) Ends(e casedb.Scanner) bool { return e.ValidTo == nil || e.ValidTo.After(p.Now) }

func (s *Server) scannerList(r *http.Request, f casedb.ScannerFilter, path string) (scannersPage, error) {
	after := idCursor(r.URL.Query().Get("after"))
	list, more, err := s.db.ListScanners(r.Context(), f, after, pageSize)
	data := scannersPage{Scanners: list}
	if more && len(list) > 0 {
		data.Next = path + "?after=" + strconv.FormatInt(list[len(list)-1].ID, 10)
	}
	return data, err
}

// publicScanners shows everybody who registered as an acknowledged scanner.
func (s *Server) publicScanners(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.scannerList(r, casedb.ScannerFilter{List: casedb.ListRegistration, At: v.now}, "/public/scanners")
	if err != nil {
		return err
	}
	return s.render(w, r, v, http.StatusOK, "public", data)
}

// publicScanner is an entry of /public/scanners.json.
type publicScanner struct {
	Organisation string     `json:"organisation"`
	Prefix       string     `json:"prefix"`
	Purpose      string     `json:"purpose"`
	URL          string     `json:"url,omitempty"`
	Ports        []string   `json:"ports,omitempty"` // as declared; none: not declared
	ValidFrom    *time.Time `json:"valid_from,omitempty"`
	ValidTo      *time.Time `json:"valid_to,omitempty"`
}

// maxPublic bounds how many entries are published at once.
const maxPublic = 10_000

// publicScannersJSON is publicScanners for programs: {"scanners": [...]}.
func (s *Server) publicScannersJSON(w http.ResponseWriter, r *http.Request, v *visit) error {
	list, more, err := s.db.ListScanners(r.Context(), casedb.ScannerFilter{List: casedb.ListRegistration, At: v.now}, 0, maxPublic)
	if err != nil {
		return err
	}
	out := struct {
		Scanners  []publicScanner `json:"scanners"`
		Truncated bool            `json:"truncated,omitempty"`
	}{Scanners: make([]publicScanner, 0, len(list)), Truncated: more}
	for _, e := range list {
		out.Scanners = append(out.Scanners, publicScanner{Organisation: e.Organisation, Prefix: e.Prefix.String(), Purpose: e.Purpose,
			URL: e.URL, Ports: e.Ports.Names(), ValidFrom: utc(e.ValidFrom), ValidTo: utc(e.ValidTo)})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = w.Write(append(b, '\n')) // a reader who went away is no error
	return nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// scanners shows the whole allowlist.
func (s *Server) scanners(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderScanners(w, r, v, http.StatusOK, form{})
}

// endScanner takes an entry out of the allowlist: it ends now, and what was
// judged by it is judged again. The reason goes to the log.
func (s *Server) endScanner(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	reason, err := caseArgs{values: r.PostForm}.reason("reason")
	var entry casedb.Scanner
	if err == nil {
		err = s.db.InTx(ctx, func(tx *casedb.Tx) error {
			entry, err = tx.EndScanner(ctx, id, v.user.Name, v.now)
			return err
		})
	}
	if key, status, ok := refused(err); ok {
		return s.renderScanners(w, r, v, status, form{Name: strconv.FormatInt(id, 10), Values: r.PostForm, Error: key})
	}
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "allowlist entry ended", "scanner", id, "prefix", entry.Prefix.String(), "list", entry.List,
		"organisation", entry.Organisation, "user", v.user.Name, "reason", reason)
	return s.redirect(w, r, "/scanners", v.p.T("done.ended"))
}

func (s *Server) renderScanners(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	data, err := s.scannerList(r, casedb.ScannerFilter{}, "/scanners")
	if err != nil {
		return err
	}
	data.Form, data.Now = f, v.now
	return s.render(w, r, v, status, "scanners", data)
}

// registrationsPage is the data of view registrations.
type registrationsPage struct {
	State  casedb.RegistrationState
	States []casedb.RegistrationState
	Rows   []casedb.Registration
	Next   string
}

// registrationPage is the data of view registration.
type registrationPage struct {
	Registration casedb.Registration
	Prefixes     []casedb.PrefixPage
	Suspicious   bool // one of Prefixes is
	Form         form
}

// registrations lists the requests in a state, those that wait for a decision
// unless asked otherwise.
func (s *Server) registrations(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	data := registrationsPage{State: casedb.RegistrationPending, States: []casedb.RegistrationState{casedb.RegistrationPending,
		casedb.RegistrationUnconfirmed, casedb.RegistrationAccepted, casedb.RegistrationRejected}}
	for _, state := range data.States {
		if q.Get("state") == string(state) {
			data.State = state
		}
	}
	after := idCursor(q.Get("after"))
	rows, more, err := s.db.ListRegistrations(r.Context(), data.State, after, pageSize)
	if err != nil {
		return err
	}
	data.Rows = rows
	if more && len(rows) > 0 {
		data.Next = "/registrations?state=" + string(data.State) + "&after=" + strconv.FormatInt(rows[len(rows)-1].ID, 10)
	}
	return s.render(w, r, v, http.StatusOK, "registrations", data)
}

// registration shows one request.
func (s *Server) registration(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderRegistration(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderRegistration(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	reg, err := s.db.Registration(r.Context(), id)
	if err != nil {
		return err
	}
	data := registrationPage{Registration: reg, Form: f}
	if data.Prefixes, err = s.db.RegistrationPrefixes(r.Context(), reg); err != nil {
		return err
	}
	data.Suspicious = slices.ContainsFunc(data.Prefixes, casedb.PrefixPage.Suspicious)
	return s.render(w, r, v, status, "registration", data)
}

// decideRegistration accepts or rejects a request and mails the researcher.
func (s *Server) decideRegistration(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	accept := r.PostForm.Get("decision") == "accept"
	if !accept && r.PostForm.Get("decision") != "reject" {
		return errForm
	}
	f := form{Name: "decide", Values: r.PostForm}
	reason, err := caseArgs{values: r.PostForm}.reason("reason")
	if key, status, ok := refused(err); ok {
		f.Error = key
		return s.renderRegistration(w, r, v, status, f)
	}
	err = s.db.InTx(ctx, func(tx *casedb.Tx) error {
		decide := tx.RejectRegistration
		if accept {
			decide = tx.AcceptRegistration
		}
		reg, err := decide(ctx, id, v.user.Name, reason, v.now)
		if err != nil || s.cfg.Composer == nil {
			return err
		}
		subject, body, err := s.cfg.Composer.Decision(reg.Language, notify.Registration{Organisation: reg.Organisation,
			Prefixes: reg.Prefixes, Accepted: accept, Reason: reason})
		if err != nil {
			return err
		}
		return s.mailResearcher(ctx, tx, reg, casedb.PurposeDecision, subject, body, v.user.Name, v.now)
	})
	if key, status, ok := refused(err); ok {
		f.Error = key
		return s.renderRegistration(w, r, v, status, f)
	}
	if err != nil {
		return err
	}
	s.wake()
	done := "done.rejected"
	if accept {
		done = "done.accepted"
	}
	s.log.InfoContext(ctx, "registration decided", "accepted", accept, "user", v.user.Name)
	return s.redirect(w, r, "/registrations/"+strconv.FormatInt(id, 10), v.p.T(done))
}
