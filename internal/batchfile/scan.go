package batchfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Limits bound what is read of a file. The zero value means DefaultLimits.
type Limits struct {
	Bytes int64 // of the file
	Rows  int64
	// Page is the size of a page after decompression; a reader holds one of each
	// column at a time.
	Page int32
}

// DefaultLimits are those of a hub: a window of a million keys fits.
func DefaultLimits() Limits { return Limits{Bytes: 256 << 20, Rows: 1 << 21, Page: 4 << 20} }

const (
	magic         = "PAR1"
	maxFooter     = 2 << 20
	maxPageHeader = 64 << 10
	maxGroups     = 4096
	// maxDictionary bounds a dictionary, whose entries can stand in every row.
	maxDictionary = 64 << 10
	maxAbout      = 256 << 10
)

// scan checks everything that the library would believe: sizes, counts and places
// of the footer and of all pages.
func scan(r io.ReaderAt, size int64, limits Limits) (*parquet.File, error) {
	if size > limits.Bytes {
		return nil, refuse(TooLarge, "the file has %d bytes, more than %d", size, limits.Bytes)
	}
	footer, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	if _, err := walkThrift(footer); err != nil {
		return nil, refuse(Damaged, "footer: %v", err)
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.SkipMagicBytes(false))
	if err != nil {
		return nil, refuse(Damaged, "open: %v", err)
	}
	schema := parquet.SchemaOf(row{})
	if got := f.Schema().String(); got != schema.String() {
		return nil, refuse(Schema, "the columns are not those of a batch")
	}
	meta := f.Metadata()
	if meta.NumRows < 0 || meta.NumRows > limits.Rows || len(meta.RowGroups) > maxGroups {
		return nil, refuse(TooLarge, "%d rows in %d groups", meta.NumRows, len(meta.RowGroups))
	}
	w, err := newScanner(r, size, limits)
	if err != nil {
		return nil, err
	}
	defer w.zstd.Close()
	rows := int64(0)
	columns := len(schema.Columns())
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		if g.NumRows < 0 || g.NumRows > groupRows || len(g.Columns) != columns {
			return nil, refuse(Damaged, "row group %d has %d rows and %d columns", i, g.NumRows, len(g.Columns))
		}
		rows += g.NumRows
		for k := range g.Columns {
			if err := w.column(&g.Columns[k].MetaData, g.NumRows); err != nil {
				return nil, err
			}
		}
	}
	if rows != meta.NumRows {
		return nil, refuse(Damaged, "the row groups have %d rows, the file says %d", rows, meta.NumRows)
	}
	return f, nil
}

// readFooter returns the file's metadata in Thrift.
func readFooter(r io.ReaderAt, size int64) ([]byte, error) {
	if size < 12 {
		return nil, refuse(Damaged, "%d bytes are no Parquet file", size)
	}
	var head [4]byte
	var tail [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("read batch file: %w", err)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read batch file: %w", err)
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(head[:]) != magic || string(tail[4:]) != magic || n > size-12 {
		return nil, refuse(Damaged, "not a whole Parquet file")
	}
	if n > maxFooter {
		return nil, refuse(TooLarge, "a footer of %d bytes", n)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-8-n); err != nil {
		return nil, fmt.Errorf("read batch file: %w", err)
	}
	return footer, nil
}

// scanner walks pages. Its buffers serve all of them.
type scanner struct {
	r      io.ReaderAt
	size   int64
	limits Limits
	zstd   *zstd.Decoder
	head   []byte
	packed []byte
	plain  []byte
}

func newScanner(r io.ReaderAt, size int64, limits Limits) (*scanner, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limits.Page)), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("read batch file: %w", err)
	}
	return &scanner{r: r, size: size, limits: limits, zstd: d, head: make([]byte, maxPageHeader)}, nil
}

// page decompresses a page within the limits: the library would do so without any.
func (s *scanner) page(at int64, p *format.PageHeader) error {
	s.packed = slices.Grow(s.packed[:0], int(p.CompressedPageSize))[:p.CompressedPageSize]
	if _, err := s.r.ReadAt(s.packed, at); err != nil && err != io.EOF {
		return fmt.Errorf("read batch file: %w", err)
	}
	var err error
	if s.plain, err = s.zstd.DecodeAll(s.packed, s.plain[:0]); err != nil || len(s.plain) != int(p.UncompressedPageSize) {
		return refuse(Damaged, "a page of %d bytes has %d (%v)", p.UncompressedPageSize, len(s.plain), err)
	}
	return nil
}

