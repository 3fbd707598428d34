package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"teiten/internal/sensorwire"
)

// beatEvery is how often a sensor says that it lives.
const beatEvery = time.Minute

// rotateEvery is the age at which a sensor replaces its token: one that was copied
// from a rack is of no use for longer.
const rotateEvery = 30 * 24 * time.Hour

// beater tells the hub each minute how the sensor is, and fetches a configuration
// that is newer than the one in force.
type beater struct {
	client *client
	state  *state
	id     *identity
	log    *slog.Logger
	every  time.Duration
	// describe says how the sensor is now.
	describe func() sensorwire.Heartbeat
	// inForce is the version of the configuration that capture works with, and apply
	// makes another one work.
	inForce func() int64
	apply   func(*sensorwire.Config) error
}

// run beats until ctx is done. A heartbeat that cannot be sent is not sent later:
// what it says is about now.
func (b *beater) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		pause := b.every
		if err := b.beat(ctx); err != nil && ctx.Err() == nil {
			var hub *hubError
			if errors.As(err, &hub) {
				pause = max(pause, hub.After)
			}
			if failures == 0 {
				b.log.Warn("heartbeat", "err", err)
			}
			failures++
		} else {
			failures = 0
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

func (b *beater) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var got sensorwire.Beaten
	if err := b.client.post(ctx, sensorwire.PathHeartbeat, b.describe(), &got); err != nil {
		return err
	}
	if b.client.now().Sub(b.id.TokenAt) > rotateEvery {
		if err := b.rotate(ctx); err != nil {
			return err
		}
		b.log.Info("the token was replaced")
	}
	if got.Config == b.inForce() {
		return nil
	}
	return b.fetch(ctx)
}

// fetch gets the configuration, checks whose it is, keeps it and puts it in force.
func (b *beater) fetch(ctx context.Context) error {
	var signed sensorwire.Signed
	if err := b.client.do(ctx, request{method: http.MethodGet, path: sensorwire.PathConfig}, &signed); err != nil {
		return err
	}
	c, err := openConfig(b.id.PublicKey, signed)
	if err != nil {
		return err
	}
	// An old configuration with its true signature could be played back.
	if c.Sensor != b.id.Sensor || c.Version <= b.inForce() {
		return nil
	}
	if err := b.apply(c); err != nil {
		return err
	}
	b.log.Info("configuration", "version", c.Version)
	return b.state.write(configFile, signed)
}

// rotate asks for a new token and keeps it before it is used. The old token stays
// good until then, so a crash at any moment leaves one that works.
func (b *beater) rotate(ctx context.Context) error {
	var got sensorwire.NewToken
	if err := b.client.post(ctx, sensorwire.PathToken, json.RawMessage("{}"), &got); err != nil {
		return err
	}
	if got.Token == "" {
		return errors.New("rotate token: the hub's answer has none")
	}
	id := *b.id
	id.Token, id.TokenAt = got.Token, b.client.now().UTC()
	if err := b.state.write(identityFile, &id); err != nil {
		return err
	}
	b.id = &id
	b.client.token.Store(&got.Token)
	return nil
}
