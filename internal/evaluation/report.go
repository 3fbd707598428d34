package evaluation

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"teiten/internal/casedb"
)

// Missing stands in the confusion table for a source that was expected and not
// found, or found and not expected.
const Missing = "(none)"

// Report adds up how verdicts compare with expectations. The zero value is
// ready for use.
type Report struct {
	// Acknowledged says that an allowlist was given, so that acknowledgements
	// are compared too.
	Acknowledged bool

	files, sources, judged int
	kinds, tools           map[string]*score
	confusion              map[[2]string]int
	disagreements          []Disagreement
	accusations            int
}

// Disagreement is a source, or several, whose verdict is not as expected.
type Disagreement struct {
	File, Subject string
	Line          int // of the expectation; 0 if there is none
	Expected, Got string
	Note          string
	Accusation    bool // an infected verdict where none was expected
	Sources       int
}

// score counts for one kind or tool.
type score struct{ hit, wrong, missed int }

// Aggregate is what only the whole of a capture showed.
type Aggregate struct {
	Kind    string
	Sources int
}

// Add compares the verdicts and aggregates of a capture with the expectations
// whose file pattern its name matches. Each source belongs to the first line
// that names it: by address, then by rank, by port, by count, and last by
// "all". A capture that no line names is not counted.
func (r *Report) Add(file string, list []Expectation, verdicts []casedb.Verdict, aggregates []Aggregate) {
	var lines []*Expectation
	for i := range list {
		if ok, _ := path.Match(list[i].File, file); ok {
			lines = append(lines, &list[i])
		}
	}
	if len(lines) == 0 {
		return
	}
	if r.kinds == nil {
		r.kinds, r.tools, r.confusion = map[string]*score{}, map[string]*score{}, map[[2]string]int{}
	}
	r.files++
	r.sources += len(verdicts)
	slices.SortStableFunc(lines, func(a, b *Expectation) int { return cmp.Compare(a.subject, b.subject) })

	order := make([]*casedb.Verdict, len(verdicts)) // most packets first
	for i := range verdicts {
		order[i] = &verdicts[i]
	}
	slices.SortStableFunc(order, func(a, b *casedb.Verdict) int {
		return cmp.Or(cmp.Compare(b.Evidence.V.Packets, a.Evidence.V.Packets), a.Source.Compare(b.Source.Addr))
	})
	taken := make(map[*casedb.Verdict]bool, len(order))
	for _, e := range lines {
		switch e.subject {
		case subjectAggregate:
			continue
		case subjectTop:
			if e.n > len(order) {
				r.missing(file, e, 1)
			} else if v := order[e.n-1]; !taken[v] {
				taken[v] = true
				r.compare(file, e, v)
			}
		case subjectCount:
			r.count(file, e, order, taken)
		default:
			found := false
			for _, v := range order {
				if !taken[v] && e.names(v) {
					found, taken[v] = true, true
					r.compare(file, e, v)
				}
			}
			if !found && e.subject != subjectAll {
				r.missing(file, e, 1)
			}
		}
	}
	for _, v := range order {
		if !taken[v] && v.Kind == casedb.KindInfected {
			r.disagree(Disagreement{File: file, Subject: v.Source.String(), Expected: "no line", Got: describe(v, r.Acknowledged),
				Accusation: true, Sources: 1})
		}
	}
	r.aggregates(file, lines, aggregates)
}

func (e *Expectation) names(v *casedb.Verdict) bool {
	switch e.subject {
	case subjectAddress:
		return v.Source.Unmap() == e.address
	case subjectPort:
		return slices.Contains(v.Ports, e.port)
	}
	return true
}

// count takes the first n sources that are as the line says.
func (r *Report) count(file string, e *Expectation, order []*casedb.Verdict, taken map[*casedb.Verdict]bool) {
	found := 0
	for _, v := range order {
		if taken[v] || !e.allows(v, r.Acknowledged) {
			continue
		}
		taken[v] = true
		if found++; found <= e.n {
			r.compare(file, e, v)
			continue
		}
		r.judged++
		r.confusion[[2]string{Missing, string(v.Kind)}]++
		r.scoreOf(r.kinds, string(v.Kind)).wrong++
		r.disagree(Disagreement{File: file, Subject: v.Source.String(), Line: e.Line, Expected: fmt.Sprintf("no more than %d such", e.n),
			Got: describe(v, r.Acknowledged), Note: e.Note, Accusation: v.Kind == casedb.KindInfected, Sources: 1})
	}
	if found < e.n {
		r.missing(file, e, e.n-found)
	}
}

// missing counts sources that were expected and are not there.
func (r *Report) missing(file string, e *Expectation, n int) {
	if kind, ok := e.Kind.only(); ok {
		r.scoreOf(r.kinds, kind).missed += n
		r.confusion[[2]string{e.Kind.String(), Missing}] += n
	}
	if tool, ok := e.Tool.only(); ok {
		r.scoreOf(r.tools, tool).missed += n
	}
	r.disagree(Disagreement{File: file, Subject: e.Text, Line: e.Line, Expected: e.String(), Got: fmt.Sprintf("%d missing", n),
		Note: e.Note, Sources: n})
}