// maxWindow is the largest window of a frame that is read.
const maxWindow = 8 << 20

// column walks the pages of one column of a row group.
func (s *scanner) column(c *format.ColumnMetaData, rows int64) error {
	r, size, limits := s.r, s.size, s.limits
	at := c.DataPageOffset
	if c.DictionaryPageOffset != 0 {
		at = c.DictionaryPageOffset
	}
	end := at + c.TotalCompressedSize
	if c.Codec != format.Zstd || c.NumValues != rows || at < 4 || c.TotalCompressedSize < 0 || end < at || end > size ||
		c.DataPageOffset < at || c.DataPageOffset > end {
		return refuse(Damaged, "column %v: codec %v, %d values at %d to %d", c.PathInSchema, c.Codec, c.NumValues, at, end)
	}
	values := int64(0)
	head := s.head
	for at < end {
		b := head[:min(int64(len(head)), end-at)]
		if _, err := r.ReadAt(b, at); err != nil && err != io.EOF {
			return fmt.Errorf("read batch file: %w", err)
		}
		n, err := walkThrift(b)
		if err != nil {
			return refuse(Damaged, "column %v: page header: %v", c.PathInSchema, err)
		}
		var p format.PageHeader
		if err := thrift.Unmarshal(new(thrift.CompactProtocol), b[:n], &p); err != nil {
			return refuse(Damaged, "column %v: page header: %v", c.PathInSchema, err)
		}
		at += int64(n)
		data, err := pageValues(&p, limits)
		if err != nil {
			return refuse(Damaged, "column %v: %v", c.PathInSchema, err)
		}
		values += data
		if int64(p.CompressedPageSize) > end-at {
			return refuse(Damaged, "column %v: a page of %d bytes, %d are left", c.PathInSchema, p.CompressedPageSize, end-at)
		}
		if int64(p.CompressedPageSize) > int64(limits.Page)+maxPageHeader {
			return refuse(TooLarge, "column %v: a page of %d bytes", c.PathInSchema, p.CompressedPageSize)
		}
		if err := s.page(at, &p); err != nil {
			return err
		}
		at += int64(p.CompressedPageSize)
	}
	if values != rows {
		return refuse(Damaged, "column %v has %d values for %d rows", c.PathInSchema, values, rows)
	}
	return nil
}

// pageValues checks a page's header and returns the number of values that it adds
// to its column. Only the plain encoding and dictionaries are good: in others a
// small page can hold long values.
func pageValues(p *format.PageHeader, limits Limits) (int64, error) {
	if p.UncompressedPageSize < 0 || p.CompressedPageSize < 0 || p.UncompressedPageSize > limits.Page {
		return 0, fmt.Errorf("a page of %d bytes, %d compressed", p.UncompressedPageSize, p.CompressedPageSize)
	}
	values, encoding := int32(0), format.Plain
	switch {
	case p.Type == format.DictionaryPage && p.DictionaryPageHeader.Valid:
		if p.UncompressedPageSize > maxDictionary || p.DictionaryPageHeader.V.NumValues < 0 || p.DictionaryPageHeader.V.NumValues > maxDictionary {
			return 0, fmt.Errorf("a dictionary of %d bytes", p.UncompressedPageSize)
		}
		return 0, nil
	case p.Type == format.DataPage && p.DataPageHeader.Valid:
		values, encoding = p.DataPageHeader.V.NumValues, p.DataPageHeader.V.Encoding
	case p.Type == format.DataPageV2 && p.DataPageHeaderV2.Valid:
		h := &p.DataPageHeaderV2.V
		values, encoding = h.NumValues, h.Encoding
		if h.NumNulls != 0 || h.NumRows != h.NumValues || h.DefinitionLevelsByteLength != 0 || h.RepetitionLevelsByteLength != 0 {
			return 0, fmt.Errorf("a page with levels")
		}
	default:
		return 0, fmt.Errorf("a page of type %v", p.Type)
	}
	// A few bytes can stand for many values in a dictionary's indexes.
	if values < 0 || values > groupRows || int64(values) > limits.Rows {
		return 0, fmt.Errorf("a page of %d values", values)
	}
	if encoding != format.Plain && encoding != format.RLEDictionary && encoding != format.RLE {
		return 0, fmt.Errorf("encoding %v", encoding)
	}
	return int64(values), nil
}
