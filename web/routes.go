package web

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"teiten/internal/casedb"
)

// confirmPath is where mailed links lead; the token follows it.
const confirmPath = "/register/confirm/"

// router adds a route.
type router func(pattern string, h http.Handler)

// routes is the whole site. Public pages need no login; desk pages any user;
// coordinator routes one who may change things.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := router(mux.Handle)
	s.routeMachines(mux)
	s.routePublic(handle)
	s.routeCases(handle)
	s.routeSources(handle)
	s.routeMail(handle)
	s.routeOwners(handle)
	s.routeSettings(handle)
	handle("/", s.public(func(http.ResponseWriter, *http.Request, *visit) error { return casedb.ErrNotFound }))
	return mux
}

// routeMachines adds what programs ask for.
func (s *Server) routeMachines(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if s.cfg.Registry != nil {
		mux.Handle("GET /metrics", s.metrics(promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{})))
	}
	mux.HandleFunc("GET /assets/{hash}/{name}", s.asset)
	mux.HandleFunc("GET /robots.txt", robots)
}

// routePublic adds what needs no login: everybody's pages, and those of owners
// who have the link in a mail.
func (s *Server) routePublic(handle router) {
	// Everybody.
	handle("GET /login", s.public(s.loginForm))
	handle("POST /login", s.public(s.login))
	handle("POST /logout", s.public(s.logout))
	handle("GET /public/scanners", s.public(s.publicScanners))
	handle("GET /public/scanners.json", s.public(s.publicScannersJSON))
	handle("GET /register", s.public(s.registerForm))
	handle("POST /register", s.public(s.register))
	handle("GET /register/done", s.public(s.registerDone))
	handle("GET "+confirmPath+"{token}", s.public(s.confirmForm))
	handle("POST "+confirmPath+"{token}", s.public(s.confirm))

	// Owners, with the link in a mail.
	handle("GET "+ownerPath+"{token}", s.byLink(s.ownerShow))
	handle("POST "+ownerPath+"{token}", s.byLink(s.ownerSay))
}

// routeCases adds the case queue, cases and what became of them.
func (s *Server) routeCases(handle router) {
	// The case queue and cases.
	handle("GET /{$}", s.desk(s.home))
	handle("GET /cases", s.desk(s.cases))
	handle("GET /cases/{number}", s.desk(s.caseShow))
	handle("POST /cases/{number}/messages/{id}/{verb}", s.coordinator(s.messageAction))
	handle("POST /cases/{number}/{verb}", s.coordinator(s.caseAction))

	// The effect of the mails.
	handle("GET /effect", s.desk(s.effect))
	handle("GET /effect/{file}", s.desk(s.effectFile))

	// Findings of owners.
	handle("GET /findings", s.desk(s.findings))
	handle("GET /findings/{file}", s.desk(s.findingsFile))
}

// routeSources adds the sources and what many of them show together.
func (s *Server) routeSources(handle router) {
	handle("GET /sources", s.desk(s.sources))
	handle("GET /sources/windows", s.desk(s.windows))
	handle("GET /sources/{address}", s.desk(s.source))
	handle("GET /aggregates", s.desk(s.aggregates))
	handle("GET /aggregates/{id}", s.desk(s.aggregate))
	handle("GET /captures", s.desk(s.captures))
	handle("POST /captures/{id}", s.coordinator(s.decideOverlap))
}

// routeMail adds what goes out and comes in, and the letters' texts.
func (s *Server) routeMail(handle router) {
	// Mail.
	handle("GET /outgoing", s.desk(s.outgoing))
	handle("GET /digests/{id}", s.desk(s.digest))
	handle("GET /mailbox", s.desk(s.mailbox))
	handle("GET /mailbox/{id}", s.desk(s.mailboxMail))
	handle("POST /mailbox/{id}/{verb}", s.coordinator(s.mailboxAnswer))
	handle("GET /unmatched", s.desk(s.unmatched))
	handle("POST /unmatched/{id}", s.coordinator(s.fileInbound))
	handle("POST /inbound/{id}/files/{n}", s.coordinator(s.inboundFile))

	// Letters.
	handle("GET /letters", s.desk(s.letters))
	handle("GET /letters/{name}", s.desk(s.letterShow))
	handle("POST /letters/{name}", s.coordinator(s.letterWrite))
	handle("POST /letters/{name}/choose", s.coordinator(s.letterChoose))
}

// routeOwners adds owners and their contacts, scanners and registrations.
func (s *Server) routeOwners(handle router) {
	// Scanners and registrations.
	handle("GET /scanners", s.desk(s.scanners))
	handle("POST /scanners/{id}/end", s.coordinator(s.endScanner))
	handle("GET /registrations", s.desk(s.registrations))
	handle("GET /registrations/{id}", s.desk(s.registration))
	handle("POST /registrations/{id}", s.coordinator(s.decideRegistration))

	// Owners, and the directory of contacts.
	handle("GET /owners", s.desk(s.owners))
	handle("GET /owners/{id}", s.desk(s.ownerDesk))
	handle("GET /contacts", s.desk(s.directory))
	handle("POST /contacts", s.coordinator(s.putDirectoryEntry))
	handle("GET /contacts/contacts.csv", s.desk(s.directoryCSV))
	handle("GET /contacts/{id}", s.desk(s.directoryEntry))
	handle("POST /contacts/{id}", s.coordinator(s.putDirectoryEntry))
	handle("POST /contacts/{id}/end", s.coordinator(s.endDirectoryEntry))
}

// routeSettings adds the settings.
func (s *Server) routeSettings(handle router) {
	handle("GET /settings", s.desk(s.settings))
	handle("POST /settings/language", s.desk(s.setLanguage))
	handle("POST /settings/sending", s.coordinator(s.setSending))
	handle("POST /settings/rules", s.lead(s.setRule))
	handle("POST /settings/release", s.lead(s.releaseHeld))
	handle("POST /settings/suppressions", s.coordinator(s.liftSuppression))
}

func (s *Server) home(w http.ResponseWriter, r *http.Request, _ *visit) error {
	return s.redirect(w, r, "/cases", "")
}

// robots keeps search engines to the public pages.
func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("User-agent: *\nAllow: /public/\nDisallow: /\n"))
}
