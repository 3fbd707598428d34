package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"teiten/internal/casedb"
	"teiten/notify"
)

// The limits of files that a coordinator attaches to an answer.
const (
	maxUpload      = 5 << 20 // bytes of all files
	maxUploadFiles = 10
	// maxUploadForm bounds the request: files somewhat too large are refused with
	// the page, not with the connection.
	maxUploadForm = maxForm + 3*maxUpload
)

// uploads reports whether a request may bring files.
func uploads(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/cases/") && strings.HasSuffix(r.URL.Path, "/answer")
}

// readForm parses a form, with files where they may come.
func readForm(r *http.Request) error {
	if uploads(r) && strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "multipart/form-data") {
		return r.ParseMultipartForm(maxUploadForm) // in memory, whatever comes
	}
	return r.ParseForm()
}

// answerCase writes a mail in the case's thread.
func (s *Server) answerCase(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	text, err := a.text("text", maxLetter)
	if err != nil {
		return err
	}
	if text == "" {
		return invalidError("invalid.empty")
	}
	answer := casedb.Answer{Text: text + "\n", Evidence: a.values.Get("evidence") != ""}
	if id, err := strconv.ParseInt(a.values.Get("inbound"), 10, 64); err == nil && id > 0 {
		answer.InboundID = &id
	}
	if answer.InboundID != nil && a.values.Get("quote") != "" {
		quote, err := quoteOf(ctx, tx, a.c, *answer.InboundID)
		if err != nil {
			return err
		}
		answer.Text += "\n" + quote
	}
	if answer.Evidence {
		groups, err := tx.LetterGroups(ctx, casedb.LetterScope{CaseID: a.c.ID, Now: a.v.now})
		if err != nil {
			return err
		}
		if len(groups) == 0 {
			return invalidError("invalid.noevidence")
		}
	}
	if answer.Files, err = readFiles(a.files); err != nil {
		return err
	}
	m, err := tx.AnswerCase(ctx, a.c.ID, a.version, answer, s.cfg.MailDomain, a.v.user.Name, a.v.now)
	if err != nil {
		return err
	}
	// The sender would drop it, and its writer learn of that from the queue.
	switch _, err = tx.Suppression(ctx, m.Recipient, a.v.now); {
	case err == nil:
		return invalidError("invalid.suppressed")
	case errors.Is(err, casedb.ErrNotFound):
		return nil
	}
	return err
}

// quoter is what quoteOf reads from.
type quoter interface {
	Inbound(ctx context.Context, id int64) (casedb.Inbound, error)
	LetterCase(ctx context.Context, caseID int64) (casedb.LetterCase, error)
}

// quoteOf quotes a mail of a case in the language of the case's mails.
func quoteOf(ctx context.Context, q quoter, c casedb.Case, inboundID int64) (string, error) {
	in, err := q.Inbound(ctx, inboundID)
	if err != nil {
		return "", err
	}
	if in.CaseID == nil || *in.CaseID != c.ID {
		return "", casedb.ErrNotFound
	}
	l, err := q.LetterCase(ctx, c.ID)
	if err != nil {
		return "", err
	}
	return notify.Quote(in, c.Language, l.Country), nil
}

// quoted is the form of an answer to one mail before anybody typed into it;
// the zero form if there is no such mail.
func (s *Server) quoted(ctx context.Context, c casedb.Case, answers []answerable, id string) (form, error) {
	for _, a := range answers {
		if strconv.FormatInt(a.ID, 10) != id {
			continue
		}
		quote, err := quoteOf(ctx, s.db, c, a.ID)
		return form{Name: "answer", Values: map[string][]string{"inbound": {id}, "text": {"\n\n" + quote}, "quoted": {"1"}}}, err
	}
	return form{}, nil
}

// readFiles reads the files of a form.
func readFiles(headers []*multipart.FileHeader) ([]casedb.MessageFile, error) {
	var files []casedb.MessageFile
	total := int64(0)
	for _, h := range headers {
		if h.Filename == "" && h.Size == 0 {
			continue // an unused field
		}
		if total += h.Size; total > maxUpload || len(files) == maxUploadFiles {
			return nil, invalidError("invalid.files")
		}
		f, err := h.Open()
		if err != nil {
			return nil, fmt.Errorf("read uploaded file: %w", err)
		}
		content, err := io.ReadAll(io.LimitReader(f, maxUpload))
		if err != nil {
			return nil, fmt.Errorf("read uploaded file: %w", err)
		}
		name := notify.FileName(h.Filename)
		if name == "" {
			name = "attachment"
		}
		files = append(files, casedb.MessageFile{Name: name, Type: safeType(name, content), Content: content})
	}
	return files, nil
}

// safeTypes are the types of files that mail programs show without running
// anything, by the end of the name.
var safeTypes = map[string]string{".txt": "text/plain", ".log": "text/plain", ".csv": "text/csv", ".json": "application/json",
	".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".zip": "application/zip", ".gz": "application/gzip",
	".pcap": "application/vnd.tcpdump.pcap", ".pcapng": "application/vnd.tcpdump.pcap", ".asc": "application/pgp-keys"}

// safeType is the type under which a file goes out, whatever its sender's
// browser takes it for.
func safeType(name string, content []byte) string {
	kind, ok := safeTypes[strings.ToLower(path.Ext(name))]
	if !ok || strings.HasPrefix(kind, "text/") && (!utf8.Valid(content) || strings.ContainsRune(string(content), 0)) {
		return "application/octet-stream"
	}
	return kind
}