func (r *Report) scoreOf(m map[string]*score, key string) *score {
	if m[key] == nil {
		m[key] = &score{}
	}
	return m[key]
}

// compare counts a source's verdict against its line.
func (r *Report) compare(file string, e *Expectation, v *casedb.Verdict) {
	r.judged++
	kind := string(v.Kind)
	r.confusion[[2]string{e.Kind.String(), kind}]++
	tally(r, r.kinds, e.Kind, kind)
	tally(r, r.tools, e.Tool, v.Tool)
	if e.allows(v, r.Acknowledged) {
		return
	}
	expected := e.String()
	if r.Acknowledged && !e.Acknowledged.Allows(v.Acknowledged) {
		expected += " acknowledged " + e.Acknowledged.String()
	}
	r.disagree(Disagreement{File: file, Subject: v.Source.String(), Line: e.Line, Expected: expected, Got: describe(v, r.Acknowledged),
		Note: e.Note, Accusation: v.Kind == casedb.KindInfected && !e.Kind.Allows(kind), Sources: 1})
}

func tally(r *Report, m map[string]*score, f Field, got string) {
	switch want, ok := f.only(); {
	case f.any:
	case f.Allows(got):
		if ok && got != "" {
			r.scoreOf(m, got).hit++
		}
	default:
		if got != "" {
			r.scoreOf(m, got).wrong++
		}
		if ok {
			r.scoreOf(m, want).missed++
		}
	}
}

func (r *Report) disagree(d Disagreement) {
	if d.Accusation {
		r.accusations += d.Sources
	}
	r.disagreements = append(r.disagreements, d)
}

// aggregates compares what only the whole shows: each line names one.
func (r *Report) aggregates(file string, lines []*Expectation, found []Aggregate) {
	left := slices.Clone(found)
	for _, e := range lines {
		if e.subject != subjectAggregate {
			continue
		}
		if i := slices.IndexFunc(left, func(a Aggregate) bool { return e.Kind.Allows(a.Kind) }); i >= 0 {
			r.confusion[[2]string{e.Kind.String(), left[i].Kind}]++
			tally(r, r.kinds, e.Kind, left[i].Kind)
			left = slices.Delete(left, i, i+1)
			continue
		}
		if e.Kind.any || e.Kind.not {
			continue
		}
		r.missing(file, e, 1)
	}
	for _, a := range left {
		r.scoreOf(r.kinds, a.Kind).wrong++
		r.confusion[[2]string{Missing, a.Kind}]++
		r.disagree(Disagreement{File: file, Subject: "aggregate", Expected: "no line", Got: a.Kind, Sources: 1})
	}
}

func describe(v *casedb.Verdict, acknowledged bool) string {
	parts := []string{string(v.Kind)}
	for _, s := range []string{v.Tool, v.Malware} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if acknowledged && v.Acknowledged != "" {
		parts = append(parts, "acknowledged "+v.Acknowledged)
	}
	s := strings.Join(parts, " ") + " by rule " + v.Rule
	if len(v.Evidence.V.Also) > 0 {
		s += ", also " + strings.Join(v.Evidence.V.Also, ", ")
	}
	return s
}

// Disagreements returns what is not as expected, in the order of files.
func (r *Report) Disagreements() []Disagreement { return r.disagreements }

// FalseAccusations returns the number of sources called infected that are not
// expected to be.
func (r *Report) FalseAccusations() int { return r.accusations }

// Write prints precision and recall, the confusion table, and every
// disagreement.
func (r *Report) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%d captures, %d sources, %d of them with an expectation\n\n", r.files, r.sources, r.judged)
	fmt.Fprintln(w, "KIND\tRIGHT\tWRONG\tMISSED\tPRECISION\tRECALL")
	writeScores(w, r.kinds)
	fmt.Fprintln(w, "\nTOOL\tRIGHT\tWRONG\tMISSED\tPRECISION\tRECALL")
	writeScores(w, r.tools)
	fmt.Fprintln(w, "\nEXPECTED\tJUDGED\tSOURCES")
	keys := slices.SortedFunc(maps.Keys(r.confusion), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%d\n", k[0], k[1], r.confusion[k])
	}
	fmt.Fprintf(w, "\n%d disagreements\n", len(r.disagreements))
	if len(r.disagreements) > 0 {
		fmt.Fprintln(w, "FILE\tLINE\tSOURCE\tEXPECTED\tJUDGED\tNOTE")
	}
	for _, d := range r.disagreements {
		line := "-"
		if d.Line > 0 {
			line = fmt.Sprint(d.Line)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.File, line, d.Subject, d.Expected, d.Got, d.Note)
	}
	fmt.Fprintf(w, "\n%d false accusations\n", r.accusations)
	return w.Flush()
}

func writeScores(w io.Writer, m map[string]*score) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		s := m[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\n", name, s.hit, s.wrong, s.missed, share(s.hit, s.hit+s.wrong), share(s.hit, s.hit+s.missed))
	}
}

func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}
