// Package reason holds why something is as it is: a code of a closed list with
// its arguments. Rows store codes; words for people stand in the catalogues of
// package locale alone, and nothing reads them back. What a person types is the
// code Person with the text as its argument, so that it can never be taken for
// one of the program's own reasons.
package reason

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Code names a reason.
type Code string

// Reason is a code with its arguments, in the order that Shape gives.
type Reason struct {
	Code Code     `json:"code"`
	Args []string `json:"args,omitempty"`
}

// List is reasons that hold together, in the order in which they are said. It
// is stored as jsonb.
type List []Reason

// Of is a list of one reason.
func Of(code Code, args ...string) List { return List{{Code: code, Args: args}} }

// Typed is what a person typed; nothing for an empty text.
func Typed(text string) List {
	if text == "" {
		return nil
	}
	return Of(Person, text)
}

// And is the list with one more reason at its end.
func (l List) And(code Code, args ...string) List {
	return append(slices.Clip(l), Reason{Code: code, Args: args})
}

// Has reports whether one of the reasons has the code.
func (l List) Has(code Code) bool {
	return slices.ContainsFunc(l, func(r Reason) bool { return r.Code == code })
}

// String writes the reasons for logs and errors: "code: argument, argument".
func (l List) String() string {
	parts := make([]string, len(l))
	for i, r := range l {
		parts[i] = string(r.Code)
		if len(r.Args) > 0 {
			parts[i] += ": " + strings.Join(r.Args, ", ")
		}
	}
	return strings.Join(parts, "; ")
}

// Map returns the list with f applied to every argument.
func (l List) Map(f func(string) string) List {
	if l == nil {
		return nil
	}
	out := make(List, len(l))
	for i, r := range l {
		out[i].Code = r.Code
		for _, a := range r.Args {
			out[i].Args = append(out[i].Args, f(a))
		}
	}
	return out
}

// Check reports what is wrong with the list: an unknown code, or arguments that
// its code does not take.
func (l List) Check() error {
	for _, r := range l {
		shape, ok := shapes[r.Code]
		if !ok {
			return fmt.Errorf("unknown reason %q", r.Code)
		}
		n := len(r.Args)
		if more := len(shape) > 0 && shape[len(shape)-1].many(); n < len(shape) || n > len(shape) && !more {
			return fmt.Errorf("reason %s with %d arguments instead of %d", r.Code, n, len(shape))
		}
	}
	return nil
}

// Value implements driver.Valuer. What is not in the closed list is not stored.
func (l List) Value() (driver.Value, error) {
	if len(l) == 0 {
		return "[]", nil
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	// jsonb has no NUL.
	b, err := json.Marshal([]Reason(l.Map(func(s string) string { return strings.ReplaceAll(s, "\x00", "\ufffd") })))
	if err != nil {
		return nil, fmt.Errorf("encode reasons: %w", err)
	}
	return string(b), nil
}

// Scan implements sql.Scanner.
func (l *List) Scan(src any) error {
	*l = nil
	var b []byte
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		b = []byte(v)
	case []byte:
		b = v
	default:
		return fmt.Errorf("cannot scan %T as reasons", src)
	}
	// The database lets values through that are no strings. One such row must not
	// keep others from being read.
	var list []struct{ Code, Args json.RawMessage }
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("read reasons: %w", err)
	}
	for _, r := range list {
		var args []json.RawMessage
		if len(r.Args) > 0 {
			if err := json.Unmarshal(r.Args, &args); err != nil {
				return fmt.Errorf("read arguments of a reason: %w", err)
			}
		}
		read := Reason{Code: Code(textOf(r.Code))}
		for _, a := range args {
			read.Args = append(read.Args, textOf(a))
		}
		*l = append(*l, read)
	}
	return nil
}

// textOf is the text that a value holds, or the value as it is written.
func textOf(value json.RawMessage) string {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return string(value)
	}
	return s
}
