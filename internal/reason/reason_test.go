package reason_test

import (
	"slices"
	"testing"

	"teiten/internal/reason"
)

// sample is a reason of the code with as many arguments as it takes.
func sample(code reason.Code) reason.List {
	args := make([]string, len(reason.Shape(code)))
	for i := range args {
		args[i] = string(rune('a' + i))
	}
	return reason.Of(code, args...)
}

func TestEveryReasonIsStoredAndReadAsItWas(t *testing.T) {
	t.Parallel()
	var all reason.List
	for _, code := range reason.Codes() {
		all = append(all, sample(code)...)
	}
	all = all.And(reason.NamedBeside, "", "noc", "technical").And(reason.Person, "“\"\\u0000 <b>\n")
	stored, err := all.Value()
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range []any{stored, []byte(stored.(string))} {
		var read reason.List
		if err := read.Scan(src); err != nil || !slices.EqualFunc(read, all, func(a, b reason.Reason) bool {
			return a.Code == b.Code && slices.Equal(a.Args, b.Args)
		}) {
			t.Errorf("got %v, %v", read, err)
		}
	}
	if stored, err = reason.List(nil).Value(); stored != "[]" || err != nil {
		t.Errorf("nothing is stored as %v, %v", stored, err)
	}
	read := all
	for _, src := range []any{nil, "[]"} {
		if err := read.Scan(src); err != nil || read != nil {
			t.Errorf("%v is read as %v, %v", src, read, err)
		}
	}
	for _, src := range []any{7, "x", `{"code":"person"}`} {
		if err := read.Scan(src); err == nil {
			t.Errorf("%v is read as %v", src, read)
		}
	}
}

// TestWhatTheDatabaseHoldsIsRead: its check of reasons lets through what is no
// string.
func TestWhatTheDatabaseHoldsIsRead(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`[{"code": "person", "args": [7, null, {"a": [1]}, "x"]}]`: `person: 7, , {"a": [1]}, x`,
		`[{"code": true}, {"code": "of-tomorrow", "args": ["x"]}]`: `true; of-tomorrow: x`,
		`[{"code": "paused", "more": 1}]`:                          `paused`,
	} {
		var read reason.List
		if err := read.Scan(src); err != nil || read.String() != want {
			t.Errorf("%s is read as %s, %v", src, read, err)
		}
	}
}

// TestTheListIsClosed: what is none of its codes, or has other arguments than
// they take, is not stored.
func TestTheListIsClosed(t *testing.T) {
	t.Parallel()
	for _, code := range reason.Codes() {
		good, shape := sample(code), reason.Shape(code)
		many := len(shape) > 0 && (shape[len(shape)-1] == reason.Texts || shape[len(shape)-1] == reason.Roles)
		if _, err := good.Value(); err != nil {
			t.Error(err)
		}
		if len(shape) > 0 {
			good[0].Args = good[0].Args[1:]
			if _, err := good.Value(); err == nil {
				t.Errorf("%s is stored with %d arguments", code, len(shape)-1)
			}
		}
		good = sample(code)
		good[0].Args = append(good[0].Args, "more")
		if _, err := good.Value(); (err == nil) != many {
			t.Errorf("%s with one argument more: %v", code, err)
		}
	}
	for _, code := range []reason.Code{"", "made-up", "Person", "acknowledged scanner"} {
		if v, err := reason.Of(code).Value(); err == nil {
			t.Errorf("%q is stored as %v", code, v)
		}
	}
}

func TestListsDoNotShareWhatTheyHold(t *testing.T) {
	t.Parallel()
	first := reason.Of(reason.ByHand).And(reason.InDoubt)
	a, b := first.And(reason.Seen), first.And(reason.Filed)
	if a[2].Code != reason.Seen || b[2].Code != reason.Filed || len(first) != 2 || !a.Has(reason.ByHand) || a.Has(reason.Filed) {
		t.Errorf("got %v, %v, %v", first, a, b)
	}
	if got := reason.Typed(""); got != nil {
		t.Errorf("nothing typed is %v", got)
	}
}
