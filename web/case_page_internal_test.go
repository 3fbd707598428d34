package web

import (
	"slices"
	"testing"
	"time"

	"teiten/internal/casedb"
)

func TestTicketRows(t *testing.T) {
	t.Parallel()
	told := []casedb.CaseTicket{{Address: "desk@isp.example", Tag: "[isp.example #1]"}}
	for name, c := range map[string]struct {
		contact *casedb.Contact
		want    []string
	}{
		"no contact":           {nil, []string{"desk@isp.example"}},
		"contact without mail": {&casedb.Contact{}, []string{"desk@isp.example"}},
		"contact with a tag":   {&casedb.Contact{Email: "desk@isp.example"}, []string{"desk@isp.example"}},
		"contact without one":  {&casedb.Contact{Email: "abuse@isp.example"}, []string{"abuse@isp.example", "desk@isp.example"}},
	} {
		var got []string
		for _, row := range ticketRows(told, c.contact) {
			got = append(got, row.Address)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestCurrentLetter(t *testing.T) {
	t.Parallel()
	note := func(id int64, s casedb.MessageState) casedb.Message {
		return casedb.Message{ID: id, State: s, Purpose: casedb.PurposeNotification}
	}
	answer := casedb.Message{ID: 9, State: casedb.MessageHeld, Purpose: casedb.PurposeAnswer}
	for name, c := range map[string]struct {
		messages []casedb.Message // the newest first
		want     int64            // 0: none
	}{
		"none":           {nil, 0},
		"only an answer": {[]casedb.Message{answer}, 0},
		"the newest":     {[]casedb.Message{answer, note(3, casedb.MessageSent), note(2, casedb.MessageSent)}, 3},
		"under way":      {[]casedb.Message{note(3, casedb.MessageSent), note(2, casedb.MessageQueued)}, 2},
		"not canceled":   {[]casedb.Message{note(3, casedb.MessageCanceled), note(2, casedb.MessageBounced)}, 2},
		"all canceled":   {[]casedb.Message{note(3, casedb.MessageCanceled)}, 0},
	} {
		var got int64
		if m := currentLetter(c.messages); m != nil {
			got = m.ID
		}
		if got != c.want {
			t.Errorf("%s: message %d, want %d", name, got, c.want)
		}
	}
}

func TestSortMails(t *testing.T) {
	t.Parallel()
	contact := &casedb.Contact{Email: "desk@isp.example"}
	sent := casedb.Message{ID: 1, State: casedb.MessageSent, Purpose: casedb.PurposeNotification, Attempts: 1}
	held := casedb.Message{ID: 2, State: casedb.MessageHeld, Purpose: casedb.PurposeNotification}
	answer := casedb.Message{ID: 3, State: casedb.MessageHeld, Purpose: casedb.PurposeAnswer, Attempts: 1}
	retired := time.Unix(0, 0)
	for name, c := range map[string]struct {
		page    casePage
		canSend bool
		links   int
		others  int
	}{
		"told":         {casePage{Live: true, CasePage: casedb.CasePage{Contact: contact, Messages: []casedb.Message{sent}}}, true, 1, 0},
		"an answer":    {casePage{Live: true, CasePage: casedb.CasePage{Contact: contact, Messages: []casedb.Message{sent, answer}}}, true, 1, 1},
		"another held": {casePage{Live: true, CasePage: casedb.CasePage{Contact: contact, Messages: []casedb.Message{held, sent}}}, false, 1, 1},
		"closed":       {casePage{CasePage: casedb.CasePage{Contact: contact}}, false, 0, 0},
		"no contact":   {casePage{Live: true}, false, 0, 0},
		"retired": {casePage{Live: true, CasePage: casedb.CasePage{
			Contact: &casedb.Contact{Email: "desk@isp.example", RetiredAt: &retired}}}, false, 0, 0},
	} {
		c.page.Letter = &letter{Message: sent}
		c.page.sortMails()
		if c.page.CanSend != c.canSend || len(c.page.Links) != c.links || len(c.page.OtherMails) != c.others {
			t.Errorf("%s: may send %t, %d links, %d others; want %t, %d, %d", name,
				c.page.CanSend, len(c.page.Links), len(c.page.OtherMails), c.canSend, c.links, c.others)
		}
	}
}

func TestAnswerables(t *testing.T) {
	t.Parallel()
	answers := answerables([]casedb.Inbound{
		{ID: 1, Class: casedb.InboundHuman, Sender: "desk@isp.example", MatchedBy: casedb.MatchedBySubject},
		{ID: 2, Class: casedb.InboundBounce, Sender: "mailer-daemon@isp.example"},
		{ID: 3, Class: casedb.InboundHuman},
	})
	if len(answers) != 1 || answers[0].ID != 1 || !answers[0].Unverified {
		t.Fatalf("can be answered: %+v", answers)
	}
	one, two := int64(1), int64(2)
	rows := []timelineRow{
		{TimelineEvent: casedb.TimelineEvent{CaseEvent: casedb.CaseEvent{Kind: casedb.EventReply, InboundID: &one}}},
		{TimelineEvent: casedb.TimelineEvent{CaseEvent: casedb.CaseEvent{Kind: casedb.EventReply, InboundID: &two}}},
		{TimelineEvent: casedb.TimelineEvent{CaseEvent: casedb.CaseEvent{Kind: casedb.EventReply}}},
		{TimelineEvent: casedb.TimelineEvent{CaseEvent: casedb.CaseEvent{Kind: casedb.EventNote, InboundID: &one}}},
	}
	markAnswerable(rows, answers)
	for i, want := range []bool{true, false, false, false} {
		if rows[i].Answerable != want {
			t.Errorf("event %d: %t", i, rows[i].Answerable)
		}
	}
}
