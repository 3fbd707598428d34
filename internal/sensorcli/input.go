package sensorcli

import (
	"errors"

	"teiten/internal/sensor"
)

// liveInput captures from interfaces or follows files.
func liveInput(interfaces []string, follow string) (sensor.Input, error) {
	_, _ = interfaces, follow
	return nil, errors.New("not yet")
}
