package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/cell"
	"teiten/internal/finding"
)

// The findings that a page of a case shows: those recorded, and proposals from
// the newest answers alone, since reading each takes its time.
const (
	caseFindings = 100
	suggestions  = 10
)

// findingForm is the form of a finding: an empty one, one that a mail suggests,
// or one that corrects another.
type findingForm struct {
	casedb.Finding
	Name  string   // of the form
	Words []string // why it is filled in
	Open  bool     // it failed, and is shown as it was typed
}

// Has reports whether an action is chosen.
func (f findingForm) Has(action string) bool { return slices.Contains(f.Actions, action) }

// The lists that the forms offer.
func (findingForm) Results() []string    { return casedb.FindingResults }
func (findingForm) Devices() []string    { return casedb.FindingDevices }
func (findingForm) Supports() []string   { return casedb.FindingSupport }
func (findingForm) Entries() []string    { return casedb.FindingEntries }
func (findingForm) AllActions() []string { return casedb.FindingActions }

// typedFinding reads a form of a finding.
func typedFinding(caseID int64, values url.Values) (casedb.Finding, error) {
	f := casedb.Finding{CaseID: caseID, Result: values.Get("result"), Device: values.Get("device"), Product: values.Get("product"),
		Version: values.Get("product-version"), Support: values.Get("support"), Malware: values.Get("malware"), Entry: values.Get("entry"),
		Actions: values["action"], Note: values.Get("note"), Withdrawn: values.Get("withdraw") != ""}
	for field, into := range map[string]**int64{"inbound": &f.InboundID, "replaces": &f.Replaces} {
		if id, err := strconv.ParseInt(values.Get(field), 10, 64); err == nil && id > 0 {
			*into = &id
		}
	}
	if text := values.Get("source"); text != "" {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return f, invalidError("invalid.address")
		}
		f.Source = casedb.Addr{Addr: a.Unmap().WithZone("")}
	}
	if !f.Withdrawn && !slices.Contains(casedb.FindingResults, f.Result) {
		return f, invalidError("finding.choose")
	}
	return f, nil
}

// addFinding records what an owner found.
func (s *Server) addFinding(ctx context.Context, tx *casedb.Tx, a caseArgs) error {
	f, err := typedFinding(a.c.ID, a.values)
	if err != nil {
		return err
	}
	_, err = tx.AddFinding(ctx, a.version, f, a.v.user.Name, a.v.now)
	return err
}

// loadFindings adds the findings of a case and the forms for more.
func (s *Server) loadFindings(ctx context.Context, _ caseVisit, data *casePage) error {
	var err error
	if data.Findings, err = s.db.CaseFindings(ctx, data.Case.ID, caseFindings); err != nil {
		return err
	}
	var ours []string
	for _, m := range data.Messages {
		ours = append(ours, m.Body)
	}
	for i, n := 0, 0; i < len(data.Timeline); i++ {
		e := &data.Timeline[i]
		text := e.InboundText
		if e.InboundID == nil {
			text = e.Text
		}
		if e.Kind != casedb.EventReply && e.Kind != casedb.OwnerFixing.Event() && e.Kind != casedb.OwnerFixed.Event() {
			continue
		}
		var suggested finding.Suggestion
		if n++; n <= suggestions {
			suggested = finding.Suggest(text, ours...)
		}
		suggested.InboundID = e.InboundID
		form := data.typed(findingForm{Finding: suggested.Finding, Words: suggested.Words, Name: "event-" + strconv.FormatInt(e.ID, 10)})
		e.Finding = &form
	}
	return nil
}

// typed returns a form, as it was typed if it is the one that failed: the
// user's text is not lost if another user changed the case meanwhile.
func (p casePage) typed(f findingForm) findingForm {
	if !p.Form.Is("finding") || p.Form.Values.Get("form") != f.Name {
		return f
	}
	f.Open = true
	if again, _ := typedFinding(p.Case.ID, p.Form.Values); !again.Withdrawn {
		f.Finding = again
	}
	return f
}

// Correction is the form that corrects a finding.
func (p casePage) Correction(f casedb.Finding) findingForm {
	id := f.ID
	f.Replaces = &id
	return p.typed(findingForm{Finding: f, Name: "finding-" + strconv.FormatInt(id, 10)})
}

// NewFinding is the form of a finding that no mail led to.
func (p casePage) NewFinding() findingForm { return p.typed(findingForm{Name: "new"}) }

// findingsPage is the data of view findings.
type findingsPage struct {
	From, To string // days, the last one included
	Fields   []findingField
	Rows     []casedb.Finding
	Next     string
	Query    template.URL // of the period; a string would be escaped as one value
	Bad      string
}

// findingField is what was found in one respect.
type findingField struct {
	Name   string
	Counts []casedb.FindingCount
}

