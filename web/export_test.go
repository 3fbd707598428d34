package web

import "time"

// SetSlowness sets how long a login is slowed that looks like guessing.
func (s *Server) SetSlowness(d time.Duration) { s.limits.slowness = d }
