package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"teiten/internal/casedb"
)

// settingsPage is the data of view settings.
type settingsPage struct {
	Stopped      bool
	Rules        []casedb.RulePolicy // every known rule, those nobody set on hold
	Suppressions []casedb.Suppression
	Next         string
	Users        []casedb.User
	Form         form
}

// settings shows the switches that coordinators change while teiten runs.
func (s *Server) settings(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.renderSettings(w, r, v, http.StatusOK, form{})
}

func (s *Server) renderSettings(w http.ResponseWriter, r *http.Request, v *visit, status int, f form) error {
	ctx := r.Context()
	data := settingsPage{Form: f}
	var err error
	if data.Stopped, err = s.db.SendStopped(ctx); err != nil {
		return err
	}
	set, err := s.db.RulePolicies(ctx)
	if err != nil {
		return err
	}
	data.Rules = allRules(s.cfg.Rules, set)
	before := idCursor(r.URL.Query().Get("before"))
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

// allRules adds the rules nobody has set a mode for; those hold.
func allRules(names []string, set []casedb.RulePolicy) []casedb.RulePolicy {
	all := slices.Clone(set)
	for _, name := range names {
		if !slices.ContainsFunc(set, func(p casedb.RulePolicy) bool { return p.Rule == name }) {
			all = append(all, casedb.RulePolicy{Rule: name, Mode: casedb.RuleHold})
		}
	}
	slices.SortFunc(all, func(a, b casedb.RulePolicy) int { return strings.Compare(a.Rule, b.Rule) })
	return all
}

// setSending throws the global stop switch.
func (s *Server) setSending(w http.ResponseWriter, r *http.Request, v *visit) error {
	a := caseArgs{values: r.PostForm, v: v}
	stop := r.PostForm.Get("stop") == "yes"
	reason, err := a.reason("reason")
	if key, status, ok := refused(err); ok {
		return s.renderSettings(w, r, v, status, form{Name: "sending", Values: r.PostForm, Error: key})
	}
	if err := s.db.SetSetting(r.Context(), casedb.SettingSendStopped, stop, v.user.Name, reason, v.now); err != nil {
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
	if !slices.Contains(s.cfg.Rules, policy.Rule) || (policy.Mode != casedb.RuleHold && policy.Mode != casedb.RuleAutomatic) {
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
	return s.redirect(w, r, "/settings", v.p.T("done.rule"))
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
