package sensor

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"teiten/internal/sensorwire"
)

// Enrolment says where and with which code a sensor enrols.
type Enrolment struct {
	Hub, Code, State string
	CA               string // path of a file with the authority of the hub's certificate (PEM); empty: those of the system
	Version          string // of the program
	Again            bool   // take the place of the identity that the folder has
}

// Enrol asks the hub for an identity and keeps it in the state folder. It returns
// the sensor's name.
func Enrol(ctx context.Context, e Enrolment) (sensor string, err error) {
	s, err := openState(e.State)
	if err != nil {
		return "", err
	}
	defer func() { _ = s.close() }() // it only gives the lock back
	if old, err := s.identity(); err == nil && !e.Again {
		return "", fmt.Errorf("state folder %s has the identity of sensor %s: use another folder, or --again to replace it", e.State, old.Sensor)
	} else if err != nil && !errors.Is(err, ErrNotEnrolled) && !e.Again {
		return "", err
	}
	ca := ""
	if e.CA != "" {
		b, err := os.ReadFile(e.CA)
		if err != nil {
			return "", fmt.Errorf("read certificate authority: %w", err)
		}
		ca = string(b)
	}
	c, err := newClient(e.Hub, ca, time.Now)
	if err != nil {
		return "", err
	}
	var got sensorwire.Enrolled
	ask := sensorwire.Enrolment{Code: e.Code, Version: e.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if err := c.post(ctx, sensorwire.PathEnrol, ask, &got); err != nil {
		return "", fmt.Errorf("enrol: %w", err)
	}
	if got.Sensor == "" || got.Token == "" || len(got.PublicKey) != ed25519.PublicKeySize {
		return "", errors.New("enrol: the hub's answer is not whole")
	}
	if _, err := openConfig(got.PublicKey, got.Config); err != nil {
		return "", fmt.Errorf("enrol: %w", err)
	}
	id := &identity{Sensor: got.Sensor, Hub: c.hub.String(), Token: got.Token, TokenAt: time.Now().UTC(), PublicKey: got.PublicKey, CA: ca}
	if err := s.write(configFile, got.Config); err != nil {
		return "", err
	}
	return got.Sensor, s.write(identityFile, id)
}
