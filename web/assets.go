package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"

	"teiten/internal/casedb"
)

//go:embed static
var staticFiles embed.FS

// assets are the style sheet, the script and the pictures, each under the hash
// of its content, so that browsers may keep it for good.
type assets struct {
	byHash map[string]asset  // "hash/name"
	urls   map[string]string // name to URL path
}

type asset struct {
	data []byte
	kind string
}

// assetType is the content type of a file in static.
func assetType(name string) (string, bool) {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8", true
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	}
	return "", false
}

func loadAssets() (*assets, error) {
	a := &assets{byHash: make(map[string]asset), urls: make(map[string]string)}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("read assets: %w", err)
	}
	for _, e := range entries {
		kind, ok := assetType(e.Name())
		if !ok {
			return nil, fmt.Errorf("asset %s has no known type", e.Name())
		}
		data, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read asset: %w", err)
		}
		sum := sha256.Sum256(data)
		key := hex.EncodeToString(sum[:8]) + "/" + e.Name()
		a.byHash[key] = asset{data: data, kind: kind}
		a.urls[e.Name()] = "/assets/" + key
	}
	return a, nil
}

// url returns where the asset is served; the empty string for one that is not
// there, which the test of the templates notices.
func (a *assets) url(name string) string { return a.urls[name] }

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	file, ok := s.assets.byHash[r.PathValue("hash")+"/"+r.PathValue("name")]
	if !ok {
		s.fail(w, r, s.stranger(r), casedb.ErrNotFound)
		return
	}
	w.Header().Set("Content-Type", file.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(file.data) // a reader who went away is no error
}
