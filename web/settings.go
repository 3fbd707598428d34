package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/locale"
)

// recordSpan is how far back the record of the rules' letters reaches.
const recordSpan = 365 * 24 * time.Hour

// settingsPage is the data of view settings.
type settingsPage struct {
	Rules        []ruleLine // every known rule; a rule without a mode is on hold
	Changes      []casedb.SwitchChange
	NextChanges  string
	Suppressions []casedb.Suppression
	Next         string
	Users        []casedb.User
	Form         form
}

// ruleLine is one rule: how far its letters go on their own, and what became
// of them so far.
type ruleLine struct {
	casedb.RulePolicy
	Record casedb.RuleRecord
	Modes  []casedb.RuleMode
	// Held is how many letters still wait for an approval although the rule is
	// automatic now.
	Held int
}

// settings shows the switches that are changed while teiten runs.
func (s *Server) settings(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderSettings(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderSettings(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	ctx := r.Context()
	data := settingsPage{Form: f}
	var err error
	if data.Rules, err = s.ruleLines(ctx, v.now); err != nil {
		return err
	}
	before := idCursor(r.URL.Query().Get("changes"))
	if data.Changes, err = s.db.SwitchChanges(ctx, before, changesShown+1); err != nil {
		return err
	}
	for i := range data.Changes {
		sayStop(v.p, &data.Changes[i])
	}
	if len(data.Changes) > changesShown {
		data.Changes = data.Changes[:changesShown]
		data.NextChanges = "/settings?changes=" + strconv.FormatInt(data.Changes[changesShown-1].ID, 10) + "#changes"
	}
	before = idCursor(r.URL.Query().Get("before"))
	if data.Suppressions, err = s.db.Suppressions(ctx, before, pageSize+1, v.now); err != nil {
		return err
	}
	if len(data.Suppressions) > pageSize {
		data.Suppressions = data.Suppressions[:pageSize]
		data.Next = "/settings?before=" + strconv.FormatInt(data.Suppressions[pageSize-1].ID, 10) + "#suppressions"
	}
	if data.Users, err = s.db.ListUsers(ctx, 200); err != nil {
		return err
	}
	return s.render(w, r, v, status, "settings", data)
}

// changesShown is how many changes of switches a page shows.
const changesShown = 10

// ruleLines lists the rules; a rule without a mode holds its letters.
func (s *Server) ruleLines(ctx context.Context, now time.Time) ([]ruleLine, error) {
	set, err := s.db.RulePolicies(ctx)
	if err != nil {
		return nil, err
	}
	records, err := s.db.RuleRecords(ctx, now.Add(-recordSpan))
	if err != nil {
		return nil, err
	}
	held, err := s.db.CountHeldForRules(ctx)
	if err != nil {
		return nil, err
	}
	byRule := make(map[string]casedb.RuleRecord, len(records))
	for _, r := range records {
		byRule[r.Rule] = r
	}
	var lines []ruleLine
	for _, p := range allRules(s.cfg.Rules, set) {
		lines = append(lines, ruleLine{RulePolicy: p, Record: byRule[p.Rule], Modes: casedb.ModesOf(p.Rule), Held: held[p.Rule]})
	}
	return lines, nil
}

// allRules adds the rules for which no mode is set; those hold, or are off.
func allRules(names []string, set []casedb.RulePolicy) []casedb.RulePolicy {
	all := slices.Clone(set)
	for _, name := range names {
		if !slices.ContainsFunc(set, func(p casedb.RulePolicy) bool { return p.Rule == name }) {
			all = append(all, casedb.RulePolicy{Rule: name, Mode: casedb.ModesOf(name)[0]})
		}
	}
	slices.SortFunc(all, func(a, b casedb.RulePolicy) int { return strings.Compare(a.Rule, b.Rule) })
	return all
}

// setSending throws the global stop switch. Every coordinator may stop all
// mail at once; to start it again is a lead's decision.
func (s *Server) setSending(w http.ResponseWriter, r *http.Request, v *visit) error {
	a := caseArgs{values: r.PostForm, v: v}
	stop := r.PostForm.Get("stop") == "yes"
	if !stop && !v.user.MayLead() {
		return errLead
	}
	reason, err := a.reason("reason")
	if key, status, ok := refused(err); ok {
		return s.renderSettings(w, r, v, status, form{Name: "sending", Values: r.PostForm, Error: key})
	}
	if err := s.db.SetSendStopped(r.Context(), stop, v.user.Name, reason, v.now); err != nil {
		return err
	}
	s.log.WarnContext(r.Context(), "sending switched", "stopped", stop, "user", v.user.Name)
	done := "done.started"
	if stop {
		done = "done.stopped"
	} else {
		s.wake()
	}
	return s.redirect(w, r, "/settings", v.p.T(done))
}

// setRule sets how far a rule's notifications go on their own.
func (s *Server) setRule(w http.ResponseWriter, r *http.Request, v *visit) error {
	a := caseArgs{values: r.PostForm, v: v}
	policy := casedb.RulePolicy{Rule: r.PostForm.Get("rule"), Mode: casedb.RuleMode(r.PostForm.Get("mode")), ChangedAt: v.now,
		ChangedBy: v.user.Name}
	if !slices.Contains(s.cfg.Rules, policy.Rule) || !slices.Contains(casedb.ModesOf(policy.Rule), policy.Mode) {
		return errForm
	}
	var err error
	policy.Reason, err = a.reason("reason")
	if key, status, ok := refused(err); ok {
		return s.renderSettings(w, r, v, status, form{Name: "rule-" + policy.Rule, Values: r.PostForm, Error: key})
	}
	if err := s.db.SetRulePolicy(r.Context(), policy); err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "rule policy set", "rule", policy.Rule, "mode", policy.Mode, "user", v.user.Name)
	held, err := s.db.CountHeldForRules(r.Context())
	if err != nil {
		return err
	}
	done := v.p.T("done.rule")
	if n := held[policy.Rule]; n > 0 {
		done = v.p.N("done.ruleheld", n)
	}
	return s.redirect(w, r, "/settings", done)
}

// releaseHeld queues the letters that wait only for the leave of a rule that is
// automatic now. Whatever else holds one of them holds it on.
func (s *Server) releaseHeld(w http.ResponseWriter, r *http.Request, v *visit) error {
	rule := r.PostForm.Get("rule")
	if s.cfg.ReleaseHeld == nil || !slices.Contains(s.cfg.Rules, rule) {
		return errForm
	}
	released, kept, err := s.cfg.ReleaseHeld(r.Context(), rule, v.user.Name, v.now)
	if err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "held letters released", "rule", rule, "released", released, "kept", kept, "user", v.user.Name)
	s.wake()
	return s.redirect(w, r, "/settings", v.p.T("done.released", numberText(released), numberText(kept)))
}

// liftSuppression lets mail go to an address again.
func (s *Server) liftSuppression(w http.ResponseWriter, r *http.Request, v *visit) error {
	address := casedb.CleanLine(r.PostForm.Get("address"), 254)
	err := s.db.InTx(r.Context(), func(tx *casedb.Tx) error {
		return tx.LiftSuppression(r.Context(), address, v.user.Name, v.now)
	})
	if err != nil {
		return err
	}
	return s.redirect(w, r, "/settings", v.p.T("done.lifted"))
}

// sayStop puts the words for a stop that teiten made itself, which is stored as a
// code, in the place of its reason.
func sayStop(p *locale.Printer, c *casedb.SwitchChange) {
	if c.Actor == casedb.ActorSystem && c.Reason == casedb.StopRestored {
		c.Reason = p.T("settings.restored")
	}
}
