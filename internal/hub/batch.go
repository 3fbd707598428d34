package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"teiten/internal/batchfile"
	"teiten/internal/casedb"
	"teiten/internal/ingest"
	"teiten/internal/sensorwire"
)

const (
	// future is how far ahead of our clock a window may begin.
	future = 5 * time.Minute
	// recent is how old a window may be without being of old times.
	recent = 60 * 24 * time.Hour
	// stall is how long an upload may send nothing, and longest how long it may take.
	stall   = 30 * time.Second
	longest = 20 * time.Minute
)

// putBatch takes a batch. It answers 200 only when the batch is in the database.
func (h *Hub) putBatch(w http.ResponseWriter, r *http.Request, s casedb.Sensor) {
	id, err := sensorwire.ParseBatchID(r.PathValue("id"))
	if err != nil {
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemBatch, Title: "not the name of a batch", Detail: err.Error(), Status: http.StatusUnprocessableEntity}, 0)
		return
	}
	now := h.cfg.Now()
	if id.Window.Sub(now) > future {
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemFuture, Title: "the window is in the future", Status: http.StatusUnprocessableEntity,
			Detail: fmt.Sprintf("it begins at %s, the hub's clock says %s", id.Window.Format(time.RFC3339), now.UTC().Format(time.RFC3339))}, time.Minute)
		return
	}
	// Captures of old times are welcome; a table for each day since 1970 is not.
	if now.Sub(id.Window) > recent {
		there, err := h.cfg.DB.HasDay(r.Context(), id.Window)
		if err != nil {
			h.failed(w, r, err)
			return
		}
		if !there && !h.oldDays.Take(s.Name, 1, now) {
			refuse(w, sensorwire.Problem{Type: sensorwire.ProblemRate, Title: "too many days of old times", Status: http.StatusTooManyRequests}, time.Hour)
			return
		}
	}
	if r.ContentLength > h.cfg.Limits.Bytes {
		tooLarge(w, h.cfg.Limits.Bytes)
		return
	}
	claimed, err := readDigest(r.Header.Get(sensorwire.DigestHeader))
	if err != nil || r.Header.Get("Content-Encoding") != "" {
		refuse(w, sensorwire.Problem{Status: http.StatusBadRequest, Title: "a digest that cannot be read, or an encoding"}, 0)
		return
	}
	if claimed != nil && h.stored(w, r, s, id, claimed) {
		return // nothing of it has to be read
	}
	if !h.turn(r.Context()) {
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemBusy, Title: "too many batches at once", Status: http.StatusServiceUnavailable}, busyFor)
		return
	}
	defer func() { <-h.turns }()
	f, size, digest, ok := h.receive(w, r, claimed)
	if !ok {
		return
	}
	defer f.Close()
	if !h.bytes.Take(s.Name, float64(size)/(1<<20), now) {
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemRate, Title: "too many bytes in an hour", Status: http.StatusTooManyRequests}, 5*time.Minute)
		return
	}
	if claimed == nil && h.stored(w, r, s, id, digest) {
		return
	}
	h.store(w, r, s, id, f, size, digest)
}

func tooLarge(w http.ResponseWriter, limit int64) {
	refuse(w, sensorwire.Problem{Type: sensorwire.ProblemSize, Title: "the batch is too large", Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("at most %d bytes", limit)}, 0)
}

// readDigest reads the SHA-256 of a Content-Digest (RFC 9530, 2); nil: it has none.
func readDigest(header string) ([]byte, error) {
	for item := range strings.SplitSeq(header, ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(item), "sha-256=:")
		if !ok {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(value, ":"))
		if err != nil || len(b) != sha256.Size {
			return nil, errors.New("not a SHA-256")
		}
		return b, nil
	}
	return nil, nil
}

// stored answers for a batch whose name is known.
func (h *Hub) stored(w http.ResponseWriter, r *http.Request, s casedb.Sensor, id sensorwire.BatchID, digest []byte) bool {
	had, err := h.cfg.DB.SensorBatchDigest(r.Context(), s.ID, id.String())
	switch {
	case errors.Is(err, casedb.ErrNotFound):
		return false
	case err != nil:
		h.failed(w, r, err)
	case bytes.Equal(had, digest):
		answer(w, sensorwire.BatchStored{ID: id.String(), Known: true})
	default:
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemContent, Title: "another batch of this name is stored", Status: http.StatusConflict}, 0)
	}
	return true
}

