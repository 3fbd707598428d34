package migrations

import (
	"context"
	"database/sql"
	"io/fs"
)

// ApplyFiles is Apply with other files.
func ApplyFiles(ctx context.Context, db *sql.DB, fsys fs.FS) (Result, error) {
	return apply(ctx, db, fsys)
}

// Files are the embedded files.
func Files() fs.FS { return files }
