package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/gopenpgp/v3/crypto"
	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// PGP signs what mails say (RFC 3156, 9580). It is safe for concurrent use.
type PGP struct {
	mu  sync.Mutex // go-crypto notes in a key which of its own signatures it checked
	key *crypto.Key
}

// NewPGP reads the private key, in ASCII armour, and unlocks it if it is locked.
// No key: nil, which signs nothing.
func NewPGP(armoured, passphrase string) (*PGP, error) {
	if strings.TrimSpace(armoured) == "" {
		return nil, nil
	}
	key, err := crypto.NewKeyFromArmored(armoured)
	if err != nil {
		return nil, fmt.Errorf("read PGP key: %w", err)
	}
	if !key.IsPrivate() {
		return nil, errors.New("the PGP key is a public one")
	}
	switch locked, err := key.IsLocked(); {
	case err != nil:
		return nil, fmt.Errorf("read PGP key: %w", err)
	case locked:
		if key, err = key.Unlock([]byte(passphrase)); err != nil {
			return nil, fmt.Errorf("unlock PGP key: %w", err)
		}
	}
	return &PGP{key: key}, nil
}

// sign returns a detached signature, in ASCII armour, and the name of its hash
// (RFC 3156, 5).
func (p *PGP) sign(content []byte, now time.Time) (signature []byte, micalg string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	signer, err := crypto.PGP().Sign().SigningKey(p.key).Detached().SignTime(now.Unix()).New()
	if err == nil {
		signature, err = signer.Sign(content, crypto.Armor)
	}
	if err != nil {
		return nil, "", fmt.Errorf("sign with PGP: %w", err)
	}
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil {
		return nil, "", fmt.Errorf("read our own PGP signature: %w", err)
	}
	read, err := packet.Read(block.Body)
	if err != nil {
		return nil, "", fmt.Errorf("read our own PGP signature: %w", err)
	}
	made, ok := read.(*packet.Signature)
	if !ok {
		return nil, "", fmt.Errorf("our own PGP signature is a %T", read)
	}
	name := strings.ReplaceAll(strings.ToLower(made.Hash.String()), "-", "")
	return bytes.ReplaceAll(bytes.TrimSpace(signature), []byte("\n"), []byte("\r\n")), "pgp-" + name, nil
}

// writeSigned writes the header h, made a multipart/signed's, and below it the
// content, every byte of which is signed, and the signature. The content is
// ASCII in lines ended by CRLF, without blanks at their ends (RFC 3156, 3).
func (p *PGP) writeSigned(out io.Writer, h *message.Header, content []byte, boundary string, now time.Time) error {
	signature, micalg, err := p.sign(content, now)
	if err != nil {
		return err
	}
	h.SetContentType("multipart/signed", map[string]string{"boundary": boundary, "micalg": micalg, "protocol": "application/pgp-signature"})
	if err := textproto.WriteHeader(out, h.Header); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	// The line break before a boundary is the boundary's (RFC 2046, 5.1.1).
	_, err = fmt.Fprintf(out, "--%[1]s\r\n%[2]s\r\n--%[1]s\r\nContent-Type: application/pgp-signature; name=signature.asc\r\n"+
		"Content-Description: OpenPGP digital signature\r\n\r\n%[3]s\r\n--%[1]s--\r\n", boundary, content, signature)
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	return nil
}

// encryptionKey reads a public key that can be encrypted to at the time: one
// key and nothing else, since the text is kept and shown as it is.
func encryptionKey(armoured string, now time.Time) (*crypto.Key, error) {
	key, err := crypto.NewKeyFromArmored(armoured)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read PGP key: %w", err)
	case key.IsPrivate() || hasSecrets(key) || strings.Contains(armoured, "PRIVATE KEY"):
		return nil, errors.New("the PGP key is a private one: it belongs to the recipient alone")
	case strings.Count(armoured, "-----BEGIN ") != 1:
		return nil, errors.New("there is more than one PGP key")
	case !key.CanEncrypt(now.Unix()):
		return nil, errors.New("nothing can be encrypted to the PGP key: it has expired, was revoked, only signs, or is of a kind that is weak today")
	}
	return key, nil
}

// hasSecrets reports whether a key has secret subkeys, below whatever primary.
func hasSecrets(key *crypto.Key) bool {
	for _, s := range key.GetEntity().Subkeys {
		if s.PrivateKey != nil {
			return true
		}
	}
	return false
}

// CheckPGPKey reports why nothing can be encrypted to a public key in ASCII
// armour at the time. No key is fine.
func CheckPGPKey(armoured string, now time.Time) error {
	if armoured == "" {
		return nil
	}
	_, err := encryptionKey(armoured, now)
	return err
}

// writeEncrypted writes the header h, made a multipart/encrypted's, and below it
// the content, encrypted to the key and, where we have a key, signed inside (RFC
// 3156, 4 and 6.2). p may be nil.
func (p *PGP) writeEncrypted(out io.Writer, h *message.Header, content []byte, armoured, boundary string, now time.Time) error {
	key, err := encryptionKey(armoured, now)
	if err != nil {
		return err
	}
	builder := crypto.PGP().Encryption().Recipient(key).EncryptionTime(now.Unix())
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		builder = builder.SigningKey(p.key).SignTime(now.Unix())
	}
	encrypter, err := builder.New()
	if err != nil {
		return fmt.Errorf("encrypt with PGP: %w", err)
	}
	sealed, err := encrypter.Encrypt(content)
	if err != nil {
		return fmt.Errorf("encrypt with PGP: %w", err)
	}
	text, err := sealed.ArmorBytes()
	if err != nil {
		return fmt.Errorf("encrypt with PGP: %w", err)
	}
	h.SetContentType("multipart/encrypted", map[string]string{"boundary": boundary, "protocol": "application/pgp-encrypted"})
	if err := textproto.WriteHeader(out, h.Header); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	text = bytes.ReplaceAll(bytes.TrimSpace(text), []byte("\n"), []byte("\r\n"))
	if _, err := fmt.Fprintf(out, "--%[1]s\r\nContent-Type: application/pgp-encrypted\r\nContent-Description: PGP/MIME version identification\r\n\r\n"+
		"Version: 1\r\n--%[1]s\r\nContent-Type: application/octet-stream; name=encrypted.asc\r\nContent-Disposition: inline; filename=encrypted.asc\r\n\r\n"+
		"%[2]s\r\n--%[1]s--\r\n", boundary, text); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	return nil
}
