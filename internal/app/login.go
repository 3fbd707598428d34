package app

import (
	"context"
	"fmt"
	"time"

	"teiten/internal/casedb"
	"teiten/web"
)

// FirstLogin makes sure that a user can log in, and returns the line that says
// how: on trial a user demo with a fresh password, else a user admin if no user
// exists yet.
func FirstLogin(ctx context.Context, db *casedb.DB, trial bool) (string, error) {
	n, err := db.CountUsers(ctx)
	if err != nil {
		return "", err
	}
	name := "admin"
	if trial {
		name = "demo"
	}
	_, err = db.UserByName(ctx, name)
	exists := err == nil
	if n > 0 && !(trial && exists) {
		return "", nil // the operator's own users are there
	}
	password := web.RandomPassword()
	hash, err := web.HashPassword(password)
	if err != nil {
		return "", err
	}
	if exists {
		// A person who can start teiten on trial may log in: the old password was
		// printed once and may be gone.
		err = db.SetPassword(ctx, name, hash)
	} else {
		_, err = db.CreateUser(ctx, casedb.User{Name: name, PasswordHash: hash, Role: casedb.RoleLead, Language: "ja"}, time.Now())
	}
	if err != nil {
		return "", fmt.Errorf("first user: %w", err)
	}
	return fmt.Sprintf("Log in as %s with the password %s", name, password), nil
}
