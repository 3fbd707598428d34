package attribution

import (
	"slices"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// fixed counts the answers that tell what the packets of an attack on the
// source had in common.
func (p *Profile) fixed() (c casedb.Fixed) {
	for i := range p.entryCount() {
		if e := p.entry(i); !e.has(flagEstablished) {
			e.countFixed(&c)
		}
	}
	return c
}

// countFixed adds the entry's packets if they are answers to TCP.
func (e *entry) countFixed(c *casedb.Fixed) {
	quote := e.class.ICMPError() && e.window == protoTCP
	if e.class != observation.ClassSYNACK && e.class != observation.ClassRST && !quote {
		return
	}
	c.Sequence += e.mark(observation.MarkSameAck)
	c.SequenceOf += e.packets
	if !quote && e.window != 0 { // nearly every stack's reset has window 0
		c.Window += e.mark(observation.MarkSameWindow)
		c.WindowOf += e.packets
	}
}

// noteFixed puts the counts into the evidence, unless there are too few, and
// notes those that are nearly all: four fifths, since the first packet of an
// observation and its repetitions are in the number but never counted as alike.
func noteFixed(e *casedb.Evidence, c casedb.Fixed) {
	e.Fixed = nil
	if c.SequenceOf < attackPackets {
		return
	}
	e.Fixed = &c
	e.Notes = slices.Clip(e.Notes)
	if c.Sequence > 0 && 5*c.Sequence >= 4*c.SequenceOf {
		e.Notes = append(e.Notes, NoteFixedSequence)
	}
	if c.WindowOf >= attackPackets && 5*c.Window >= 4*c.WindowOf {
		e.Notes = append(e.Notes, NoteFixedWindow)
	}
}
