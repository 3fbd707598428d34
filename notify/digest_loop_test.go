package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/soak"
	"teiten/notify"

	"teiten/internal/reason"
)

// digestLoop is the mail of a desk that asks for one mail a day, in the hands of
// chance.
type digestLoop struct {
	*world
	t       *testing.T
	rnd     *rand.Rand
	sender  *notify.Sender
	cases   []casedb.Case
	trace   []string
	outcome string
	arrived map[string]int // per letter's Message-ID, how often a server took it
	doubt   map[string]doubtful
	wrong   map[int64]bool // cases whose source is acknowledged
}

// doubtful is in which mail, and when, a server may have taken a letter.
type doubtful struct {
	mail string
	at   time.Time
}

// Send is the transport.
func (l *digestLoop) Send(_ context.Context, e notify.Envelope, content io.Reader) (notify.Receipt, error) {
	raw, err := io.ReadAll(content)
	if err != nil {
		return notify.Receipt{}, err
	}
	var ids []string
	if strings.Contains(string(raw), "multipart/digest") {
		_, _, letters := inMail(l.t, raw)
		for _, m := range letters {
			ids = append(ids, strings.Trim(m.Header.Get("Message-Id"), "<>"))
		}
	} else {
		m, err := mail.ReadMessage(strings.NewReader(string(raw)))
		if err != nil {
			l.t.Fatal(err)
		}
		ids = []string{strings.Trim(m.Header.Get("Message-Id"), "<>")}
	}
	for _, id := range ids {
		m, err := l.db.MessageByHeaderIDs(context.Background(), []string{id})
		if err != nil {
			l.t.Fatal(err)
		}
		if c := l.getCase(*m.CaseID); m.State != casedb.MessageQueued || !c.State.Live() || l.wrong[c.ID] {
			l.fail("letter %d left: it is %s, its case %s, wrong: %v", m.ID, m.State, c.State, l.wrong[c.ID])
		}
		// Only a retry, or a person, repeats what may have arrived.
		if d, ok := l.doubt[id]; ok && d.mail != e.ID && (m.ApprovedAt == nil || m.ApprovedAt.Before(d.at)) {
			l.fail("letter %d, which may have arrived, left again by itself", m.ID)
		}
	}
	switch l.outcome {
	case "temporary":
		return notify.Receipt{}, &notify.SendError{Code: 451, Enhanced: "4.2.0", Command: "RCPT", Response: "later"}
	case "ambiguous":
		for _, id := range ids {
			l.doubt[id] = doubtful{e.ID, l.clock.now()}
		}
		return notify.Receipt{}, &notify.SendError{Ambiguous: true, Command: "DATA", Response: "connection lost"}
	}
	for _, id := range ids {
		l.arrived[id]++
	}
	return notify.Receipt{Code: 250}, nil
}

// fail may be called from where the sender works.
func (l *digestLoop) fail(format string, args ...any) {
	l.t.Helper()
	l.t.Errorf("%s\nafter: %s", fmt.Sprintf(format, args...), strings.Join(l.trace, "; "))
}

// letter returns one of the letters under way at random.
func (l *digestLoop) letter(state casedb.MessageState) (m casedb.Message, ok bool) {
	c := l.cases[l.rnd.IntN(len(l.cases))]
	list, err := l.db.CaseMessages(l.t.Context(), c.ID, 1)
	if err != nil {
		l.t.Fatal(err)
	}
	return list[0], list[0].State == state
}

func (l *digestLoop) try(f func(ctx context.Context, tx *casedb.Tx) error) {
	l.t.Helper()
	err := l.db.InTx(l.t.Context(), func(tx *casedb.Tx) error { return f(l.t.Context(), tx) })
	if err != nil && !errors.Is(err, casedb.ErrState) {
		l.t.Fatal(err)
	}
}

