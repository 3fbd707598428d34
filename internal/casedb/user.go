package casedb

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Role is the set of rights of a user.
type Role string

// The roles, as in the CHECK constraint of table users.
const (
	RoleLead        Role = "lead"        // decides, and how far the program may decide
	RoleCoordinator Role = "coordinator" // decides
	RoleViewer      Role = "viewer"      // sees everything, changes nothing
)

// Roles lists every role.
var Roles = []Role{RoleLead, RoleCoordinator, RoleViewer}

// User is a person who logs in to the desk.
type User struct {
	ID           int64      `db:"id"`
	Name         string     `db:"name"` // what they log in with: lower case
	DisplayName  string     `db:"display_name"`
	Email        string     `db:"email"`
	PasswordHash string     `db:"password_hash"` // PHC string of argon2id
	Role         Role       `db:"role"`
	Language     string     `db:"language"`
	DisabledAt   *time.Time `db:"disabled_at"`
	CreatedAt    time.Time  `db:"created_at"`
	LastLoginAt  *time.Time `db:"last_login_at"`
}

// MayChange reports whether the user may change anything but their own
// settings.
func (u *User) MayChange() bool {
	return (u.Role == RoleCoordinator || u.Role == RoleLead) && u.DisabledAt == nil
}

// MayLead reports whether the user may change what the program does on its
// own.
func (u *User) MayLead() bool { return u.Role == RoleLead && u.DisabledAt == nil }

// Label returns how the user is called on pages.
func (u *User) Label() string {
	if u.DisplayName != "" {
		return u.DisplayName
	}
	return u.Name
}

const userColumns = `id, name, display_name, email, password_hash, role, language, disabled_at, created_at, last_login_at`

// UserName returns the form in which a user's name is stored and compared.
func UserName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// validUserName says why a name cannot be a user's.
func validUserName(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("user name must have 1 to 64 bytes")
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-@+", r) {
			return fmt.Errorf("user name must not contain %q", r)
		}
	}
	return nil
}

// CreateUser adds a user; ErrConflict if the name is taken.
func (q *Queries) CreateUser(ctx context.Context, u User, now time.Time) (User, error) {
	u.Name = UserName(u.Name)
	if err := validUserName(u.Name); err != nil {
		return u, fmt.Errorf("create user: %w", err)
	}
	err := q.q.GetContext(ctx, &u, `insert into users (name, display_name, email, password_hash, role, language, created_at)
		values ($1, $2, $3, $4, $5, $6, $7) returning `+userColumns,
		u.Name, CleanLine(u.DisplayName, 200), CleanLine(u.Email, 254), u.PasswordHash, u.Role, u.Language, now)
	return u, fail("create user", err)
}

// User returns the user with the id.
func (q *Queries) User(ctx context.Context, id int64) (User, error) {
	var u User
	err := q.q.GetContext(ctx, &u, `select `+userColumns+` from users where id = $1`, id)
	return u, fail("get user", err)
}

// UserByName returns the user with the name, disabled or not.
func (q *Queries) UserByName(ctx context.Context, name string) (User, error) {
	var u User
	err := q.q.GetContext(ctx, &u, `select `+userColumns+` from users where name = $1`, Clean(UserName(name), 0))
	return u, fail("get user by name", err)
}

// ListUsers returns at most limit users in order of name.
func (q *Queries) ListUsers(ctx context.Context, limit int) ([]User, error) {
	var u []User
	err := q.q.SelectContext(ctx, &u, `select `+userColumns+` from users order by name limit $1`, limit)
	return u, fail("list users", err)
}

// CountUsers returns the number of users who may log in.
func (q *Queries) CountUsers(ctx context.Context) (int, error) {
	var n int
	err := q.q.GetContext(ctx, &n, `select count(*) from users where disabled_at is null`)
	return n, fail("count users", err)
}

// SetPassword replaces a user's password hash; every session of the user ends
// by it, because sessions name the hash they were opened with.
func (q *Queries) SetPassword(ctx context.Context, name, hash string) error {
	return q.changeUser(ctx, "set password", `update users set password_hash = $2 where name = $1`, UserName(name), hash)
}

// SetUserLanguage sets the language a user sees the desk in.
func (q *Queries) SetUserLanguage(ctx context.Context, id int64, language string) error {
	return q.changeUser(ctx, "set language", `update users set language = $2 where id = $1`, id, language)
}

// SetUserRole sets the rights of a user.
func (q *Queries) SetUserRole(ctx context.Context, name string, role Role) error {
	return q.changeUser(ctx, "set role", `update users set role = $2 where name = $1`, UserName(name), role)
}

// DisableUser ends a user's access; the user's events stay under the user's name.
func (q *Queries) DisableUser(ctx context.Context, name string, now time.Time) error {
	return q.changeUser(ctx, "disable user", `update users set disabled_at = coalesce(disabled_at, $2) where name = $1`,
		UserName(name), now)
}

// EnableUser gives a disabled user access again.
func (q *Queries) EnableUser(ctx context.Context, name string) error {
	return q.changeUser(ctx, "enable user", `update users set disabled_at = null where name = $1`, UserName(name))
}

// RecordLogin notes when a user last logged in.
func (q *Queries) RecordLogin(ctx context.Context, id int64, now time.Time) error {
	return q.changeUser(ctx, "record login", `update users set last_login_at = $2 where id = $1`, id, now)
}

func (q *Queries) changeUser(ctx context.Context, op, query string, args ...any) error {
	res, err := q.q.ExecContext(ctx, query, args...)
	if err != nil {
		return fail(op, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%s: %w", op, ErrNotFound)
	}
	return nil
}
