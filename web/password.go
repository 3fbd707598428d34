package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The lengths of what a hash is made of, in bytes.
const (
	argonKey  = 32
	argonSalt = 16
)

// PasswordCost is the cost of a password hash (RFC 9106). The zero value is
// the cost for people's passwords; only tests take another.
type PasswordCost struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// orDefault returns OWASP's minimum for argon2id in place of the zero value.
func (c PasswordCost) orDefault() PasswordCost {
	if c == (PasswordCost{}) {
		return PasswordCost{Memory: 19 * 1024, Passes: 2, Lanes: 1}
	}
	return c
}

// The bounds of a password's length, in characters.
const (
	MinPassword = 10
	MaxPassword = 200
)

// ErrPassword says that a password is too short or too long.
var ErrPassword = errors.New("password must have 10 to 200 characters")

// HashPassword returns the PHC string of the password's argon2id hash under a
// fresh salt; ErrPassword if the password's length is out of bounds.
func HashPassword(password string) (string, error) { return PasswordCost{}.Hash(password) }

// Hash is HashPassword at this cost.
func (c PasswordCost) Hash(password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < MinPassword || n > MaxPassword {
		return "", ErrPassword
	}
	salt := make([]byte, argonSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("salt: %w", err)
	}
	c = c.orDefault()
	return c.phc(salt, argon2.IDKey([]byte(password), salt, c.Passes, c.Memory, c.Lanes, argonKey)), nil
}

func (c PasswordCost) phc(salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Passes, c.Lanes,
		b.EncodeToString(salt), b.EncodeToString(key))
}

// VerifyPassword reports whether the password is the one the PHC string was
// made from. A string that is not an argon2id hash of bounded cost matches
// nothing.
func VerifyPassword(hash, password string) bool {
	if len(password) > 4*MaxPassword {
		return false
	}
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false
	}
	if memory > 256*1024 || passes == 0 || passes > 16 || lanes == 0 || lanes > 16 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// passwords checks passwords, a bounded number at a time: each check takes 19
// MiB, and a flood of logins must not take all memory.
type passwords struct {
	slots   chan struct{}
	nobody  string // the hash checked for a user who does not exist, so that both answers take the same time
	checker func(hash, password string) bool
}

func newPasswords(parallel int, cost PasswordCost) *passwords {
	salt, key := make([]byte, argonSalt), make([]byte, argonKey)
	// The key is not the hash of anything anybody can type.
	_, _ = rand.Read(salt)
	_, _ = rand.Read(key)
	return &passwords{slots: make(chan struct{}, parallel), nobody: cost.orDefault().phc(salt, key),
		checker: VerifyPassword}
}

// check compares the password with the hash; with hash empty it spends the
// same time and returns false. It waits for a free slot and returns ctx's
// error if ctx ends first.
func (p *passwords) check(ctx context.Context, hash, password string) (bool, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if hash == "" {
		p.checker(p.nobody, password)
		return false, nil
	}
	return p.checker(hash, password), nil
}

// RandomPassword returns a password that is easy to type and hard to guess.
func RandomPassword() string { return strings.ToLower(rand.Text()[:16]) }
