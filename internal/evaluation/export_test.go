package evaluation

import "strings"

// Recall returns the hits and the expected number of a kind, an aggregate or,
// with "tool:" before it, a tool.
func (r *Report) Recall(name string) (hits, expected int) {
	s := r.kinds[name]
	if tool, ok := strings.CutPrefix(name, "tool:"); ok {
		s = r.tools[tool]
	}
	if s == nil {
		return 0, 0
	}
	return s.hit, s.hit + s.missed
}
