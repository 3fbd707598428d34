package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-message"
)

// Part is a piece of an outgoing mail as its reader's program decodes it.
type Part struct {
	Type    string
	Content []byte
}

// Parts takes a mail apart: the headers of all parts, decoded, and every
// content with its transfer encoding undone. It is for who must see all that
// leaves.
func Parts(raw []byte) ([]Part, error) {
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return nil, fmt.Errorf("read mail: %w", err)
	}
	return partsOf(e)
}

func partsOf(e *message.Entity) ([]Part, error) {
	var head bytes.Buffer
	for f := e.Header.Fields(); f.Next(); {
		text, err := f.Text()
		if err != nil {
			text = f.Value()
		}
		head.WriteString(f.Key() + ": " + text + "\n")
	}
	parts := []Part{{"headers", head.Bytes()}}
	if r := e.MultipartReader(); r != nil {
		for {
			child, err := r.NextPart()
			if errors.Is(err, io.EOF) {
				return parts, nil
			}
			if err != nil {
				return parts, fmt.Errorf("read mail: %w", err)
			}
			more, err := partsOf(child)
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
	return append(parts, Part{kind, content}), nil
}
