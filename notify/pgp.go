package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/gopenpgp/v3/crypto"
	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// PGP signs what mails say (RFC 3156, 9580). It is safe for concurrent use.
type PGP struct {
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
