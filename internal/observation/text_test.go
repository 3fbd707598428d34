package observation_test

import (
	"encoding/json"
	"slices"
	"testing"

	"teiten/internal/observation"
)

func TestTextsOfClasses(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for c := observation.ClassNone; c <= observation.ClassUDPAnswer; c++ {
		text := c.String()
		if got, ok := observation.ParseClass(text); !ok || got != c || seen[text] || text == "" != (c == observation.ClassNone) {
			t.Errorf("class %d is %q, which is read as %d (%v)", uint8(c), text, uint8(got), ok)
		}
		seen[text] = true
	}
	if observation.ClassUDPAnswer > 31 {
		t.Error("more classes than the five bits of capture's key hold")
	}
	for _, unknown := range []string{"SYN", "syn ", "class 25", "255"} {
		if c, ok := observation.ParseClass(unknown); ok {
			t.Errorf("%q is read as %s", unknown, c)
		}
	}
	if got := (observation.ClassUDPAnswer + 1).String(); seen[got] {
		t.Errorf("a number that is no class is %q", got)
	}
}

func TestTextsOfMarks(t *testing.T) {
	t.Parallel()
	all := slices.Collect(observation.Marks)
	if len(all) != observation.MarkEnd-1 || !slices.IsSorted(all) || slices.Contains(all, observation.MarkNone) {
		t.Fatalf("marks %v", all)
	}
	seen := map[string]bool{"": true}
	for _, m := range all {
		text := m.String()
		if got, ok := observation.ParseMark(text); !ok || got != m || seen[text] {
			t.Errorf("mark %d is %q, which is read as %d (%v)", uint8(m), text, uint8(got), ok)
		}
		seen[text] = true
	}
	for range observation.Marks { // one that is left early
		break
	}
	if m, ok := observation.ParseMark("mark 1"); ok {
		t.Errorf("a text that is no mark is read as %s", m)
	}
	if got := observation.Mark(observation.MarkEnd).String(); seen[got] {
		t.Errorf("a number that is no mark is %q", got)
	}
}

func TestClassesAndMarksAreTextsInJSON(t *testing.T) {
	t.Parallel()
	type value struct {
		Class observation.Class
		Marks map[observation.Mark]int
	}
	const text = `{"Class":"icmp-too-big","Marks":{"hping3":2,"zmap":1}}`
	var v value
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Class != observation.ClassICMPTooBig || v.Marks[observation.MarkHping] != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if got, err := json.Marshal(v); err != nil || string(got) != text {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{`{"Class":"tcp"}`, `{"Class":1}`, `{"Marks":{"unknown":1}}`} {
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
