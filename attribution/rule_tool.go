package attribution

import (
	"teiten/internal/casedb"
)

// count is the packets that show a mark, of those that could have.
type count struct{ hits, of uint64 }

// marked adds up the groups of one protocol and class in which a mark is more
// than chance: two hits at least, and half of the packets. Groups in which the
// mark is rarer (the RSTs of a ZMap host's kernel) do not dilute it.
func (f *facts) marked(m mark) count {
	var c count
	if f.marks&(1<<m) == 0 {
		return c
	}
	for i := range f.groups {
		g := &f.groups[i]
		if k := g.hits[m]; k >= 2 && 2*k >= g.packets && probeClass(g.class) {
			c.hits += k
			c.of += g.packets
		}
	}
	return c
}

// probeClass reports whether scanners send packets of the class: all but what
// stacks answer with.
func probeClass(c class) bool {
	return !c.icmpError() && c != classRST && c != classICMPReply
}

// toolRule is the rule for a scanner that betrays itself by a mark.
func toolRule(m mark) func(p *Profile) (casedb.Verdict, bool) {
	return func(p *Profile) (casedb.Verdict, bool) {
		v, ok := p.toolVerdict(m)
		if ok {
			v.Evidence.V.Also = p.also(m)
		}
		return v, ok
	}
}

func toolOf(m mark) string {
	switch m {
	case markZMap, markZMapOptions, markZMapTime:
		return ToolZMap
	case markMasscan, markMasscanK:
		return ToolMasscan
	case markNmap:
		return ToolNmap
	case markUnicornscan:
		return ToolUnicornscan
	case markHping:
		return ToolHping
	case markAngryIP:
		return ToolAngryIP
	}
	return ""
}

func (p *Profile) toolVerdict(m mark) (casedb.Verdict, bool) {
	f := p.facts
	if f.marks&(1<<m) == 0 {
		return casedb.Verdict{}, false
	}
	c := f.marked(m)
	if c.hits == 0 {
		return p.weakTool(m)
	}
	if m == markHping && (p.Destinations() < 5 && f.ports < 5 || f.established > 0) {
		return casedb.Verdict{}, false // a flood of one port, or an odd client
	}
	v := casedb.Verdict{Kind: casedb.KindScanner, Tool: toolOf(m), Confidence: toolConfidence(m, c)}
	rate, assumed := perPacket(m)
	e := &v.Evidence.V
	e.Hits, e.Of, e.Chance = c.hits, c.of, Chance(c.hits, c.of, rate)
	if assumed {
		e.Notes = append(e.Notes, NoteAssumedChance)
	}
	e.Weak = m == markHping
	v.Ports = f.portList(maxPorts, func(e *entry) bool { return e.mark(m) > 0 })
	return v, true
}

func toolConfidence(m mark, c count) float64 {
	most := 0.99
	switch m {
	case markZMapOptions:
		most = 0.8
	case markAngryIP:
		most = 0.85
	case markHping:
		return 0.5
	case markZMapTime:
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

// weakTool answers for a source of one packet only, where the fields beside
// the mark agree with the tool too.
func (p *Profile) weakTool(m mark) (casedb.Verdict, bool) {
	e := &p.one
	if p.packets != 1 || e.mark(m) != 1 || e.has(flagDF) || !e.has(flagSample) {
		return casedb.Verdict{}, false
	}
	agree := false
	switch m {
	case markZMap: // TTL 255 less the hops; TCP window 65535
		agree = e.ttl > 190 && (e.proto != protoTCP || e.window == 65535) && probeClass(e.class)
	case markMasscan, markMasscanK: // TTL 255 less the hops; window 1024, since 2023-11 1025; MSS or no option
		agree = e.ttl > 190 && (e.proto != protoTCP ||
			e.class == classSYN && (e.window == 1024 || e.window == 1025) && (e.options == 0 || e.options == 4))
	}
	if !agree {
		return casedb.Verdict{}, false
	}
	rate, _ := perPacket(m)
	v := casedb.Verdict{Kind: casedb.KindScanner, Tool: toolOf(m), Confidence: 0.5}
	v.Evidence.V = casedb.Evidence{Hits: 1, Of: 1, Chance: rate, Weak: true, Notes: []string{NoteOnePacket}}
	return v, true
}

// ruleOf names the rule that a mark belongs to.
func ruleOf(m mark) string {
	switch m {
	case markZMap:
		return RuleZMap
	case markZMapOptions:
		return RuleZMapOptions
	case markZMapTime:
		return RuleZMapTime
	case markMasscan:
		return RuleMasscan
	case markMasscanK:
		return RuleMasscanHidden
	case markMirai:
		return RuleMirai
	case markMiraiK:
		return RuleMiraiHidden
	case markNmap:
		return RuleNmap
	case markUnicornscan:
		return RuleUnicornscan
	case markHping:
		return RuleHping
	case markAngryIP:
		return RuleAngryIP
	case markWorm445:
		return RuleWorm445
	case markSlammer:
		return RuleSlammer
	case markReflectQuery:
		return RuleReflection
	}
	return ""
}

// also names the other rules whose mark the source shows, kept beside the
// verdict.
func (p *Profile) also(but mark) []string {
	var list []string
	for m := markZMap; m < markCount; m++ {
		if m == but || ruleOf(m) == "" {
			continue
		}
		if c := p.facts.marked(m); c.hits > 0 {
			list = append(list, ruleOf(m))
		}
	}
	return list
}