var digestSteps = []struct {
	name string
	do   func(*digestLoop)
}{
	{"ok", func(l *digestLoop) { l.send("ok") }},
	{"ok", func(l *digestLoop) { l.send("ok") }},
	{"temporary", func(l *digestLoop) { l.send("temporary") }},
	{"temporary", func(l *digestLoop) { l.send("temporary") }},
	{"ambiguous", func(l *digestLoop) { l.send("ambiguous") }},
	{"hours", func(l *digestLoop) { l.clock.advance(time.Duration(l.rnd.IntN(20)) * time.Hour) }},
	{"hours", func(l *digestLoop) { l.clock.advance(time.Duration(l.rnd.IntN(20)) * time.Hour) }},
	{"approve", func(l *digestLoop) {
		if m, ok := l.letter(casedb.MessageHeld); ok {
			l.try(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.ApproveMessage(ctx, m.ID, m.Version, "taro", l.clock.now())
			})
		}
	}},
	{"hold", func(l *digestLoop) {
		if m, ok := l.letter(casedb.MessageQueued); ok {
			l.try(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.HoldMessage(ctx, m.ID, m.Version, "taro", reason.Typed("wait"), l.clock.now())
			})
		}
	}},
	{"cancel", func(l *digestLoop) {
		if m, ok := l.letter(casedb.MessageQueued); ok {
			l.try(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.CancelMessage(ctx, m.ID, m.Version, "taro", reason.Typed("no"), l.clock.now())
			})
		}
	}},
	{"edit", func(l *digestLoop) {
		if m, ok := l.letter(casedb.MessageQueued); ok {
			l.try(func(ctx context.Context, tx *casedb.Tx) error {
				return tx.EditMessage(ctx, m.ID, m.Version, "Our words", "Words about "+l.getCase(*m.CaseID).Number, "taro", l.clock.now())
			})
		}
	}},
	{"again", func(l *digestLoop) {
		c := l.getCase(l.cases[l.rnd.IntN(len(l.cases))].ID)
		if m, _ := l.letter(""); c.State.Live() && m.State != "" {
			err := l.db.InTx(l.t.Context(), func(tx *casedb.Tx) error {
				_, err := tx.SendAgain(l.t.Context(), c.ID, c.Version, domain, true, "taro", l.clock.now())
				return err
			})
			if err != nil && !errors.Is(err, casedb.ErrConflict) {
				l.t.Fatal(err)
			}
		}
	}},
	{"close", func(l *digestLoop) {
		if c := l.getCase(l.cases[l.rnd.IntN(len(l.cases))].ID); c.State.Live() && l.rnd.IntN(3) == 0 {
			l.try(func(ctx context.Context, tx *casedb.Tx) error {
				c, err := tx.LockCase(ctx, c.ID)
				if err != nil {
					return err
				}
				return tx.CloseCase(ctx, &c, "taro", reason.Typed("done"), l.clock.now())
			})
		}
	}},
	{"acknowledge", func(l *digestLoop) {
		if i := l.rnd.IntN(len(l.cases)); l.rnd.IntN(3) == 0 && !l.wrong[l.cases[i].ID] {
			l.judge(fmt.Sprintf("192.0.2.%d", i+1), "scanner", "Example University")
			l.wrong[l.cases[i].ID] = true
		}
	}},
	{"stop and start", func(l *digestLoop) {
		for _, stop := range []bool{true, false} {
			if err := l.db.SetSendStopped(l.t.Context(), stop, "taro", "a drill", l.clock.now()); err != nil {
				l.t.Fatal(err)
			}
			l.send("must not be")
		}
	}},
}

func (l *digestLoop) send(outcome string) {
	l.outcome = outcome
	if outcome == "must not be" {
		l.outcome = "temporary"
	}
	if _, err := l.sender.Do(l.t.Context()); err != nil {
		l.fail("send: %v", err)
	}
}

