package web

import (
	"context"
	"errors"
	"net/netip"
	"net/url"

	"teiten/internal/casedb"
	"teiten/notify"
)

// caseVisit is who looks at a case, and what of it.
type caseVisit struct {
	*visit
	query url.Values
}

// loadControl fills in the draw of a case that is held as a control.
func (s *Server) loadControl(ctx context.Context, _ caseVisit, data *casePage) error {
	draw, err := s.db.ControlDraw(ctx, data.Case.ID)
	if err != nil && !errors.Is(err, casedb.ErrNotFound) {
		return err
	}
	if draw.Arm == casedb.ArmControl && draw.EndedAt == nil {
		data.Control = &draw
	}
	return nil
}

// loadTimeline fills in a page of events.
func (s *Server) loadTimeline(ctx context.Context, v caseVisit, data *casePage) error {
	events, more, err := s.db.Timeline(ctx, data.Case.ID, idCursor(v.query.Get("before")), timelineSize)
	if err != nil {
		return err
	}
	data.Timeline = timelineRows(events)
	if more {
		data.Older = olderEvents(data.Base(), data.Timeline)
	}
	return nil
}

// loadSources fills in a page of sources.
func (s *Server) loadSources(ctx context.Context, v caseVisit, data *casePage) error {
	var after casedb.Addr
	if a, err := netip.ParseAddr(v.query.Get("sources")); err == nil {
		after.Addr = a.Unmap().WithZone("")
	}
	sources, err := s.db.CaseSourceRows(ctx, data.Case.ID, after, sourcesSize+1)
	if err != nil {
		return err
	}
	addresses := make([]casedb.Addr, len(sources))
	for i := range sources {
		addresses[i] = sources[i].Source
	}
	told, err := notify.PacketsOf(ctx, &s.db.Queries, casedb.LetterScope{CaseID: data.Case.ID, Now: v.now}, addresses)
	if err != nil {
		return err
	}
	data.SourceRows, data.NextRows = sourceRows(v.p, data.Base(), sources, told)
	return nil
}

// loadAnswers fills in the mails that can be answered, and begins the answer to
// the one that was asked for, unless a form is to be shown as it was typed.
func (s *Server) loadAnswers(ctx context.Context, v caseVisit, data *casePage) error {
	inbound, err := s.db.CaseInbound(ctx, data.Case.ID, answersSize)
	if err != nil {
		return err
	}
	data.Answers = answerables(inbound)
	markAnswerable(data.Timeline, data.Answers)
	if data.Form.Name == "" {
		data.Form, err = s.quoted(ctx, data.Case, data.Answers, v.query.Get("answer"))
	}
	return err
}

// loadHealth fills in what became of the mail to everybody on the page.
func (s *Server) loadHealth(ctx context.Context, v caseVisit, data *casePage) error {
	var err error
	if data.Health, err = s.health(ctx, data.addresses(), v.now); err != nil {
		return err
	}
	data.markSuppressed()
	return nil
}
