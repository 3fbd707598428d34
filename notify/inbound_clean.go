package notify

import "bytes"

// What a parser sees of a header. Mail in the field stays far below: a long file
// name takes twenty parameters (RFC 2231, 3), a long thread 4 kB of References.
const (
	maxField  = 8 << 10   // bytes of one field with its continuations
	maxHeader = 256 << 10 // bytes of all fields of one part
)

// readable makes of a mail as it came what the parsers read: lines that end in CRLF
// or LF (see endLines), and header fields that are not longer than a mail needs.
// Parsers of parameters and addresses take time that grows with the square of a
// field's length.
func readable(raw []byte) []byte { return cutFields(endLines(stripMbox(raw))) }

// endLines gives lines that end in CR alone (RFC 5321, 2.3.8 forbids it; some
// relays and archives do it all the same), or in CR CR LF, the end that mail has.
// CR CR LF is one end where no line ends in CR alone and the header then ends
// (RFC 5322, 2.1: an empty line); else it is two.
func endLines(raw []byte) []byte {
	doubled := bytes.Count(raw, []byte("\r\r\n"))
	bare := bytes.Count(raw, []byte("\r")) - bytes.Count(raw, []byte("\r\n"))
	if bare == 0 {
		return raw
	}
	if bare == doubled {
		one := bytes.ReplaceAll(raw, []byte("\r\r\n"), []byte("\r\n"))
		if bytes.Contains(one, []byte("\n\r\n")) || bytes.Contains(one, []byte("\n\n")) {
			return one
		}
	}
	out := make([]byte, 0, len(raw)+len(raw)/20+2)
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\r' {
			out = append(out, raw[i])
			continue
		}
		out = append(out, "\r\n"...)
		if i+1 < len(raw) && raw[i+1] == '\n' {
			i++
		}
	}
	return out
}

// cutFields cuts the fields of each header, that of the mail and those of its
// parts, to maxField, and each header to maxHeader. A mail without such fields
// stays as it is.
func cutFields(raw []byte) []byte {
	var out []byte // nil as long as nothing was cut
	kept := 0      // what is before is in out
	inHeader, field, header := true, 0, 0
	for at := 0; at < len(raw); {
		end := len(raw)
		if i := bytes.IndexByte(raw[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := bytes.TrimRight(raw[at:end], "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte("--")) && len(line) > 2 && !inHeader:
			inHeader, field, header = true, 0, 0
		case !inHeader:
		case len(line) == 0:
			inHeader = header == 0 // empty lines in front of a header do not end it
		default:
			if line[0] != ' ' && line[0] != '\t' {
				field = 0
			}
			left := min(maxField-field, maxHeader-header)
			field += end - at
			header += end - at
			if left < end-at {
				out = append(out, raw[kept:at]...)
				if left > 0 {
					out = append(append(out, raw[at:at+min(left, len(line))]...), "\r\n"...)
				}
				kept = end
			}
		}
		at = end
	}
	if kept == 0 {
		return raw
	}
	return append(out, raw[kept:]...)
}
