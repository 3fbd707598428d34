package web

import (
	"net/http"

	"golang.org/x/text/language"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// languageCookie remembers what a visitor chose with ?lang=.
const languageCookie = "lang"

// language chooses the language of the answer: what was chosen in this browser
// (?lang= or the cookie that remembers it), the user's setting,
// Accept-Language, the configured one.
func (s *Server) language(r *http.Request, user *casedb.User) string {
	if lang := r.URL.Query().Get("lang"); locale.Supported(lang) {
		return lang
	}
	if c, err := r.Cookie(languageCookie); err == nil && locale.Supported(c.Value) {
		return c.Value
	}
	if user != nil && locale.Supported(user.Language) {
		return user.Language
	}
	if h := r.Header.Get("Accept-Language"); h != "" && len(h) < 500 {
		tags, _, err := language.ParseAcceptLanguage(h)
		if err == nil {
			for _, tag := range tags {
				if base, _ := tag.Base(); locale.Supported(base.String()) {
					return base.String()
				}
			}
		}
	}
	return s.cfg.Language
}

// rememberLanguage keeps ?lang= for the next pages.
func (s *Server) rememberLanguage(w http.ResponseWriter, r *http.Request) {
	if lang := r.URL.Query().Get("lang"); locale.Supported(lang) {
		s.setLanguageCookie(w, lang)
	}
}

func (s *Server) setLanguageCookie(w http.ResponseWriter, lang string) {
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.sessions.Cookie.Secure})
}
