package notify_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-message"
)

// sentPart is a piece of an outgoing mail as its reader's program decodes it.
type sentPart struct {
	Type    string
	Content []byte
}

// sentParts takes a mail apart by another program than ours: the headers of all
// parts, decoded, and every content with its transfer encoding undone, so that
// all that leaves is seen.
func sentParts(raw []byte) ([]sentPart, error) {
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return nil, fmt.Errorf("read mail: %w", err)
	}
	return sentPartsOf(e)
}

func sentPartsOf(e *message.Entity) ([]sentPart, error) {
	var head bytes.Buffer
	for f := e.Header.Fields(); f.Next(); {
		text, err := f.Text()
		if err != nil {
			text = f.Value()
		}
		head.WriteString(f.Key() + ": " + text + "\n")
	}
	parts := []sentPart{{"headers", head.Bytes()}}
	if r := e.MultipartReader(); r != nil {
		for {
			child, err := r.NextPart()
			if errors.Is(err, io.EOF) {
				return parts, nil
			}
			if err != nil {
				return parts, fmt.Errorf("read mail: %w", err)
			}
			more, err := sentPartsOf(child)
			if err != nil {
				return parts, err
			}
			parts = append(parts, more...)
		}
	}
	content, err := io.ReadAll(e.Body)
	if err != nil {
		return parts, fmt.Errorf("read mail: %w", err)
	}
	kind, _, err := e.Header.ContentType()
	if err != nil {
		return parts, fmt.Errorf("read mail: %w", err)
	}
	return append(parts, sentPart{kind, content}), nil
}
