package web

import (
	"net/http"
	"strconv"

	"teiten/internal/casedb"
	"teiten/notify"
)

// outgoingPage is the data of view outgoing.
type outgoingPage struct {
	Held     bool // what waits for a coordinator, instead of the queue
	Lines    []notify.Planned
	Queued   int
	More     bool // the queue is longer than the plan looks
	Previous string
	Next     string
	Health   health // of the recipients
}

// outgoing shows what will become of every message that is not sent yet, when
// and why. It changes nothing.
func (s *Server) outgoing(w http.ResponseWriter, r *http.Request, v *visit) error {
	if s.cfg.Planner == nil {
		return casedb.ErrNotFound
	}
	data := outgoingPage{Held: r.URL.Query().Get("view") == "held"}
	var err error
	if data.Held {
		after := idCursor(r.URL.Query().Get("after"))
		if data.Lines, err = s.cfg.Planner.Held(r.Context(), after, pageSize+1); err != nil {
			return err
		}
		if len(data.Lines) > pageSize {
			data.Lines = data.Lines[:pageSize]
			data.Next = "/outgoing?view=held&after=" + strconv.FormatInt(data.Lines[pageSize-1].Message.ID, 10)
		}
		return s.renderOutgoing(w, r, v, data)
	}
	from := int(min(idCursor(r.URL.Query().Get("from")), 1<<20))
	plan, err := s.cfg.Planner.Queue(r.Context(), from, pageSize, v.now)
	if err != nil {
		return err
	}
	data.Lines, data.Queued, data.More = plan.Lines, plan.Queued, plan.More
	if from > 0 {
		data.Previous = "/outgoing?from=" + strconv.Itoa(max(0, from-pageSize))
	}
	if from+pageSize < plan.Queued {
		data.Next = "/outgoing?from=" + strconv.Itoa(from+pageSize)
	}
	return s.renderOutgoing(w, r, v, data)
}

func (s *Server) renderOutgoing(w http.ResponseWriter, r *http.Request, v *visit, data outgoingPage) error {
	addresses := make([]string, len(data.Lines))
	for i := range data.Lines {
		addresses[i] = data.Lines[i].Message.Recipient
	}
	var err error
	if data.Health, err = s.health(r.Context(), addresses, v.now); err != nil {
		return err
	}
	return s.render(w, r, v, http.StatusOK, "outgoing", data)
}