// turn waits for one of the few places in which batches are taken.
func (h *Hub) turn(ctx context.Context) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case h.turns <- struct{}{}:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// receive writes the body into a file without a name. It answers itself if that fails.
func (h *Hub) receive(w http.ResponseWriter, r *http.Request, claimed []byte) (f *os.File, size int64, digest []byte, ok bool) {
	f, err := os.CreateTemp(h.cfg.Spool, "teiten-batch-*")
	if err != nil {
		h.failed(w, r, err)
		return nil, 0, nil, false
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open
	sum := sha256.New()
	size, err = copyBody(w, r, io.MultiWriter(f, sum), h.cfg.Limits.Bytes)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		tooLarge(w, h.cfg.Limits.Bytes)
	case err != nil:
		// The line was cut, or our disk is full: the sensor has the batch still.
		h.failed(w, r, fmt.Errorf("receive batch: %w", err))
	default:
		if digest, err = checked(sum, claimed); err == nil {
			return f, size, digest, true
		}
		refuse(w, sensorwire.Problem{Status: http.StatusBadRequest, Title: "the content is not that of the digest"}, 0)
	}
	f.Close()
	return nil, 0, nil, false
}

func checked(sum hash.Hash, claimed []byte) ([]byte, error) {
	digest := sum.Sum(nil)
	if claimed != nil && !bytes.Equal(claimed, digest) {
		return nil, errors.New("another digest")
	}
	return digest, nil
}

// copyBody reads a body that must keep moving. The server's own deadline is for pages.
func copyBody(w http.ResponseWriter, r *http.Request, to io.Writer, limit int64) (size int64, err error) {
	rc := http.NewResponseController(w)
	end := time.Now().Add(longest)
	body := http.MaxBytesReader(w, r.Body, limit)
	buf := make([]byte, 256<<10)
	for {
		next := time.Now().Add(stall)
		if next.After(end) {
			next = end
		}
		if err := rc.SetReadDeadline(next); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return size, err
		}
		n, rerr := body.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return size, err
			}
			size += int64(n)
		}
		if errors.Is(rerr, io.EOF) {
			_ = rc.SetWriteDeadline(time.Now().Add(longest)) // what follows has its own limits
			return size, nil
		}
		if rerr != nil {
			return size, rerr
		}
	}
}

// store checks a received batch and puts it into the database.
func (h *Hub) store(w http.ResponseWriter, r *http.Request, s casedb.Sensor, id sensorwire.BatchID, f *os.File, size int64, digest []byte) {
	bad := func(detail string) {
		h.cfg.Logger.WarnContext(r.Context(), "a sensor's batch is refused", "sensor", s.Name, "batch", id.String(), "why", detail)
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemBatch, Title: "not a batch", Detail: detail, Status: http.StatusUnprocessableEntity}, 0)
	}
	file, err := batchfile.Read(r.Context(), f, size, h.cfg.Limits)
	var refused *batchfile.RefusedError
	switch {
	case errors.As(err, &refused):
		bad(casedb.CleanLine(refused.Error(), 500))
		return
	case err != nil:
		h.failed(w, r, err)
		return
	case file.Sensor != s.Name || file.ID != id.String():
		bad("the file is of another sensor or window")
		return
	}
	err = ingest.SensorBatch(r.Context(), h.cfg.DB, s, file.Batch, id.String(), file.Program, digest, h.cfg.Ingest)
	if err == nil {
		err = file.Err()
	}
	if err != nil {
		h.failed(w, r, err)
		return
	}
	// Another request may have stored another file under the name meanwhile.
	had, err := h.cfg.DB.SensorBatchDigest(r.Context(), s.ID, id.String())
	switch {
	case err != nil:
		h.failed(w, r, err)
	case !bytes.Equal(had, digest):
		refuse(w, sensorwire.Problem{Type: sensorwire.ProblemContent, Title: "another batch of this name is stored", Status: http.StatusConflict}, 0)
	default:
		answer(w, sensorwire.BatchStored{ID: id.String()})
	}
}
