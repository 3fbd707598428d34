package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// foreign is a format of files that people give and that is no capture, or none
// that is read here.
type foreign struct {
	name  string
	magic string
	at    int // where the magic number is
	help  string
}

// Commands that make a capture of another file. FILE is the user's.
const (
	helpWireshark = "editcap -F pcap FILE OUT.pcap, of Wireshark, converts it"
	helpText      = "it is text; give the capture itself (tcpdump -w)"
)

// foreigns lists the formats by their magic numbers (the database of file(1)).
var foreigns = []foreign{
	{"xz", "\xfd7zXZ\x00", 0, "try: xz -dc FILE | teiten ... -"},
	{"bzip2", "BZh", 0, "try: bzip2 -dc FILE | teiten ... -"},
	{"lz4", "\x04\x22\x4d\x18", 0, "try: lz4 -dc FILE | teiten ... -"},
	{"lz4 (legacy)", "\x02\x21\x4c\x18", 0, "try: lz4 -dc FILE | teiten ... -"},
	{"lzip", "LZIP", 0, "try: lzip -dc FILE | teiten ... -"},
	{"lzop", "\x89LZO", 0, "try: lzop -dc FILE | teiten ... -"},
	{"lzma", "\x5d\x00\x00", 0, "try: xz -dc --format=lzma FILE | teiten ... -"},
	{"compress (.Z)", "\x1f\x9d", 0, "try: gzip -dc FILE | teiten ... -"},
	{"zip", "PK\x03\x04", 0, "try: unzip -p FILE | teiten ... -"},
	{"zip (empty)", "PK\x05\x06", 0, "the archive has no file"},
	{"7-Zip", "7z\xbc\xaf\x27\x1c", 0, "try: 7z x -so FILE | teiten ... -"},
	{"RAR", "Rar!\x1a\x07", 0, "try: unrar p -inul FILE | teiten ... -"},
	{"tar", "ustar", 257, "try: tar -xOf FILE | teiten ... -"},
	{"cpio", "07070", 0, "unpack it first"},
	{"ar", "!<arch>\n", 0, "unpack it first"},
	{"snoop (RFC 1761)", "snoop\x00\x00\x00", 0, helpWireshark},
	{"btsnoop, Bluetooth", "btsnoop\x00", 0, helpWireshark},
	{"Microsoft Network Monitor", "GMBU", 0, helpWireshark},
	{"Microsoft Network Monitor 1", "RTSS", 0, helpWireshark},
	{"AIX iptrace", "iptrace ", 0, helpWireshark},
	{"Sniffer", "TRSNIFF data", 0, helpWireshark},
	{"NetXRay, Windows Sniffer", "XCP\x00", 0, helpWireshark},
	{"Endace or Tektronix rf5", "\x00\x00\x02\x00\x12\x05\x00\x10", 0, helpWireshark},
	{"Visual Networks", "\x05VNF", 0, helpWireshark},
	{"HP-UX nettl", "\x54\x52\x00\x64\x00", 0, helpWireshark},
	{"Savvius *Peek", "\x7fver", 0, helpWireshark},
	{"Apple PacketLogger", "\x00\x00\x00\x0f\x00\x00", 0, helpWireshark},
	{"Windows event trace (.etl)", "\x00\x00\x00\x00\x00\x00\x01\x01", 36, "etl2pcapng FILE OUT.pcapng converts it"},
	{"Parquet", "PAR1", 0, "it has rows, no packets"},
	{"SQLite", "SQLite format 3\x00", 0, "it has rows, no packets"},
	{"PDF", "%PDF-", 0, "it has no packets"},
	{"a Git LFS pointer", "version https://git-lfs", 0, "the capture itself was not fetched: git lfs pull"},
	{"an HTML page", "<!DOCTYPE", 0, "the download gave a page instead of the file"},
	{"an HTML page", "<!doctype", 0, "the download gave a page instead of the file"},
	{"an HTML page", "<html", 0, "the download gave a page instead of the file"},
}

// otherFormat says what the first bytes of a file that is no capture are, and
// which command helps; "" if that is not known.
func otherFormat(head []byte) string {
	for _, f := range foreigns {
		if len(head) >= f.at+len(f.magic) && string(head[f.at:f.at+len(f.magic)]) == f.magic {
			return fmt.Sprintf("this is %s; %s", f.name, f.help)
		}
	}
	switch {
	case isERF(head):
		return "this looks like ERF (Endace); " + helpWireshark
	case isText(head):
		return helpText
	}
	return ""
}

// isERF recognises records of Endace's format, which has no magic number: a type,
// a length of the record, and behind it another record of about the same time.
func isERF(b []byte) bool {
	le, be := binary.LittleEndian, binary.BigEndian
	record := func(b []byte) (seconds uint32, size int, ok bool) {
		if len(b) < 16 {
			return 0, 0, false
		}
		size = int(be.Uint16(b[10:]))
		return le.Uint32(b[4:]), size, b[8]&0x7f >= 1 && b[8]&0x7f <= 27 && size >= 16 && le.Uint32(b[4:]) > 1e8
	}
	first, size, ok := record(b)
	switch {
	case !ok:
		return false
	case size+16 > len(b): // the next one is not in sight: the length on the wire must do
		return int(be.Uint16(b[14:])) <= size && be.Uint16(b[14:]) > 0
	}
	next, _, ok := record(b[size:])
	return ok && next-first < 3600
}

// isText says whether the bytes are text of one line or more.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return len(b) >= 32 && bytes.IndexByte(b, '\n') >= 0
}
