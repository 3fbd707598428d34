//go:build !linux

package live

import (
	"context"
	"fmt"
	"runtime"

	"teiten/internal/observation"
)

// Capture reads interfaces; only Linux has it.
type Capture struct{ shared shared }

// Open says that the system is not supported.
func Open(Options) (*Capture, error) {
	return nil, fmt.Errorf("capture live: not supported on %s", runtime.GOOS)
}

// Run is never reached, as Open fails.
func (c *Capture) Run(context.Context, func(*observation.Batch) error) error {
	return fmt.Errorf("capture live: not supported on %s", runtime.GOOS)
}
