package web

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"teiten/internal/casedb"
)

// confirmWithin is how long a mailed link works.
const confirmWithin = 48 * time.Hour

// registerPage is the data of view register.
type registerPage struct {
	Form     form
	Errors   map[string]string // by field: key of the line
	Prefixes []prefixProblem
	Limits   RegistrationLimits
}

// confirmPage is the data of view confirm.
type confirmPage struct {
	Token        string
	Registration casedb.Registration
	Done         bool // confirmed already
	Dead         bool // no such link, or too late
}

// registerForm shows the page on which a researcher registers scanners.
func (s *Server) registerForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	if s.cfg.Registration.Closed {
		return casedb.ErrNotFound
	}
	return s.render(w, r, v, http.StatusOK, "register", registerPage{Limits: s.cfg.Registration})
}

// register takes a researcher's request. Nothing comes of it before the mailed
// link is followed, and nothing tells whether an address is known to us.
func (s *Server) register(w http.ResponseWriter, r *http.Request, v *visit) error {
	if s.cfg.Registration.Closed {
		return casedb.ErrNotFound
	}
	ctx := r.Context()
	if err := r.ParseForm(); err != nil {
		return errForm
	}
	if !s.limits.register.Take(addressKey(s.clientAddr(r)), 1, v.now) || !s.limits.registerAll.AllowN(v.now, 1) {
		return errBusy
	}
	data := registerPage{Form: form{Name: "register", Values: r.PostForm}, Errors: make(map[string]string), Limits: s.cfg.Registration}
	reg, prefixes := s.readRegistration(r.PostForm, &data)
	if len(data.Errors) > 0 || len(data.Prefixes) > 0 {
		data.Form.Error = "invalid.form"
		return s.render(w, r, v, http.StatusUnprocessableEntity, "register", data)
	}
	if !s.limits.registerMail.Take(strings.ToLower(reg.Email), 1, v.now) {
		return errBusy
	}
	if fits, err := s.confirmationFits(ctx, reg.Email); err != nil || !fits {
		return cmp.Or(err, errBusy)
	}
	for _, p := range prefixes {
		reg.Prefixes = append(reg.Prefixes, p.String())
	}
	token := strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(token))
	reg.ConfirmDigest, reg.ConfirmUntil = sum[:], v.now.Add(confirmWithin)
	reg.Language, reg.CreatedAt, reg.State = v.p.Lang(), v.now, casedb.RegistrationUnconfirmed
	if err := s.createRegistration(ctx, reg, token); err != nil {
		return err
	}
	s.wake()
	return s.redirect(w, r, "/register/done", "")
}

// readRegistration reads and checks the form.
func (s *Server) readRegistration(f url.Values, data *registerPage) (casedb.Registration, []netip.Prefix) {
	var reg casedb.Registration
	var ok bool
	var problem string
	if reg.Organisation, problem = parseOrganisation(f.Get("organisation")); problem != "" {
		data.Errors["organisation"] = problem
	}
	reg.Purpose, ok = typedText(f.Get("purpose"), maxReason)
	switch {
	case !ok:
		data.Errors["purpose"] = "invalid.toolong"
	case utf8.RuneCountInString(reg.Purpose) < 10:
		data.Errors["purpose"] = "invalid.purpose"
	}
	if reg.Email, ok = parseEmail(f.Get("email")); !ok {
		data.Errors["email"] = "invalid.email"
	}
	if reg.URL, ok = parseWebsite(f.Get("url")); !ok {
		data.Errors["url"] = "invalid.url"
	}
	var err error
	if reg.Ports, err = casedb.ParsePorts(f.Get("ports")); err != nil {
		data.Errors["ports"] = "invalid.ports"
	}
	var prefixes []netip.Prefix
	prefixes, data.Prefixes = parsePrefixes(f.Get("prefixes"), s.cfg.Registration)
	return reg, prefixes
}

// registerDone says that a mail is on its way.
func (s *Server) registerDone(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.render(w, r, v, http.StatusOK, "registered", nil)
}

// tokenPattern is what rand.Text gives, in lower case.
var tokenPattern = regexp.MustCompile(`^[a-z2-7]{26}$`)

// confirmForm shows what would be confirmed, with a button: mail scanners
// follow links, so following one changes nothing.
func (s *Server) confirmForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	data, err := s.confirmData(r, v)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if data.Dead {
		status = http.StatusNotFound
	}
	return s.render(w, r, v, status, "confirm", data)
}
