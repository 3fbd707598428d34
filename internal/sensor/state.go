package sensor

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"teiten/internal/sensorwire"
)

// The files of a state folder.
const (
	identityFile = "identity.json"
	configFile   = "config.json"
	lockFile     = "lock"
)

// identity is what enrolment gave to a sensor. It is secret: the token sends
// batches in the sensor's name.
type identity struct {
	Sensor    string    `json:"sensor"`
	Hub       string    `json:"hub"`
	Token     string    `json:"token"`
	TokenAt   time.Time `json:"token_at"`
	PublicKey []byte    `json:"public_key"`   // of the hub, Ed25519
	CA        string    `json:"ca,omitempty"` // PEM of the authority that signs the hub's certificate; empty: those of the system
}

// ErrNotEnrolled is in the error about a state folder without an identity.
var ErrNotEnrolled = errors.New("this sensor is not enrolled")

// ErrInUse is in the error about a state folder that another process works in.
var ErrInUse = errors.New("another process uses the folder")

// state is the folder in which a sensor keeps who it is. It is locked as long as it
// is open: two sensors with one identity would send different packets under one name.
type state struct {
	dir  string
	lock *os.File
}

// openState locks a state folder, which it makes if it is not there.
func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("lock state folder %s: %w", dir, err)
	}
	return &state{dir: dir, lock: f}, nil
}

// close unlocks first: a program that is being started at this moment has the file,
// too, until it runs.
func (s *state) close() error {
	return errors.Join(syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
}

// identity reads who the sensor is.
func (s *state) identity() (*identity, error) {
	var id identity
	err := s.read(identityFile, &id)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("state folder %s: %w", s.dir, ErrNotEnrolled)
	case err != nil:
		return nil, err
	case id.Sensor == "" || id.Token == "" || len(id.PublicKey) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("state folder %s: the identity is damaged: enrol the sensor again with a new code", s.dir)
	}
	return &id, nil
}

// config reads the configuration that was last in force, nil if there is none. A
// damaged one is as good as none: the hub has it.
func (s *state) config(key ed25519.PublicKey) *sensorwire.Config {
	var signed sensorwire.Signed
	if s.read(configFile, &signed) != nil {
		return nil
	}
	c, err := openConfig(key, signed)
	if err != nil {
		return nil
	}
	return c
}

// openConfig checks the hub's signature and reads the configuration.
func openConfig(key ed25519.PublicKey, signed sensorwire.Signed) (*sensorwire.Config, error) {
	if !ed25519.Verify(key, signed.Config, signed.Signature) {
		return nil, errors.New("configuration: the signature is not the hub's")
	}
	var c sensorwire.Config
	if err := json.Unmarshal(signed.Config, &c); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if c.WindowSeconds < 1 || c.WindowSeconds > 86400 || c.PayloadBytes < 0 || c.PayloadBytes > 64 {
		return nil, fmt.Errorf("configuration %d: a window of %d s or a payload of %d bytes is impossible", c.Version, c.WindowSeconds, c.PayloadBytes)
	}
	return &c, nil
}

// maxStateFile bounds what is read of a state file.
const maxStateFile = 4 << 20

func (s *state) read(name string, into any) error {
	path := filepath.Join(s.dir, name)
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if st.Size() > maxStateFile {
		return fmt.Errorf("read state: %s is larger than %d bytes", path, maxStateFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read state %s: %w", path, err)
	}
	return nil
}

// write stores a value so that a reader finds the old one or the new one, whole,
// even after a power cut.
func (s *state) write(name string, value any) error {
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := s.replace(name, append(b, '\n')); err != nil {
		return fmt.Errorf("write state %s: %w", name, err)
	}
	return nil
}

func (s *state) replace(name string, content []byte) error {
	hidden := filepath.Join(s.dir, "."+name)
	f, err := os.OpenFile(hidden, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(hidden, filepath.Join(s.dir, name))
	}
	if err != nil {
		_ = os.Remove(hidden)
		return err
	}
	return syncFolder(s.dir)
}

// syncFolder makes a rename last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
