package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/pgtest"
	"teiten/migrations"
	"teiten/notify"
)

// mailSizes are how many mails of 8 KiB each comparison sends.
var mailSizes = []int{500, 5000}

const mailBytes = 8 << 10

// mail compares our way out with Postfix's smtp-source, both handing mail to
// Postfix's smtp-sink over one connection, and signing with RSA with the bare
// operation; then it sends with all the bookkeeping.
func (b *bench) mail() (err error) {
	source, err := exec.LookPath("smtp-source")
	if err != nil {
		b.skip("no smtp-source to compare with (Debian package postfix)")
		return nil
	}
	sink, stop, err := startSink()
	if err != nil {
		return err
	}
	defer stop()
	key, dkim, err := signer(b.dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for _, n := range mailSizes {
		var theirs, ours, bare, signed []time.Duration
		for range b.rounds {
			began := time.Now()
			cmd := exec.Command(source, "-d", "-s", "1", "-l", strconv.Itoa(mailBytes), "-m", strconv.Itoa(n), sink)
			if _, err := cmd.Output(); err != nil {
				return failure(cmd, err)
			}
			theirs = append(theirs, time.Since(began))
			d, err := sendMails(ctx, sink, n, 1, nil)
			if err != nil {
				return err
			}
			ours = append(ours, d)
			if d, err = inParallel(n, 2*runtime.GOMAXPROCS(0), func() error {
				sum := sha256.Sum256(nil)
				_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
				return err
			}); err != nil {
				return err
			}
			bare = append(bare, d)
			if d, err = sendMails(ctx, sink, n, 2*runtime.GOMAXPROCS(0), dkim); err != nil {
				return err
			}
			signed = append(signed, d)
		}
		rate := func(d []time.Duration) float64 { return float64(n) / middle(d).Seconds() }
		fmt.Fprintf(b.out, "  %d mails: %.0f/s; smtp-source -d %.0f/s; signed with RSA %.0f/s; RSA alone %.0f/s\n", n, rate(ours), rate(theirs), rate(signed), rate(bare))
		b.report(fmt.Sprintf("%d mails, one connection, time / smtp-source -d", n), rate(theirs)/rate(ours), 2)
		b.report(fmt.Sprintf("%d mails, signed with RSA, time / RSA alone", n), rate(bare)/rate(signed), 1.25)
	}
	return b.bookkeeping(ctx, sink)
}

// bookkeeping sends queued messages as the program does, four at once. They are
// about registrations, which saves looking at a case. The server writes without
// waiting for its disk, as in the tests.
func (b *bench) bookkeeping(ctx context.Context, sink string) (err error) {
	cluster, err := pgtest.Throwaway(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop(context.WithoutCancel(ctx))) }()
	db, err := casedb.Open(cluster.URL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := migrations.Apply(ctx, db.SQL()); err != nil {
		return err
	}
	composer, err := notify.NewComposer(notify.Config{OrganisationJA: "Example", OrganisationEN: "Example", Email: "csirt@teiten.example",
		Domain: "teiten.example"}, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		return err
	}
	for _, n := range mailSizes {
		if err := queueMails(ctx, db, n); err != nil {
			return err
		}
		transport := &notify.SMTPTransport{Address: sink, TLS: notify.TLSNone}
		sender := notify.Sender{DB: db, Composer: composer, Transport: transport, Limits: casedb.SendLimits{PerHour: 1 << 30, PerRecipientDay: 1 << 30}}
		began, sent := time.Now(), 0
		for sent < n {
			done, err := sender.Do(ctx)
			if err != nil {
				return err
			}
			if sent += done; done == 0 {
				return fmt.Errorf("%d of %d messages sent", sent, n)
			}
		}
		rate := float64(n) / time.Since(began).Seconds()
		transport.Close()
		fmt.Fprintf(b.out, "  %d messages with all bookkeeping: %.0f/s\n", n, rate)
		b.report(fmt.Sprintf("%d messages, 200/s over the rate with bookkeeping", n), 200/rate, 1)
	}
	return nil
}

// queueMails queues messages to as many domains.
func queueMails(ctx context.Context, db *casedb.DB, n int) error {
	text := strings.Repeat(strings.Repeat("x", 63)+"\n", mailBytes/64)
	now := time.Now()
	var registration int64
	if err := db.SQL().QueryRowContext(ctx, `insert into registration (organisation, purpose, email, language, prefixes, state, confirm_digest, confirm_until, created_at)
		values ('bench', 'bench', 'a@net.example', 'en', '{}', 'pending', cast($1 as bytea), $2, $2) returning id`, []byte(strconv.Itoa(n)), now).Scan(&registration); err != nil {
		return err
	}
	return db.InTx(ctx, func(tx *casedb.Tx) error {
		for i := range n {
			m := casedb.Message{RegistrationID: &registration, Purpose: casedb.PurposeDecision, State: casedb.MessageQueued, Reason: "bench", Language: "en", Subject: "bench", Body: text,
				Recipient: fmt.Sprintf("a@net%d.example", i), CreatedAt: now, NextAttemptAt: &now}
			m.HeaderID, m.Token = casedb.NewIdentity("teiten.example")
			if _, err := tx.InsertMessage(ctx, m, "bench"); err != nil {
				return err
			}
		}
		return nil
	})
}

// sendMails hands over n mails over so many connections and returns how long
// that took.
func sendMails(ctx context.Context, address string, n, connections int, dkim *notify.DKIM) (time.Duration, error) {
	transport := &notify.SMTPTransport{Address: address, TLS: notify.TLSNone}
	defer transport.Close()
	header := "From: csirt@teiten.example\r\nTo: abuse@isp.example\r\nSubject: bench\r\nDate: Thu, 15 Jan 2026 00:00:00 +0000\r\n\r\n"
	mail := []byte(header + strings.Repeat(strings.Repeat("x", 62)+"\r\n", (mailBytes-len(header))/64))
	return inParallel(n, connections, func() error {
		raw, err := dkim.Sign(mail)
		if err == nil {
			_, err = transport.Send(ctx, notify.Envelope{From: "b@teiten.example", To: "abuse@isp.example", ID: "x", Size: int64(len(raw))}, bytes.NewReader(raw))
		}
		return err
	})
}

// inParallel runs f n times in so many goroutines.
func inParallel(n, workers int, f func() error) (time.Duration, error) {
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = f()
			}
		})
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

// signer makes a key that signs.
func signer(dir string) (*rsa.PrivateKey, *notify.DKIM, error) {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "dkim.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, nil, err
	}
	dkim, err := notify.LoadDKIM("teiten.example", []string{"bench=" + file})
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, err
	}
	return key.(*rsa.PrivateKey), dkim, nil
}

// startSink starts a server that throws mail away, on a free port.
func startSink() (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	args := []string{address, "100"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...) // it refuses to be root
	}
	cmd := exec.Command("smtp-sink", args...)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	for range 100 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return address, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("smtp-sink does not answer")
}
