package attribution

import (
	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// count is the packets that show a mark, of those that could have.
type count struct{ hits, of uint64 }

// marked adds up the groups of one protocol and class in which a mark is more
// than chance: two hits at least, and half of the packets. Groups in which the
// mark is rarer (the RSTs of a ZMap host's kernel) do not dilute it.
func (f *facts) marked(m observation.Mark) count {
	var c count
	if f.marks&m.Bit() == 0 {
		return c
	}
	for i := range f.groups {
		g := &f.groups[i]
		if k := g.hits[m]; k >= 2 && 2*k >= g.attempts && probeClass(g.class) {
			c.hits += k
			c.of += g.attempts
		}
	}
	return c
}

// probeClass reports whether scanners send packets of the class: all but what
// stacks answer with.
func probeClass(c observation.Class) bool {
	return !c.ICMPError() && c != observation.ClassRST && c != observation.ClassICMPReply
}

// toolRule is the rule for a scanner that betrays itself by a mark.
func toolRule(m observation.Mark) func(p *Profile) (casedb.Verdict, bool) {
	return func(p *Profile) (casedb.Verdict, bool) {
		v, ok := p.toolVerdict(m)
		if ok {
			v.Evidence.V.Also = p.also(m)
		}
		return v, ok
	}
}

func toolOf(m observation.Mark) string {
	switch m {
	case observation.MarkZMap, observation.MarkZMapOptions, observation.MarkZMapTime:
		return ToolZMap
	case observation.MarkMasscan, observation.MarkMasscanK:
		return ToolMasscan
	case observation.MarkNmap:
		return ToolNmap
	case observation.MarkUnicornscan:
		return ToolUnicornscan
	case observation.MarkHping:
		return ToolHping
	case observation.MarkAngryIP:
		return ToolAngryIP
	}
	return ""
}

func (p *Profile) toolVerdict(m observation.Mark) (casedb.Verdict, bool) {
	f := p.facts
	if f.marks&m.Bit() == 0 {
		return casedb.Verdict{}, false
	}
	c := f.marked(m)
	if c.hits == 0 {
		return p.weakTool(m)
	}
	if m == observation.MarkHping && (p.Destinations() < 5 && f.ports < 5 || f.established > 0) {
		return casedb.Verdict{}, false // a flood of one port, or an odd client
	}
	if m == observation.MarkAngryIP && p.Destinations() < angryIPDests {
		return casedb.Verdict{}, false // somebody pings one host, or a few
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Tool: toolOf(m), Confidence: toolConfidence(m, c)}
	rate, assumed := perPacket(m)
	e := &v.Evidence.V
	e.Hits, e.Of, e.Chance = c.hits, c.of, Chance(c.hits, c.of, rate)
	if assumed {
		e.Notes = append(e.Notes, NoteAssumedChance)
	}
	e.Weak = m == observation.MarkHping
	v.Ports = f.portList(maxPorts, func(e *entry) bool { return e.mark(m) > 0 })
	return v, true
}

// angryIPDests is the number of addresses from which on pings with zeros are a
// scan: many other programs that watch whether a host is up send them too.
const angryIPDests = 5

func toolConfidence(m observation.Mark, c count) float64 {
	most := 0.99
	switch m {
	case observation.MarkZMapOptions:
		most = 0.8
	case observation.MarkAngryIP:
		most = 0.85
	case observation.MarkHping:
		return 0.5
	case observation.MarkZMapTime:
		most = 0.95
	}
	switch {
	case c.hits < 3:
		return min(most, 0.85)
	case c.hits < 8:
		return min(most, 0.95)
	}
	return most
}

// weakTool answers for a source of one packet only, if the fields other than the
// mark also agree with the tool.
func (p *Profile) weakTool(m observation.Mark) (casedb.Verdict, bool) {
	e := &p.one
	if !p.oneAttempt() || e.mark(m) != 1 || e.has(flagDF) || !e.has(flagSample) {
		return casedb.Verdict{}, false
	}
	agree := false
	switch m {
	case observation.MarkZMap: // TTL 255 less the hops; TCP window 65535
		agree = e.ttl > 190 && (e.proto != protoTCP || e.window == 65535) && probeClass(e.class)
	case observation.MarkMasscan, observation.MarkMasscanK: // TTL 255 less the hops; window 1024, since 2023-11 1025; MSS or no option
		agree = e.ttl > 190 && (e.proto != protoTCP ||
			e.class == observation.ClassSYN && (e.window == 1024 || e.window == 1025) && (e.options == 0 || e.options == 4))
	}
	if !agree {
		return casedb.Verdict{}, false
	}
	rate, _ := perPacket(m)
	v := casedb.Verdict{Kind: casedb.KindScanner, Tool: toolOf(m), Confidence: 0.5}
	v.Evidence.V = casedb.Evidence{Hits: 1, Of: 1, Chance: rate, Weak: true, Notes: []string{NoteOnePacket}}
	return v, true
}

// oneAttempt reports whether the source was seen once, if also in copies.
func (p *Profile) oneAttempt() bool {
	return p.entryCount() == 1 && p.one.attempts() == 1
}

// ruleOf names the rule that a mark belongs to.
func ruleOf(m observation.Mark) string {
	switch m {
	case observation.MarkZMap:
		return RuleZMap
	case observation.MarkZMapOptions:
		return RuleZMapOptions
	case observation.MarkZMapTime:
		return RuleZMapTime
	case observation.MarkMasscan:
		return RuleMasscan
	case observation.MarkMasscanK:
		return RuleMasscanHidden
	case observation.MarkMirai:
		return RuleMirai
	case observation.MarkMiraiK:
		return RuleMiraiHidden
	case observation.MarkNmap:
		return RuleNmap
	case observation.MarkUnicornscan:
		return RuleUnicornscan
	case observation.MarkHping:
		return RuleHping
	case observation.MarkAngryIP:
		return RuleAngryIP
	case observation.MarkWorm445:
		return RuleWorm445
	case observation.MarkSlammer:
		return RuleSlammer
	case observation.MarkReflectQuery:
		return RuleReflection
	}
	return ""
}

// also names the other rules with a mark that the source shows; they are kept
// with the verdict.
func (p *Profile) also(but observation.Mark) []string {
	var list []string
	for m := range observation.Marks {
		if m == but || ruleOf(m) == "" {
			continue
		}
		if c := p.facts.marked(m); c.hits > 0 {
			list = append(list, ruleOf(m))
		}
	}
	return list
}
