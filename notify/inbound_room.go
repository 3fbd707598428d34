package notify

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// roomFor is how long an answer of FreeSpace holds.
const roomFor = 2 * time.Second

// FreeSpace says whether file systems have room for mail.
type FreeSpace struct {
	Dirs []string // a directory in each
	Min  uint64   // bytes that must be free for others than root

	mu   sync.Mutex // guards the rest
	at   time.Time
	room bool
	err  error
}

// Room reports whether all file systems have room.
func (f *FreeSpace) Room(context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.at) >= roomFor || now.Before(f.at) {
		f.at = now
		f.room, f.err = f.look()
	}
	return f.room, f.err
}

func (f *FreeSpace) look() (bool, error) {
	for _, dir := range f.Dirs {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			return false, fmt.Errorf("free space of %s: %w", dir, err)
		}
		if fs.Bavail*uint64(max(fs.Bsize, 0)) < f.Min {
			return false, nil
		}
	}
	return true, nil
}
