package web

import (
	"cmp"
	"mime"
	"net/http"
	"strconv"

	"teiten/internal/casedb"
	"teiten/notify"
)

// inboundFile hands out a file that came with a mail, as bytes that no browser
// shows or runs. It is a POST: no link elsewhere fetches it.
func (s *Server) inboundFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return casedb.ErrNotFound
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		return casedb.ErrNotFound
	}
	in, err := s.db.Inbound(r.Context(), id)
	if err != nil {
		return err
	}
	f, content, ok := notify.ParseMail(in.Raw).File(n)
	if !ok {
		return casedb.ErrNotFound
	}
	s.log.InfoContext(r.Context(), "file of a mail fetched", "inbound", id, "file", n, "sha256", f.SHA256, "user", v.user.Name)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": cmp.Or(f.Name, "attachment")}))
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(content) // a reader who left does not matter
	return nil
}
