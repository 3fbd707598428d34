package ingest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// digestBlock is the part of a file that is hashed at once.
const digestBlock = 1 << 20

// digestKey names the secret under which files are recognised.
const digestKey = "import-digest"

// digestFile returns the name of a file's content in this database, and its
// size: SHA-256 over the GMAC (NIST SP 800-38D) of each MiB under the
// database's secret key. Recognising a known file takes no longer than this,
// and SHA-256 of the whole would take four times the CPU, on one core only
// (docs/decisions/0036-file-digest.md). Two different contents have
// the same digest with a chance below 2^-110, unless a person who knows the key
// made them; the tags, which could reveal the key, are never stored or sent.
func digestFile(ctx context.Context, f *os.File, key []byte) (digest []byte, size int64, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, 0, err
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = st.Size()
	blocks := int((size + digestBlock - 1) / digestBlock)
	tags := make([]byte, 8+blocks*mac.Overhead())
	binary.BigEndian.PutUint64(tags, uint64(size))
	err = eachBlock(ctx, blocks, func(n int, buf []byte) error {
		off := int64(n) * digestBlock
		part := buf[:min(digestBlock, size-off)]
		if _, err := f.ReadAt(part, off); err != nil {
			return fmt.Errorf("read at %d: %w", off, err)
		}
		nonce := make([]byte, mac.NonceSize())
		binary.BigEndian.PutUint64(nonce, uint64(n))
		at := 8 + n*mac.Overhead()
		mac.Seal(tags[at:at], nonce, nil, part)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	sum := sha256.Sum256(tags)
	return sum[:], size, nil
}

// eachBlock calls do for the numbers below n, on all cores, each with a buffer
// of digestBlock bytes.
func eachBlock(ctx context.Context, n int, do func(n int, buf []byte) error) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(n, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			buf := make([]byte, digestBlock)
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if k >= n {
					return nil
				}
				if err := do(k, buf); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}
