package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"teiten/internal/casedb"
)

// The bounds of what people type, in bytes, as package casedb keeps it.
const (
	maxReason = 2000
	maxNote   = 60_000
	maxLetter = 200_000
	maxTitle  = 500
)

// form is what a user typed into a form that could not be carried out. The
// zero form is an untouched page.
type form struct {
	Name   string // which form of the page
	Values url.Values
	Error  string // key of the catalogue
}

// Value returns what was typed into a field of the named form, or fallback for
// a form without any input.
func (f form) Value(name, field, fallback string) string {
	if f.Name != name || !f.Values.Has(field) {
		return fallback
	}
	return f.Values.Get(field)
}

// Is reports whether the named form is the one that failed.
func (f form) Is(name string) bool { return f.Name == name }

// typedText makes a text from what a browser sent and reports whether it has
// at most limit bytes.
func typedText(value string, limit int) (string, bool) {
	text := strings.TrimSpace(casedb.Clean(strings.ReplaceAll(value, "\r\n", "\n"), 0))
	return text, len(text) <= limit
}

// refused turns an error of a change into the line for the reader and its
// status; ok is false for an error that is not the reader's.
func refused(err error) (key string, status int, ok bool) {
	var invalid invalidError
	switch {
	case errors.As(err, &invalid):
		return string(invalid), http.StatusUnprocessableEntity, true
	case errors.Is(err, casedb.ErrStale):
		return "error.stale", http.StatusConflict, true
	case errors.Is(err, casedb.ErrConflict):
		return "error.conflict", http.StatusConflict, true
	case errors.Is(err, casedb.ErrStranger):
		return "error.stranger", http.StatusConflict, true
	case errors.Is(err, casedb.ErrState):
		return "error.state", http.StatusConflict, true
	}
	return "", 0, false
}

// invalidError is a form that says too little or nonsense; its text is the key
// of the line for the reader.
type invalidError string

func (e invalidError) Error() string { return "invalid form: " + string(e) }
