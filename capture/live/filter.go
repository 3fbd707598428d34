package live

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
)

// Link says where the IP header of a frame begins.
type Link int

// The links that a filter can be made for.
const (
	Ethernet Link = iota // a tag that the kernel took out is not in the frame
	Raw                  // the frame begins with the IP header
)

// MaxInstructions is the most that the kernel takes (BPF_MAXINSNS in
// linux/bpf_common.h).
const MaxInstructions = 4096

// ErrFilterTooLong says that the prefixes do not fit a kernel filter.
var ErrFilterTooLong = errors.New("too many prefixes for a filter in the kernel")

const (
	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd
	typeVLAN = 0x8100 // IEEE 802.1Q
	typeQinQ = 0x88a8 // IEEE 802.1ad

	ipv4Destination = 16 // RFC 791, section 3.1
	ipv6Destination = 24 // RFC 8200, section 3
)

// Filter makes the program that lets pass what goes to one of the prefixes, cut
// to snap bytes. A load behind the frame's end rejects the frame. Prefixes are
// taken by family: a v4-mapped one is refused, as no IPv4 packet has such an
// address. The time per packet grows with the logarithm of the prefixes.
func Filter(link Link, prefixes []netip.Prefix, snap uint32) ([]bpf.Instruction, error) {
	var v4, v6 []rule
	for _, p := range prefixes {
		switch {
		case !p.IsValid():
			return nil, fmt.Errorf("make filter: prefix %v is not valid", p)
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("make filter: prefix %v is v4-mapped", p)
		case p.Addr().Is4():
			v4 = append(v4, newRule(p))
		default:
			v6 = append(v6, newRule(p))
		}
	}
	accept := bpf.RetConstant{Val: snap}
	four := match(v4, ipv4Destination, accept)
	six := match(v6, ipv6Destination, accept)
	prog, isFour, isSix := head(link)
	// The jump to IPv4 is of its own: a condition reaches 255 instructions only.
	prog = append(prog,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: isFour, SkipFalse: 1},
		bpf.Jump{Skip: uint32(2 + len(six))},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: isSix, SkipTrue: 1},
		bpf.RetConstant{})
	prog = append(append(prog, six...), four...)
	if len(prog) > MaxInstructions {
		return nil, fmt.Errorf("make filter: %d instructions: %w", len(prog), ErrFilterTooLong)
	}
	return prog, nil
}

// head puts the IP header's offset into X and what tells the version into A.
// One tag is stepped over: the kernel takes only the outer one of two out.
func head(link Link) (prog []bpf.Instruction, isFour, isSix uint32) {
	if link == Raw {
		return []bpf.Instruction{
			bpf.LoadConstant{Dst: bpf.RegX},
			bpf.LoadAbsolute{Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
		}, 0x40, 0x60
	}
	return []bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegX, Val: 14},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeVLAN, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: typeQinQ, SkipTrue: 2},
		bpf.LoadConstant{Dst: bpf.RegX, Val: 18},
		bpf.LoadAbsolute{Off: 16, Size: 2},
	}, typeIPv4, typeIPv6
}

// rule is what is left of a prefix: the words of its address and its bits.
type rule struct {
	words [4]uint32
	bits  int
}

func newRule(p netip.Prefix) rule {
	r := rule{bits: p.Bits()}
	for i, b := 0, p.Masked().Addr().AsSlice(); len(b) > 0; i, b = i+1, b[4:] {
		r.words[i] = binary.BigEndian.Uint32(b)
	}
	return r
}

// span is a range of one word of the address; deeper has the rules that go on
// in the next word, and none where the word decides.
type span struct {
	low, high uint32
	deeper    []rule
}

// match makes the program for the word at off behind X and those after it.
func match(rules []rule, off uint32, accept bpf.Instruction) []bpf.Instruction {
	return matchWord(rules, 0, off, accept)
}

func matchWord(rules []rule, word int, off uint32, accept bpf.Instruction) []bpf.Instruction {
	if len(rules) == 0 {
		return []bpf.Instruction{bpf.RetConstant{}}
	}
	load := bpf.LoadIndirect{Off: off + 4*uint32(word), Size: 4}
	return append([]bpf.Instruction{load}, search(spans(rules, word), word, off, accept)...)
}

// spans sorts rules into ranges that do not overlap.
func spans(rules []rule, word int) []span {
	var all []span
	for _, r := range rules {
		low := r.words[word]
		if here := r.bits - 32*word; here <= 32 {
			all = append(all, span{low: low, high: low | uint32(uint64(1)<<(32-here)-1)})
		} else {
			all = append(all, span{low, low, []rule{r}})
		}
	}
	// Of those that begin alike the widest is first, one that decides before
	// one that goes on, so that a span is either in the one before or behind it.
	slices.SortFunc(all, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(b.high, a.high),
			cmp.Compare(len(a.deeper), len(b.deeper)))
	})
	out := all[:1]
	for _, s := range all[1:] {
		last := &out[len(out)-1]
		decided := last.deeper == nil
		switch {
		case s.low <= last.high && decided: // within
		case s.low == last.low && s.high == last.high:
			last.deeper = append(last.deeper, s.deeper...)
		case decided && s.deeper == nil && s.low == last.high+1:
			last.high = s.high
		default:
			out = append(out, s)
		}
	}
	return out
}

// search makes a binary search over spans, with the word in A.
func search(all []span, word int, off uint32, accept bpf.Instruction) []bpf.Instruction {
	if len(all) > 1 {
		mid := len(all) / 2
		left := search(all[:mid], word, off, accept)
		right := search(all[mid:], word, off, accept)
		prog := []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: all[mid].low, SkipFalse: 1},
			bpf.Jump{Skip: uint32(len(left))},
		}
		return append(append(prog, left...), right...)
	}
	s := all[0]
	prog := []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: s.low, SkipFalse: 1},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: s.high, SkipFalse: 1},
		bpf.RetConstant{},
	}
	if s.deeper == nil {
		return append(prog, accept)
	}
	return append(prog, matchWord(s.deeper, word+1, off, accept)...)
}
