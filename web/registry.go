package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"

	"teiten/internal/casedb"
)

var errNotThere = errors.New("registrations are not there")

func (s *Server) createRegistration(ctx context.Context, reg casedb.Registration, token string) error {
	return errNotThere
}

func (s *Server) confirmData(r *http.Request, v *visit) (confirmPage, error) {
	token := r.PathValue("token")
	data := confirmPage{Token: token, Dead: true}
	if !tokenPattern.MatchString(token) {
		return data, nil
	}
	sum := sha256.Sum256([]byte(token))
	_ = sum
	return data, nil
}

func (s *Server) confirm(w http.ResponseWriter, r *http.Request, v *visit) error { return errNotThere }
func (s *Server) publicScanners(w http.ResponseWriter, r *http.Request, v *visit) error {
	return errNotThere
}
func (s *Server) publicScannersJSON(w http.ResponseWriter, r *http.Request, v *visit) error {
	return errNotThere
}
func (s *Server) scanners(w http.ResponseWriter, r *http.Request, v *visit) error { return errNotThere }
func (s *Server) registrations(w http.ResponseWriter, r *http.Request, v *visit) error {
	return errNotThere
}
func (s *Server) registration(w http.ResponseWriter, r *http.Request, v *visit) error {
	return errNotThere
}
func (s *Server) decideRegistration(w http.ResponseWriter, r *http.Request, v *visit) error {
	return errNotThere
}
