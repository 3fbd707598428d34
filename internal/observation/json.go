package observation

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/netip"
	"time"
)

// Fingerprints, samples and marks in JSON, as encoding/json writes them. Reading a
// day of observations through encoding/json takes two thirds of the time, so text
// in the fixed order of keys is read here, and everything else by encoding/json.

// DecodeFingerprints appends the fingerprints of a JSON array to f.
func DecodeFingerprints(text []byte, f []Fingerprint) ([]Fingerprint, error) {
	had := len(f)
	c := jsonCursor{b: text}
	if c.lit("[") {
		for {
			var p Fingerprint
			p.TTL = uint8(c.key(`{"ttl":`, math.MaxUint8))
			p.Window = uint16(c.key(`,"win":`, math.MaxUint16))
			p.Options = c.text(`,"opt":"`)
			p.Packets = c.key(`,"n":`, math.MaxUint64)
			c.want(`}`)
			f = append(f, p)
			if !c.lit(",") {
				break
			}
		}
		c.want("]")
		if c.ended() {
			return f, nil
		}
	}
	var slow []Fingerprint
	err := json.Unmarshal(text, &slow)
	return append(f[:had], slow...), err
}

// DecodeSamples appends the samples of a JSON array to samples. Options and payloads
// lie in arena, which is returned grown.
func DecodeSamples(text []byte, samples []Sample, arena []byte) ([]Sample, []byte, error) {
	had, hadBytes := len(samples), len(arena)
	c := jsonCursor{b: text, arena: arena}
	if c.lit("[") {
		for {
			var s Sample
			s.When = c.time(`{"when":"`)
			s.Destination = c.addr(`,"dst":"`)
			s.SourcePort = uint16(c.key(`,"sport":`, math.MaxUint16))
			s.DestPort = uint16(c.key(`,"dport":`, math.MaxUint16))
			s.TTL = uint8(c.key(`,"ttl":`, math.MaxUint8))
			s.ID = uint16(c.key(`,"id":`, math.MaxUint16))
			s.DF = c.lit(`,"df":true`)
			s.Flags = uint8(c.optional(`,"flags":`, math.MaxUint8))
			s.Seq = uint32(c.optional(`,"seq":`, math.MaxUint32))
			s.Ack = uint32(c.optional(`,"ack":`, math.MaxUint32))
			s.Window = uint16(c.optional(`,"win":`, math.MaxUint16))
			s.Options = c.bytes(`,"opt":"`)
			s.Payload = c.bytes(`,"payload":"`)
			if c.lit(`,"quoted":{"src":"`) {
				s.Quoted = &Quote{
					Source:      c.addr(``),
					Destination: c.addr(`,"dst":"`),
					Proto:       uint8(c.key(`,"proto":`, math.MaxUint8)),
					SourcePort:  uint16(c.key(`,"sport":`, math.MaxUint16)),
					DestPort:    uint16(c.key(`,"dport":`, math.MaxUint16)),
				}
				c.want(`}`)
			}
			c.want(`}`)
			samples = append(samples, s)
			if !c.lit(",") {
				break
			}
		}
		c.want("]")
		if c.ended() {
			return samples, c.arena, nil
		}
	}
	var slow []Sample
	err := json.Unmarshal(text, &slow)
	return append(samples[:had], slow...), arena[:hadBytes], err
}

// DecodeMarks appends the counts of a JSON object to marks in the order of Marks. Marks that
// this version does not know are left out.
func DecodeMarks(text []byte, marks []MarkCount) ([]MarkCount, error) {
	var counts [32]MarkCount
	n := 0
	c := jsonCursor{b: text}
	c.want(`{`)
	for sep := `"`; n < len(counts) && c.lit(sep); n++ { // jsonb puts spaces there
		counts[n].Mark = c.mark()
		counts[n].Packets = c.key(`: `, math.MaxUint64)
		sep = `, "`
	}
	c.want(`}`)
	if !c.ended() {
		slow := map[string]uint64{}
		if err := json.Unmarshal(text, &slow); err != nil {
			return marks, err
		}
		for m := range Marks {
			if packets, ok := slow[m.String()]; ok {
				marks = append(marks, MarkCount{Mark: m, Packets: packets})
			}
		}
		return marks, nil
	}
	for m := range Marks {
		for _, c := range counts[:n] {
			if c.Mark == m {
				marks = append(marks, c)
			}
		}
	}
	return marks, nil
}