// check looks at what must hold after every step.
func (l *digestLoop) check() {
	l.t.Helper()
	for what, query := range map[string]string{
		"a letter waits in a digest that does not": `select count(*) from message m join message d on d.id = m.digest_id
			where m.state in ('held','queued') and d.state <> 'queued'`,
		"a letter was sent in a digest that was not": `select count(*) from message m join message d on d.id = m.digest_id
			where m.state = 'sent' and d.state <> 'sent'`,
		"a digest has a case": `select count(*) from message where purpose = 'digest' and case_id is not null`,
		"more than two mails a day": `select count(*) from message_attempt a where a.outcome = 'sent' and 2 < (select count(*)
			from message_attempt b where b.outcome = 'sent' and b.started_at between a.started_at and a.started_at + interval '24 hours')`,
	} {
		var n int
		if l.scan(query, &n); n != 0 {
			l.fail("%s", what)
		}
	}
	for _, c := range l.cases {
		list, err := l.db.CaseMessages(l.t.Context(), c.ID, 100)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, m := range list {
			if n := l.arrived[m.HeaderID]; n > 1 || (m.State == casedb.MessageSent) != (n == 1) {
				l.fail("letter %d, %s, was taken %d times", m.ID, m.State, n)
			}
		}
	}
}

// TestDigestLoop runs random sequences of all that happens to letters on their
// way in digests. TEITEN_SEQUENCES is their number, TEITEN_SEED the first one's
// seed.
func TestDigestLoop(t *testing.T) {
	t.Parallel()
	runDigestLoops(t, 1)
}

// TestSoakDigestLoop runs TEITEN_SEQUENCES sequences from TEITEN_SEED on.
func TestSoakDigestLoop(t *testing.T) {
	soak.Start(t)
	n := soak.Size(5, 200)
	if v, err := strconv.Atoi(os.Getenv("TEITEN_SEQUENCES")); err == nil {
		n = v
	}
	runDigestLoops(t, n)
}

func runDigestLoops(t *testing.T, n int) {
	seed := uint64(1)
	if v, err := strconv.ParseUint(os.Getenv("TEITEN_SEED"), 10, 64); err == nil {
		seed = v
	}
	for i := range n {
		t.Run(strconv.FormatUint(seed+uint64(i), 10), func(t *testing.T) { runDigestLoop(t, seed+uint64(i)) })
	}
}

func runDigestLoop(t *testing.T, seed uint64) {
	l := &digestLoop{world: newWorld(t), t: t, rnd: rand.New(rand.NewPCG(seed, 0)), arrived: map[string]int{}, doubt: map[string]doubtful{},
		wrong: map[int64]bool{}}
	l.sender = l.world.sender(l)
	l.sender.DigestAt, l.sender.Limits = nine, casedb.SendLimits{PerRecipientDay: 2}
	for i := range 3 + l.rnd.IntN(4) {
		s := ispCase
		s.owner, s.sources = fmt.Sprintf("Owner %d", i), []string{fmt.Sprintf("192.0.2.%d", i+1)}
		c, _ := l.queued(s)
		l.cases = append(l.cases, c)
	}
	(&desk{world: l.world}).wish("")
	for range 60 {
		step := digestSteps[l.rnd.IntN(len(digestSteps))]
		l.trace = append(l.trace, step.name)
		l.clock.advance(time.Second)
		step.do(l)
		if l.check(); t.Failed() {
			return
		}
	}
	// In the end everything that may go is gone, and nothing is lost.
	for range 6 {
		l.trace = append(l.trace, "the end")
		for _, c := range l.cases {
			list, err := l.db.CaseMessages(t.Context(), c.ID, 1)
			if err != nil {
				t.Fatal(err)
			}
			if m := list[0]; m.State == casedb.MessageHeld && !l.wrong[c.ID] {
				l.tx(func(ctx context.Context, tx *casedb.Tx) error {
					return tx.ApproveMessage(ctx, m.ID, m.Version, "taro", l.clock.now())
				})
			}
		}
		l.clock.advance(25 * time.Hour)
		l.send("ok")
		l.check()
	}
	for _, c := range l.cases {
		list, err := l.db.CaseMessages(t.Context(), c.ID, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			switch m.State {
			case casedb.MessageSent, casedb.MessageCanceled, casedb.MessageFailed:
			case casedb.MessageHeld:
				if !l.wrong[c.ID] {
					l.fail("letter %d waits: %s", m.ID, m.HoldWhy)
				}
			default:
				l.fail("letter %d is %s: %s", m.ID, m.State, m.LastError)
			}
		}
	}
}
