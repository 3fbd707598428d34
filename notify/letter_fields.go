package notify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"teiten/internal/casedb"
)

// Fields is all that the template of a notification can name. It holds values
// alone: no methods, nothing that reaches the database, and nothing that tells
// where a sensor is.
type Fields struct {
	We       string // our name
	Spaced   string // our name as it stands before Japanese text: Latin letters are set off by a blank
	Email    string // where a person is reached
	Phone    string // empty: not told
	URL      string // empty: not told
	Register string // where scanners are registered; empty: by answering

	Authority string // who we are and by which authority we write; empty: not told
	Verify    string // how to check us by a way that is not in the letter; empty: not told
	TLP       string // the label, "TLP:AMBER+STRICT"

	Number   string // of the case
	Page     string // where the owner sees the evidence and answers with one press; empty: no such page
	Owner    string
	Told     string // the day of the last notification before this one, in Zone; empty: there was none
	Groups   []Group
	Sources  int
	Address  string // the source, if the letter is about one alone
	Packets  int64
	Ports    string // "445/TCP, 23/TCP"
	Zone     string // the recipient's likely zone, "JST"; empty: UTC only
	First    string // in Zone, or UTC
	Last     string
	FirstZ   string // in UTC
	LastZ    string
	Networks string // of our sensors where the packets arrived, if the contact wants them: "198.51.100.0/24"; empty: not told
	CSVRows  int    // rows of the CSV part
	CSVLeft  int    // rows it leaves out
	XARF     bool   // the evidence is X-ARF with the CSV in it

	Attacks     []Attack // on the sources of a victim's letter, the latest first
	AttacksLeft int
}

// Group is the part of a letter about the sources with one malware.
type Group struct {
	Malware string // empty: not known
	Mixed   bool   // the letter has other groups
	Sources int
	Ports   string
	Table   string
	LeftOut int // rows of the table left out
}

// Attack describes one attack, as a victim's replies show it.
type Attack struct {
	Victim        string
	Ports         string
	First, Last   string // in Zone, or UTC
	FirstZ, LastZ string
	Packets       int64
	Peak          int64 // packets in the busiest minute; 0: not known
	SameSequence  bool  // nearly all packets of the attack had one sequence number
	SameWindow    bool  // nearly all replies had one TCP window
}

// The letters to owners, by what they are about, and the reasons for them.
var (
	letterSubjects = []string{"infected-" + casedb.MalwareMS17010, "infected-" + casedb.MalwareMirai, "infected-" + casedb.MalwareSlammer,
		string(casedb.KindInfected), string(casedb.KindBackscatter), string(casedb.KindMisconfigured), string(casedb.KindScanner)}
	letterReasons = []string{casedb.ReasonFirst, casedb.ReasonNewSources, casedb.ReasonStillActive, casedb.ReasonRecovered,
		casedb.ReasonEscalated, casedb.ReasonProvider, casedb.ReasonCSIRT}
	letterLanguages = []string{"ja", "en"}
)

// LetterName names a letter to an owner: "infected-mirai.first.ja".
type LetterName struct {
	About    string // a kind, or "infected-" with the malware
	Reason   string
	Language string
}

// String writes the name.
func (n LetterName) String() string { return n.About + "." + n.Reason + "." + n.Language }

// Kind is the kind of cases that the letter is for.
func (n LetterName) Kind() casedb.Kind {
	kind, _, _ := strings.Cut(n.About, "-")
	return casedb.Kind(kind)
}

// LetterNames lists all letters to owners.
func LetterNames() []LetterName {
	var names []LetterName
	for _, about := range letterSubjects {
		for _, reason := range letterReasons {
			if casedb.IsEscalation(reason) && !strings.HasPrefix(about, string(casedb.KindInfected)) {
				continue // only those are escalated
			}
			for _, language := range letterLanguages {
				names = append(names, LetterName{about, reason, language})
			}
		}
	}
	return names
}

// ParseLetterName reads the name of a letter that there is.
func ParseLetterName(s string) (LetterName, bool) {
	for _, n := range LetterNames() {
		if n.String() == s {
			return n, true
		}
	}
	return LetterName{}, false
}

// nameOf chooses the letter for what a message says.
func nameOf(kind casedb.Kind, groups []Group, reason, language string) LetterName {
	n := LetterName{About: string(kind), Reason: reason, Language: language}
	if len(groups) == 1 && groups[0].Malware != "" && slices.Contains(letterSubjects, n.About+"-"+groups[0].Malware) {
		n.About += "-" + groups[0].Malware
	}
	if !slices.Contains(letterReasons, reason) || casedb.IsEscalation(reason) && kind != casedb.KindInfected {
		n.Reason = casedb.ReasonFirst // again, another contact: to the reader it is the first
	}
	return n
}

// sampleFields are made-up fields of a letter: what a template is tried on
// before it is saved. The first says all there is to say, the second little.
func sampleFields(n LetterName, u us) []Fields {
	malware := strings.TrimPrefix(strings.TrimPrefix(n.About, string(n.Kind())), "-")
	table := "192.0.2.10      445/TCP        24  2026-11-19 22:00:01  2026-11-19 23:00:31\n"
	full := Fields{We: u.We, Spaced: u.Spaced(), Email: u.Email, Phone: "+81-3-0000-0000", URL: "https://teiten.example/", Register: "https://teiten.example/register",
		Authority: u.Authority, Verify: u.Verify, TLP: string(casedb.DefaultTLP), Number: "TT-2026-000123", Page: "https://teiten.example/o/tt-2026-000123.1.aaaaaaaaaaaaaaaaaaaa", Owner: "Example Internet Service", Told: "2026-11-05", Sources: 1, Packets: 24, Ports: "445/TCP",
		Zone: "JST", First: "2026-11-19 22:00:01", Last: "2026-11-19 23:00:31", FirstZ: "2026-11-19 13:00:01", LastZ: "2026-11-19 14:00:31",
		CSVRows: 10000, CSVLeft: 2, Groups: []Group{{Malware: malware, Sources: 1, Ports: "445/TCP", Table: table, LeftOut: 3}}}
	little := full
	full.Sources = 3
	little.Page, little.Address, little.Authority, little.Verify = "", "192.0.2.10", "", ""
	little.Phone, little.URL, little.Register, little.Told, little.Zone, little.CSVRows, little.CSVLeft = "", "", "", "", "", 1, 0
	little.First, little.Last = little.FirstZ, little.LastZ
	little.Groups = []Group{{Malware: malware, Sources: 1, Ports: "445/TCP", Table: table}}
	little.XARF = true
	if n.About == string(casedb.KindInfected) {
		second := strings.ReplaceAll(table, "192.0.2.10", "192.0.2.40")
		full.Groups = []Group{{Malware: casedb.MalwareMirai, Mixed: true, Sources: 1, Ports: "445/TCP", Table: table},
			{Malware: casedb.MalwareMS17010, Mixed: true, Sources: 2, Ports: "445/TCP", Table: second, LeftOut: 3}}
	}
	if n.Kind() == casedb.KindBackscatter {
		full.Attacks = []Attack{{Victim: "192.0.2.10", Ports: "80/TCP", First: full.First, Last: full.Last, FirstZ: full.FirstZ, LastZ: full.LastZ,
			Packets: 2400, Peak: 180, SameSequence: true, SameWindow: true}}
		full.AttacksLeft = 2
	}
	return []Fields{full, little}
}

// version writes the template that a mail is made from: "infected-mirai.first.ja@3".
func (n LetterName) version(v int) string { return fmt.Sprint(n, "@", strconv.Itoa(v)) }