// jsonCursor reads JSON that is expected to be just so; bad is set where it is
// not, and everything after that reads as zero.
type jsonCursor struct {
	b     []byte
	bad   bool
	arena []byte
}

// lit takes s if it comes next.
func (c *jsonCursor) lit(s string) bool {
	if c.bad || len(c.b) < len(s) || string(c.b[:len(s)]) != s {
		return false
	}
	c.b = c.b[len(s):]
	return true
}

func (c *jsonCursor) want(s string) {
	if !c.lit(s) {
		c.bad = true
	}
}

func (c *jsonCursor) ended() bool { return !c.bad && len(c.b) == 0 }

// key takes s and the number after it.
func (c *jsonCursor) key(s string, limit uint64) uint64 {
	c.want(s)
	return c.number(limit)
}

// optional is key where the key may be left out.
func (c *jsonCursor) optional(s string, limit uint64) uint64 {
	if !c.lit(s) {
		return 0
	}
	return c.number(limit)
}

func (c *jsonCursor) number(limit uint64) (n uint64) {
	digits := 0
	for ; digits < len(c.b) && c.b[digits]-'0' <= 9; digits++ {
		if n > (math.MaxUint64-9)/10 {
			c.bad = true
			return 0
		}
		n = n*10 + uint64(c.b[digits]-'0')
	}
	if c.bad || digits == 0 || n > limit || (digits > 1 && c.b[0] == '0') {
		c.bad = true
		return 0
	}
	c.b = c.b[digits:]
	return n
}

// quoted takes the rest of a string and its closing quotation mark. Escapes
// and anything but printable ASCII are left to encoding/json.
func (c *jsonCursor) quoted() []byte {
	for i, ch := range c.b {
		if ch == '"' {
			s := c.b[:i]
			c.b = c.b[i+1:]
			return s
		}
		if ch == '\\' || ch < 0x20 || ch >= 0x80 {
			break
		}
	}
	c.bad = true
	return nil
}

func (c *jsonCursor) text(key string) string {
	c.want(key)
	return string(c.quotedUnlessBad())
}

// mark takes a mark's name without making a string of it.
func (c *jsonCursor) mark() Mark {
	m, _ := ParseMark(string(c.quoted()))
	return m
}

// time takes a time as strictly as encoding/json does, in UTC only.
func (c *jsonCursor) time(key string) (t time.Time) {
	c.want(key)
	s := c.quotedUnlessBad()
	if len(s) == 0 || s[len(s)-1] != 'Z' || t.UnmarshalText(s) != nil {
		c.bad = true
	}
	return t
}

// addr takes an address; an empty one is none.
func (c *jsonCursor) addr(key string) (a netip.Addr) {
	c.want(key)
	if a.UnmarshalText(c.quotedUnlessBad()) != nil {
		c.bad = true
	}
	return a
}

func (c *jsonCursor) quotedUnlessBad() []byte {
	if c.bad {
		return nil
	}
	return c.quoted()
}

// bytes takes base64, if the key comes next, into the arena.
func (c *jsonCursor) bytes(key string) []byte {
	if !c.lit(key) {
		return nil
	}
	s := c.quoted()
	if c.bad {
		return nil
	}
	from := len(c.arena)
	grown, err := base64.StdEncoding.AppendDecode(c.arena, s)
	if err != nil || len(grown) == from {
		c.bad = true
		return nil
	}
	c.arena = grown
	return grown[from:len(grown):len(grown)]
}