// findings shows what owners found in a period, the last 90 days unless asked
// otherwise.
func (s *Server) findings(w http.ResponseWriter, r *http.Request, v *visit) error {
	from, to, bad := findingPeriod(r.URL.Query(), v.now)
	data := findingsPage{From: from.Format(time.DateOnly), To: to.AddDate(0, 0, -1).Format(time.DateOnly), Bad: bad}
	data.Query = template.URL(url.Values{"from": {data.From}, "to": {data.To}}.Encode())
	counts, err := s.db.CountFindings(r.Context(), from, to)
	if err != nil {
		return err
	}
	for _, c := range counts {
		if n := len(data.Fields); n == 0 || data.Fields[n-1].Name != c.Field {
			data.Fields = append(data.Fields, findingField{Name: c.Field})
		}
		f := &data.Fields[len(data.Fields)-1]
		f.Counts = append(f.Counts, c)
	}
	if data.Rows, err = s.db.Findings(r.Context(), from, to, idCursor(r.URL.Query().Get("after")), pageSize+1); err != nil {
		return err
	}
	if len(data.Rows) > pageSize {
		data.Rows = data.Rows[:pageSize]
		data.Next = "/findings?" + string(data.Query) + "&after=" + strconv.FormatInt(data.Rows[pageSize-1].ID, 10)
	}
	return s.render(w, r, v, http.StatusOK, "findings", data)
}

// findingPeriod reads the days asked for; to is the day after the last.
func findingPeriod(q url.Values, now time.Time) (from, to time.Time, bad string) {
	to = now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	from = to.AddDate(0, 0, -90)
	f, errFrom := time.Parse(time.DateOnly, q.Get("from"))
	t, errTo := time.Parse(time.DateOnly, q.Get("to"))
	if q.Get("to") != "" && errTo == nil {
		to = t.AddDate(0, 0, 1)
		from = to.AddDate(0, 0, -90)
	}
	if q.Get("from") != "" && errFrom == nil {
		from = f
	}
	if q.Get("from") != "" && errFrom != nil || q.Get("to") != "" && errTo != nil || !from.Before(to) || from.Year() < 1990 || to.Year() > 9000 {
		to = now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
		return to.AddDate(0, 0, -90), to, "invalid.period"
	}
	return from, to, ""
}

// findingsFile is findings.csv, one line for each, or findings.json, with the
// counts.
func (s *Server) findingsFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	from, to, bad := findingPeriod(r.URL.Query(), v.now)
	if bad != "" {
		return errForm
	}
	var out bytes.Buffer
	kind, write := "text/csv; charset=utf-8", WriteFindingsCSV
	switch format, ok := strings.CutPrefix(r.PathValue("file"), "findings."); {
	case ok && format == "json":
		kind, write = "application/json", WriteFindingsJSON
	case !ok || format != "csv":
		return casedb.ErrNotFound
	}
	err := write(r.Context(), &out, s.db, s.label(""), from, to)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(out.Bytes()) // a reader who went away is no error
	return nil
}

// eachFinding calls yield with all findings of a period. label is that of cases
// without one of their own: each row carries its label out of the desk.
func eachFinding(ctx context.Context, db *casedb.DB, label casedb.TLP, from, to time.Time, yield func(*casedb.Finding) error) error {
	var after int64
	for {
		page, err := db.Findings(ctx, from, to, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			page[i].TLP = cmp.Or(page[i].TLP, label)
			if err := yield(&page[i]); err != nil {
				return err
			}
			after = page[i].ID
		}
	}
}

// WriteFindingsCSV writes the findings recorded from (inclusive) to (exclusive),
// one line each. No cell is taken for a formula by a spreadsheet program.
func WriteFindingsCSV(ctx context.Context, out io.Writer, db *casedb.DB, label casedb.TLP, from, to time.Time) error {
	w := csv.NewWriter(out)
	if err := w.Write([]string{"at", "case", "source", "result", "device", "product", "version", "support", "malware", "entry", "actions", "note", "by", "tlp"}); err != nil {
		return err
	}
	err := eachFinding(ctx, db, label, from, to, func(f *casedb.Finding) error {
		source := ""
		if f.Source.IsValid() {
			source = f.Source.String()
		}
		record := []string{f.CreatedAt.UTC().Format(time.RFC3339), f.Number, source, f.Result, f.Device, f.Product, f.Version, f.Support, f.Malware,
			f.Entry, "", f.Note, f.CreatedBy, string(f.TLP)}
		for i, a := range f.Actions {
			if i > 0 {
				record[10] += " "
			}
			record[10] += a
		}
		for i := range record {
			record[i] = cell.Neutralise(record[i])
		}
		return w.Write(record)
	})
	if err != nil {
		return err
	}
	w.Flush()
	return w.Error()
}

// WriteFindingsJSON writes {"from", "to", "counts": [...], "findings": [...]}.
func WriteFindingsJSON(ctx context.Context, out io.Writer, db *casedb.DB, label casedb.TLP, from, to time.Time) error {
	doc := struct {
		From     string                `json:"from"`
		To       string                `json:"to"` // exclusive
		Counts   []casedb.FindingCount `json:"counts"`
		Findings []casedb.Finding      `json:"findings"`
	}{From: from.UTC().Format(time.RFC3339), To: to.UTC().Format(time.RFC3339), Counts: []casedb.FindingCount{}, Findings: []casedb.Finding{}}
	counts, err := db.CountFindings(ctx, from, to)
	if err != nil {
		return err
	}
	doc.Counts = append(doc.Counts, counts...)
	if err := eachFinding(ctx, db, label, from, to, func(f *casedb.Finding) error {
		doc.Findings = append(doc.Findings, *f)
		return nil
	}); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return nil
}
