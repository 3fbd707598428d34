package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// loginPage is the data of view login.
type loginPage struct {
	Name  string
	Next  string
	Error string // key of the catalogue
}

// loginURL returns the login page that leads back to the request's page.
func loginURL(r *http.Request) string {
	if r.URL.Path == "/" {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(r.URL.RequestURI())
}

// safeNext returns the page to go to after a login: one of ours, never another
// site.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "/log") {
		return "/cases"
	}
	return next
}

func (s *Server) loginForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	next := safeNext(r.URL.Query().Get("next"))
	if v.user != nil {
		return s.redirect(w, r, next, "")
	}
	return s.render(w, r, v, http.StatusOK, "login", loginPage{Next: next})
}

// login checks name and password. An unknown user, a disabled one and a wrong
// password take the same time and get the same answer. Wrong passwords are
// counted by account and address: that pair is refused after a while, the
// account from other addresses, and other accounts from the address, are only
// slowed down.
func (s *Server) login(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errForm
	}
	form := loginPage{Name: casedb.CleanLine(r.PostForm.Get("name"), 64), Next: safeNext(r.PostForm.Get("next"))}
	name := casedb.UserName(form.Name)
	address := addressKey(s.clientAddr(r))
	switch limited, err := s.limits.beginLogin(r.Context(), address, name, v.now); {
	case err != nil:
		return err
	case limited:
		form.Error = "login.limited"
		w.Header().Set("Retry-After", "60")
		return s.render(w, r, v, http.StatusTooManyRequests, "login", form)
	}
	hash := ""
	user, err := s.db.UserByName(r.Context(), name)
	switch {
	case err == nil && user.DisabledAt == nil:
		hash = user.PasswordHash
	case err != nil && !errors.Is(err, casedb.ErrNotFound):
		return err
	}
	ok, err := s.pass.check(r.Context(), hash, r.PostForm.Get("password"))
	if err != nil {
		return err
	}
	if !ok {
		s.limits.wrongPassword(name, v.now)
		s.log.WarnContext(r.Context(), "login refused", "user", name)
		form.Error = "login.wrong"
		return s.render(w, r, v, http.StatusUnauthorized, "login", form)
	}
	s.limits.rightPassword(address, name, v.now)
	ctx := r.Context()
	// A fresh token, so that one planted before the login is worth nothing.
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	s.sessions.Put(ctx, sessionUser, user.ID)
	s.sessions.Put(ctx, sessionProof, proof(&user))
	if err := s.db.RecordLogin(ctx, user.ID, v.now); err != nil {
		return err
	}
	if _, err := s.db.ExpireSessions(ctx, v.now, 1000); err != nil {
		s.log.WarnContext(ctx, "expired sessions stay", "err", err)
	}
	s.log.InfoContext(ctx, "login", "user", user.Name)
	return s.redirect(w, r, form.Next, "")
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ *visit) error {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	return s.redirect(w, r, "/login", "")
}

// setLanguage keeps the language a user wants.
func (s *Server) setLanguage(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return errForm
	}
	lang := r.PostForm.Get("language")
	if !locale.Supported(lang) {
		return errForm
	}
	if err := s.db.SetUserLanguage(r.Context(), v.user.ID, lang); err != nil {
		return err
	}
	// It is the newest choice in this browser, too.
	s.setLanguageCookie(w, lang)
	return s.redirect(w, r, safeNext(r.PostForm.Get("next")), "")
}
