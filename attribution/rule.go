package attribution

import (
	"math"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// RuleSet names this version of the rules and their thresholds. It is stored
// with every verdict; a verdict of another version is superseded when its
// source is judged again. Change it whenever a rule can answer differently.
const RuleSet = "2026.12-1"

// Rule looks at a profile and answers with a verdict, or not. Rules are pure:
// the same profile gives the same answer.
type Rule interface {
	// Name is the rule's name in verdicts, in Explain's texts and in the case
	// database's rule policies. It never changes its meaning.
	Name() string
	// Judge returns the verdict and true if the rule applies. Source, Rule,
	// Ruleset, First, Last and the evidence's counts of destinations, sensors and
	// days are filled in by the caller.
	Judge(p *Profile) (casedb.Verdict, bool)
}

// rule is a Rule made of a name and a function.
type rule struct {
	name  string
	judge func(p *Profile) (casedb.Verdict, bool)
}

func (r rule) Name() string { return r.name }

func (r rule) Judge(p *Profile) (casedb.Verdict, bool) {
	if p.facts == nil {
		f := &facts{}
		f.draw(p, 0, Definitions{}.withDefaults())
		p.facts = f
	}
	return r.judge(p)
}

// The names of the rules.
const (
	RuleBogon         = "bogon"
	RuleFlood         = "spoofed-flood"
	RuleBroadcast     = "broadcast"
	RuleAcknowledged  = "acknowledged"
	RuleSlammer       = "slammer"
	RuleMirai         = "mirai"
	RuleMiraiHidden   = "mirai-hidden"
	RuleWorm445       = "worm445"
	RuleZMap          = "zmap"
	RuleMasscan       = "masscan"
	RuleMasscanHidden = "masscan-hidden"
	RuleUnicornscan   = "unicornscan"
	RuleNmap          = "nmap"
	RuleZMapTime      = "zmap-time"
	RuleZMapOptions   = "zmap-options"
	RuleAngryIP       = "angryip"
	RuleHping         = "hping3"
	RuleSynackScan    = "synackscan"
	RuleReflection    = "reflection"
	RuleBackscatter   = "backscatter"
	RuleTSUBAME       = "tsubame"
	RuleDurumeric     = "durumeric"
	RuleBlock         = "block"
	RuleStealth       = "stealth"
	RuleProtocols     = "protocols"
	RuleMisconfigured = "persistent"
	RuleUnknown       = "unknown"
)

// rules in the order in which they are asked.
var rules = []rule{
	{RuleBogon, judgeBogon},
	{RuleBroadcast, judgeBroadcast},
	{RuleFlood, judgeFlood},
	{RuleAcknowledged, judgeAcknowledged},
	{RuleSlammer, judgeSlammer},
	{RuleMirai, judgeMirai},
	{RuleMiraiHidden, judgeMiraiHidden},
	{RuleWorm445, judgeWorm445},
	{RuleZMap, toolRule(observation.MarkZMap)},
	{RuleMasscan, toolRule(observation.MarkMasscan)},
	{RuleMasscanHidden, toolRule(observation.MarkMasscanK)},
	{RuleUnicornscan, toolRule(observation.MarkUnicornscan)},
	{RuleNmap, toolRule(observation.MarkNmap)},
	{RuleZMapTime, toolRule(observation.MarkZMapTime)},
	{RuleZMapOptions, toolRule(observation.MarkZMapOptions)},
	{RuleAngryIP, toolRule(observation.MarkAngryIP)},
	{RuleSynackScan, judgeSynackScan},
	{RuleReflection, judgeReflection},
	{RuleBackscatter, judgeBackscatter},
	{RuleHping, toolRule(observation.MarkHping)},
	{RuleTSUBAME, judgeTSUBAME},
	{RuleDurumeric, judgeDurumeric},
	{RuleStealth, judgeStealth},
	{RuleProtocols, judgeProtocols},
	{RuleBlock, judgeBlock},
	{RuleMisconfigured, judgePersistent},
	{RuleUnknown, judgeUnknown},
}

// Rules returns the rules in the order in which they are asked. The last one
// always answers.
func Rules() []Rule {
	list := make([]Rule, len(rules))
	for i, r := range rules {
		list[i] = r
	}
	return list
}

// JudgeProfile returns the verdict of a source by itself. match is the
// allowlist's answer for it, nil if there is none. What only the traffic of
// other sources shows (floods) is not seen: see Profiles.
func JudgeProfile(p *Profile, match *Match) casedb.Verdict {
	p.ack = match
	p.facts = &facts{}
	p.facts.draw(p, 0, Definitions{}.withDefaults())
	return judge(p)
}

// judge asks the rules in turn. p.facts must be drawn.
func judge(p *Profile) casedb.Verdict {
	for i := range rules {
		v, ok := rules[i].judge(p)
		if !ok {
			continue
		}
		v.Rule = rules[i].name
		p.complete(&v)
		return v
	}
	panic("attribution: the last rule always answers")
}

// complete fills in what every verdict says.
func (p *Profile) complete(v *casedb.Verdict) {
	v.Source = casedb.Addr{Addr: p.source}
	v.Ruleset = RuleSet
	v.First, v.Last = time.Unix(0, p.first).UTC(), time.Unix(0, p.last).UTC()
	v.Confidence = step(v.Confidence)
	e := &v.Evidence.V
	e.Packets = p.packets
	e.Sensors = p.Sensors()
	e.Days = p.Days()
	if e.Destinations == 0 {
		e.Destinations = p.Destinations()
	}
	if p.ack != nil && v.Acknowledged == "" {
		// The address is on a list, but what it sends is not a scanner's.
		e.List = p.ack.List
		e.Notes = append(e.Notes, NoteListed)
	}
	if v.Kind == casedb.KindScanner {
		if note := p.shape(); note != "" {
			e.Notes = append(e.Notes, note)
		}
	}
	switch v.Kind {
	case casedb.KindScanner, casedb.KindInfected, casedb.KindUnknown:
		if p.asksICS() {
			e.Notes = append(e.Notes, NoteICS)
		}
	}
	if p.more != nil {
		e.Payloads = p.more.payloads
	}
	if v.Ports == nil {
		v.Ports = p.facts.portList(maxPorts, func(*entry) bool { return true })
	}
}

// maxPorts is the number of ports a verdict names.
const maxPorts = 20

// confidenceStep is the grain of confidences: a change below it is no reason
// for a new verdict.
const confidenceStep = 0.05

func step(c float64) float64 {
	if c >= 1 {
		return 1
	}
	return min(0.99, math.Round(max(0, c)/confidenceStep)/math.Round(1/confidenceStep))
}

// The notes of evidence: short codes, explained by package explain.
const (
	NoteListed         = "listed"            // on a list of scanners, but this is not scanning
	NoteConflict       = "conflict"          // other lists name another organisation
	NoteOnePacket      = "one-packet"        // rests on one packet
	NoteFewPackets     = "few-packets"       // rests on fewer packets than it takes to write to anybody
	NoteAssumedChance  = "assumed-chance"    // the chance rests on an assumed share, not on a rule of bits
	NoteMixed          = "mixed"             // much of the source's traffic does not obey the rule
	NoteManyPorts      = "many-ports"        // also probes many other ports
	NoteRepeated       = "repeated"          // one address of ours, but on several days
	NoteCompany        = "company"           // one address of ours, but other sources send it the same
	NoteConversation   = "conversation"      // the capture shows conversations of the source
	NotePeerToPeer     = "peer-to-peer"      // many high UDP ports, each at its own destination
	NoteFloodLike      = "flood-like"        // many packets to one port of one address
	NoteManyServices   = "many-services"     // answers from many ports: a scanned host rather than one under attack
	NoteAttack         = "attack"            // meets the thresholds of Moore et al. for an attack
	NoteFixedSequence  = "fixed-sequence"    // nearly all answers are to the same sequence number
	NoteFixedWindow    = "fixed-window"      // nearly all answers have the same TCP window
	NoteReflectedFlood = "reflected-flood"   // one of many sources that answer to one address of ours
	NoteQuoteOther     = "quote-other"       // ICMP errors that do not quote a packet of ours
	NoteRateUnknown    = "rate-unknown"      // the number of monitored addresses is not known
	NoteNeighbour      = "neighbour"         // from the sensor's own link
	NoteRest           = "rest"              // more ports than are told apart
	NoteHorizontal     = "horizontal"        // few ports of many addresses
	NoteVertical       = "vertical"          // many ports of few addresses
	NoteBlock          = "block"             // several ports of several addresses
	NoteICS            = "ics"               // asks for ports of industrial control systems
	NoteRejudged       = casedb.NoteRejudged // from judging again, not from new packets
)

// Notes lists every note.
var Notes = []string{
	NoteListed, NoteConflict, NoteOnePacket, NoteFewPackets, NoteAssumedChance, NoteMixed, NoteManyPorts, NoteRepeated, NoteCompany,
	NoteConversation, NotePeerToPeer, NoteFloodLike, NoteManyServices, NoteAttack, NoteFixedSequence, NoteFixedWindow, NoteReflectedFlood, NoteQuoteOther,
	NoteRateUnknown, NoteNeighbour, NoteRest, NoteHorizontal, NoteVertical, NoteBlock, NoteICS, NoteRejudged,
}

// The tools a verdict may name.
const (
	ToolZMap        = "zmap"
	ToolMasscan     = "masscan"
	ToolNmap        = "nmap"
	ToolUnicornscan = "unicornscan"
	ToolHping       = "hping3"
	ToolAngryIP     = "angryip"
)
