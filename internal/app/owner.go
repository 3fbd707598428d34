package app

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"teiten/attribution/owner"
	"teiten/internal/config"
	"teiten/internal/synth"
)

// OwnerLookup returns the RDAP client of the configured mode with the national
// registries behind it; stop ends what it started. Recorded answers are served
// by a local server, so that the real client runs.
func OwnerLookup(cfg *config.Config) (lookup owner.Lookup, stop func(), err error) {
	rdap := owner.RDAPConfig{UserAgent: "teiten (" + cfg.RDAPContact() + ")"}
	stop = func() {}
	switch cfg.RDAP.Mode {
	case "url":
		rdap.BaseURL = cfg.RDAP.URL
	case "recorded":
		if rdap.BaseURL, stop, err = serveRecorded(); err != nil {
			return nil, nil, fmt.Errorf("recorded RDAP answers: %w", err)
		}
		rdap.Every = 10 * time.Millisecond // no stranger is asked
	}
	client, err := owner.NewRDAPClient(rdap)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return owner.NewRegistries(client, cfg.WhoisConfig(), cfg.ContactConfig()), stop, nil
}

// serveRecorded serves the recorded answers on loopback.
func serveRecorded() (url string, stop func(), err error) {
	h, err := synth.RDAPHandler(synth.RDAPAnswers())
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with stop
	}()
	return "http://" + l.Addr().String() + "/", func() { _ = s.Close(); <-done }, nil
}
