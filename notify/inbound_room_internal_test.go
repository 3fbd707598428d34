package notify

import (
	"math"
	"path/filepath"
	"testing"
)

// TestFreeSpaceIsAsked: enough for one byte, not for all bytes there are, and not
// known of a directory that is not there.
func TestFreeSpaceIsAsked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		space    *FreeSpace
		room, ok bool
	}{
		"enough": {&FreeSpace{Dirs: []string{dir}, Min: 1}, true, true},
		"full":   {&FreeSpace{Dirs: []string{dir}, Min: math.MaxUint64}, false, true},
		"one is": {&FreeSpace{Dirs: []string{dir, filepath.Join(dir, "none")}, Min: 1}, false, false},
	} {
		for range 2 { // the second is remembered
			room, err := c.space.Room(t.Context())
			if room != c.room || (err == nil) != c.ok {
				t.Errorf("%s: room %v, %v", name, room, err)
			}
		}
	}
}
