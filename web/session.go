package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"teiten/internal/casedb"
)

// sessionLifetime is how long a session lasts, used or not: a working day. An
// idle timeout would cost a write per page.
const sessionLifetime = 12 * time.Hour

// The keys of a session's values.
const (
	sessionUser  = "user" // id
	sessionProof = "proof"
	sessionFlash = "flash"
)

// sessionStore keeps sessions in table session under the digest of their
// token: a person who reads the table cannot take over a session.
type sessionStore struct {
	db  *casedb.DB
	now func() time.Time
}

func newSessions(db *casedb.DB, now func() time.Time, secure bool) *scs.SessionManager {
	m := scs.New()
	m.Store = sessionStore{db: db, now: now}
	m.Lifetime = sessionLifetime
	m.Cookie.Name = "teiten"
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Secure = secure
	m.Cookie.Persist = false
	return m
}

func digest(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// FindCtx implements scs.CtxStore.
func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return s.db.FindSession(ctx, digest(token), s.now())
}

// CommitCtx implements scs.CtxStore.
func (s sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.db.CommitSession(ctx, digest(token), data, expiry)
}

// DeleteCtx implements scs.CtxStore.
func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.db.DeleteSession(ctx, digest(token))
}

// errNoContext is returned by the methods of scs.Store that the session
// manager does not call on a store that takes a context.
var errNoContext = errors.New("session store: called without context")

// Find implements scs.Store.
func (s sessionStore) Find(string) ([]byte, bool, error) { return nil, false, errNoContext }

// Commit implements scs.Store.
func (s sessionStore) Commit(string, []byte, time.Time) error { return errNoContext }

// Delete implements scs.Store.
func (s sessionStore) Delete(string) error { return errNoContext }

// proof ties a session to the password it was opened with: a new password ends
// every session of the user.
func proof(u *casedb.User) string {
	sum := sha256.Sum256([]byte("session " + u.PasswordHash))
	return hex.EncodeToString(sum[:12])
}

// sessionUserOf returns the user of the request's session; nil if there is
// none, the user is disabled or their password has changed since.
func (s *Server) sessionUserOf(ctx context.Context) (*casedb.User, error) {
	id := s.sessions.GetInt64(ctx, sessionUser)
	if id == 0 {
		return nil, nil
	}
	u, err := s.db.User(ctx, id)
	if errors.Is(err, casedb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if u.DisabledAt != nil || s.sessions.GetString(ctx, sessionProof) != proof(&u) {
		return nil, nil
	}
	return &u, nil
}
