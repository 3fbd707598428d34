package capture

import "teiten/internal/observation"

// answer counts a packet that answers a packet with our forged address: the
// answers of its minute, and those that answer a packet like the one that the
// key's first packet answered. Repetitions of the first packet by the stack are in
// neither count.
func (w *window) answer(e *entry, p *packet) (marks uint32) {
	x := w.ext(e)
	if x.minute == 0 { // the first packet
		x.minute, x.inMinute, x.marks[observation.MarkPeakMinute] = minuteOf(e.when), 1, 1
	}
	n := answered(p.class, p.flags, p.seq, p.ack)
	alike := n != 0 && n == answered(p.class, e.flags, e.seq, e.ack)
	elsewhere := p.dst != e.firstDst || p.peer != e.peers[0]
	if alike && !elsewhere {
		return 0
	}
	switch m := minuteOf(p.when); {
	case m == x.minute:
		x.inMinute++
	case m > x.minute:
		x.minute, x.inMinute = m, 1
	}
	x.marks[observation.MarkPeakMinute] = max(x.marks[observation.MarkPeakMinute], x.inMinute)
	if alike {
		marks |= observation.MarkSameAck.Bit()
	}
	if elsewhere && p.win != 0 && p.win == e.win {
		marks |= observation.MarkSameWindow.Bit()
	}
	return marks
}

// answered is the number that an answer repeats from the header it answers: the
// acknowledgement number, which is one more than a SYN's sequence number; of a
// reset without one its sequence number, which is what was acknowledged (RFC
// 9293, 3.10.7.1); of an ICMP error the quoted sequence number. 0 is none.
func answered(c observation.Class, flags uint8, seq, ack uint32) uint32 {
	if c == observation.ClassRST && flags&flagACK == 0 {
		return seq
	}
	return ack
}

// minuteOf numbers the minute of a time from 1 on.
func minuteOf(when int64) uint32 { return uint32(when/60e9) + 1 }
