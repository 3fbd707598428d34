package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/soak"
	"teiten/notify"

	"teiten/internal/reason"
)

// loop is one owner's case in the hands of chance: the real sender, the real
// reader of mail and the real database, and a model of what they should make of
// it. The model knows states, and nothing of how they come about.
type loop struct {
	*world
	rnd    *rand.Rand
	sender *notify.Sender
	worker *notify.InboundWorker
	spec   spec
	trace  []string

	// The model.
	c          casedb.Case
	state      casedb.CaseState
	messages   map[int64]casedb.MessageState
	suppressed map[string]bool
	stopped    bool
	unread     bool      // a person's mail waits to be read
	quietAt    time.Time // when the case closed because its sources were quiet; zero: it did not

	// What the transport does, and did.
	outcome string         // ok, temporary, permanent or ambiguous
	calls   []string       // recipients of this step
	arrived map[string]int // per Message-ID, how often a server may have taken it
	doubt   map[string]int // ... of which without our knowing
}

// Send is the transport: it does what outcome says.
func (l *loop) Send(_ context.Context, e notify.Envelope, mail io.Reader) (notify.Receipt, error) {
	if _, err := io.Copy(io.Discard, mail); err != nil {
		return notify.Receipt{}, err
	}
	l.calls = append(l.calls, e.To)
	switch l.outcome {
	case "temporary":
		return notify.Receipt{}, &notify.SendError{Code: 451, Enhanced: "4.2.0", Command: "RCPT", Response: "later"}
	case "permanent":
		return notify.Receipt{}, &notify.SendError{Permanent: true, Code: 550, Enhanced: "5.1.1", Command: "RCPT", Response: "user unknown"}
	case "ambiguous":
		l.arrived[e.ID]++
		l.doubt[e.ID]++
		return notify.Receipt{}, &notify.SendError{Ambiguous: true, Command: "DATA", Response: "connection lost"}
	}
	l.arrived[e.ID]++
	return notify.Receipt{Code: 250}, nil
}

// steps are what can happen, each with what it is called in a failure's trace.
var steps = []struct {
	name string
	do   func(*loop)
}{
	{"send", func(l *loop) { l.send("ok") }},
	{"send", func(l *loop) { l.send("ok") }},
	{"send", func(l *loop) { l.send("ok") }},
	{"try, temporary failure", func(l *loop) { l.send("temporary") }},
	{"try, permanent failure", func(l *loop) { l.send("permanent") }},
	{"try, connection lost", func(l *loop) { l.send("ambiguous") }},
	{"approve", (*loop).approve},
	{"approve", (*loop).approve},
	{"hold", func(l *loop) { l.move(casedb.MessageQueued, casedb.MessageHeld) }},
	{"cancel", func(l *loop) { l.move("", casedb.MessageCanceled) }},
	{"hard bounce", func(l *loop) { l.bounce("550 5.1.1 User unknown", true) }},
	{"soft bounce", func(l *loop) { l.bounce("552 5.2.2 Mailbox full", true) }},
	{"filtered", func(l *loop) { l.bounce("554 5.7.1 Rejected as spam", true) }},
	{"forged bounce", func(l *loop) { l.bounce("550 5.1.1 User unknown", false) }},
	{"automatic reply", func(l *loop) {
		l.mail("Auto-Submitted: auto-replied\r\nSubject: Out of office\r\n", "I am away until Monday.")
	}},
	{"delay", (*loop).delay},
	{"complaint", (*loop).complaint},
	{"reply", (*loop).reply},
	{"the owner says fixed", func(l *loop) { l.ownerSays(casedb.OwnerFixed) }},
	{"the owner pauses", func(l *loop) { l.ownerSays(casedb.OwnerPause) }},
	{"read", (*loop).read},
	{"close", func(l *loop) { l.end(casedb.CaseClosed) }},
	{"ignore", func(l *loop) { l.end(casedb.CaseIgnored) }},
	{"reopen", (*loop).reopen},
	{"write again", (*loop).again},
	{"lift", (*loop).lift},
	{"stop or start all mail", (*loop).stop},
	{"the sensors are quiet", (*loop).quiet},
	{"the sensors are quiet", (*loop).quiet},
	{"the source comes back", (*loop).back},
	{"time passes", func(l *loop) { l.clock.advance(time.Duration(l.rnd.IntN(72)) * time.Hour) }},
}

// TestLoop runs random sequences of all that can happen to a case and its mail,
// and compares what the database says with the model after every step.
// TEITEN_SEQUENCES is their number, TEITEN_SEED the first one's seed.
func TestLoop(t *testing.T) {
	t.Parallel()
	runLoops(t, 12)
}

// TestSoakLoop runs TEITEN_SEQUENCES sequences from TEITEN_SEED on.
func TestSoakLoop(t *testing.T) {
	soak.Start(t)
	n := soak.Size(100, 5000)
	if v, err := strconv.Atoi(os.Getenv("TEITEN_SEQUENCES")); err == nil {
		n = v
	}
	runLoops(t, n)
}

func runLoops(t *testing.T, n int) {
	seed := uint64(1)
	if v, err := strconv.ParseUint(os.Getenv("TEITEN_SEED"), 10, 64); err == nil {
		seed = v
	}
	const shards = 4
	for shard := range shards {
		t.Run(strconv.Itoa(shard), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := shard; i < n; i += shards {
				if err := runLoop(w, seed+uint64(i)); err != nil {
					t.Fatalf("seed %d: %v", seed+uint64(i), err)
				}
				if i%1000 < shards {
					t.Logf("%d sequences agree", i/shards+1)
				}
			}
		})
	}
}

// errDiffers says in what the database and the model differ.
type errDiffers string

func (e errDiffers) Error() string { return string(e) }

func runLoop(w *world, seed uint64) (err error) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := spec{owner: fmt.Sprintf("Owner %d", seed), country: "JP", language: []string{"ja", "en"}[seed%2], email: fmt.Sprintf("abuse@net%d.example", seed),
		malware: casedb.MalwareMS17010, sources: []string{fmt.Sprintf("10.%d.%d.%d", seed>>16&255, seed>>8&255, seed&255)}, gate: casedb.GateAuto}
	l := &loop{world: w, rnd: rnd, spec: s, messages: map[int64]casedb.MessageState{}, suppressed: map[string]bool{}, arrived: map[string]int{}, doubt: map[string]int{}}
	l.sender = w.sender(l)
	l.worker = &notify.InboundWorker{DB: w.db, Tokens: w.composer.Tokens(), Now: w.clock.now}
	l.c = w.openCase(s)
	l.state = casedb.CaseNew
	if rnd.IntN(2) == 0 {
		w.exec(`insert into contact (owner_id, email, provenance, gate, language, rank, created_at) values ($1, $2, 'remark', 'approve', 'en', 5, $3)`,
			l.c.OwnerID, fmt.Sprintf("soc@net%d.example", seed), epoch)
	}
	m := w.message(l.c, s, []casedb.MessageState{casedb.MessageHeld, casedb.MessageQueued}[rnd.IntN(2)])
	l.messages[m.ID] = m.State
	defer func() {
		if p := recover(); p != nil {
			differs, ok := p.(errDiffers)
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("%s\nafter: %s", differs, strings.Join(l.trace, "; "))
		}
		l.finish()
	}()
	l.compare(nil)
	for range 10 + rnd.IntN(20) {
		step := steps[rnd.IntN(len(steps))]
		l.trace = append(l.trace, step.name)
		l.clock.advance(time.Second) // two things never happen at one time
		l.calls = l.calls[:0]
		before := l.snapshot()
		step.do(l)
		l.compare(before)
	}
	return nil
}

// finish leaves nothing for the next sequence to trip over.
func (l *loop) finish() {
	if l.stopped {
		l.stop()
	}
	c := l.getCase(l.c.ID)
	if c.State.Live() {
		l.tx(func(ctx context.Context, tx *casedb.Tx) error {
			c, err := tx.LockCase(ctx, c.ID)
			if err != nil {
				return err
			}
			return tx.CloseCase(ctx, &c, "test", reason.Typed("end of the sequence"), l.clock.now())
		})
	}
	l.clock.advance(time.Hour)
}

// snapshot is what must not change by itself.
type snapshot struct {
	state      casedb.CaseState
	waiting    casedb.Waiting
	events     int
	messages   map[int64]casedb.MessageState
	suppressed int
}

func (l *loop) snapshot() *snapshot {
	c := l.getCase(l.c.ID)
	s := &snapshot{state: c.State, waiting: c.Waiting, messages: l.stored(), events: len(l.events(c.ID))}
	l.scan(`select count(*) from suppression`, &s.suppressed)
	return s
}

// differ ends the sequence.
func (l *loop) differ(format string, args ...any) { panic(errDiffers(fmt.Sprintf(format, args...))) }

// compare looks at everything after a step.
func (l *loop) compare(before *snapshot) {
	c := l.getCase(l.c.ID)
	if c.State != l.state {
		l.differ("the case is %s, the model's %s", c.State, l.state)
	}
	stored := l.stored()
	for id, want := range l.messages {
		if stored[id] != want {
			l.differ("message %d is %s, the model's %s", id, stored[id], want)
		}
	}
	open := 0
	for id, state := range stored {
		if _, known := l.messages[id]; !known {
			l.differ("message %d, %s, is one that the model does not know", id, state)
		}
		if state == casedb.MessageHeld || state == casedb.MessageQueued {
			open++
		}
	}
	if open > 1 || open > 0 && !c.State.Live() {
		l.differ("%d letters wait in a case that is %s", open, c.State)
	}
	for id, n := range l.arrived {
		if n > 1+l.doubt[id] {
			l.differ("%s was sent %d times, of which %d in doubt", id, n, l.doubt[id])
		}
	}
	var suppressed bool
	l.scan(`select exists (select 1 from suppression where address = $1 and lifted_at is null)`, &suppressed, l.spec.email)
	if suppressed != l.suppressed[l.spec.email] {
		l.differ("%s suppressed: %v, the model's %v", l.spec.email, suppressed, l.suppressed[l.spec.email])
	}
	if before == nil {
		return
	}
	now := l.snapshot()
	if (now.state != before.state || now.waiting != before.waiting) && now.events <= before.events {
		l.differ("the case went from %s/%s to %s/%s without an event", before.state, before.waiting, now.state, now.waiting)
	}
	if now.events < before.events || len(now.messages) < len(before.messages) || now.suppressed < before.suppressed {
		l.differ("something was deleted")
	}
}

// adopt takes new messages into the model, which must be in one of the states.
func (l *loop) adopt(most int, states ...casedb.MessageState) {
	n := 0
	for id, state := range l.stored() {
		if _, known := l.messages[id]; known {
			continue
		}
		if n++; n > most || !slices.Contains(states, state) {
			l.differ("a new message is %s", state)
		}
		l.messages[id] = state
	}
}

// open returns the letter under way.
func (l *loop) open() (casedb.Message, bool) {
	for id, state := range l.messages {
		if state == casedb.MessageHeld || state == casedb.MessageQueued {
			return l.getMessage(id), true
		}
	}
	return casedb.Message{}, false
}

// latest returns the newest letter that arrived, or came back.
func (l *loop) latest() (casedb.Message, bool) {
	newest := int64(0)
	for id, state := range l.messages {
		if state == casedb.MessageSent || state == casedb.MessageBounced {
			newest = max(newest, id)
		}
	}
	if newest == 0 {
		return casedb.Message{}, false
	}
	return l.getMessage(newest), true
}

// send lets the sender work. Whether a letter may leave at all is the sender's
// to decide; if it left, or was held back, must fit.
func (l *loop) send(outcome string) {
	l.outcome = outcome
	m, some := l.open()
	queued := some && m.State == casedb.MessageQueued
	due := queued && !m.NextAttemptAt.After(l.clock.now())
	if _, err := l.sender.Do(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	if len(l.calls) > 0 && (!due || l.stopped || l.suppressed[l.calls[0]] || !l.state.Live() || l.calls[0] != m.Recipient || len(l.calls) > 1) {
		l.differ("sent to %v: due %v, stopped %v, suppressed %v, case %s, for %s", l.calls, due, l.stopped, l.suppressed[m.Recipient], l.state, m.Recipient)
	}
	switch after := l.stored()[m.ID]; {
	case !some:
	case len(l.calls) == 0:
		// It stays, or was put back with a reason: for a coordinator, or for good.
		if after != m.State && (!due || l.stopped || !slices.Contains([]casedb.MessageState{casedb.MessageHeld, casedb.MessageFailed, casedb.MessageCanceled}, after)) {
			l.differ("without an attempt the letter went from %s to %s", m.State, after)
		}
		if after == casedb.MessageFailed && !l.suppressed[m.Recipient] {
			l.differ("the letter failed, but nothing is known against %s", m.Recipient)
		}
		l.messages[m.ID] = after
	case outcome == "ok":
		l.messages[m.ID] = casedb.MessageSent
		if !l.unread {
			l.state = casedb.CaseNotified
		}
	case outcome == "permanent":
		l.messages[m.ID] = casedb.MessageFailed
		l.suppressed[m.Recipient] = true
		l.adopt(1, casedb.MessageHeld) // the next contact's
	case after == casedb.MessageFailed && m.Attempts >= 7: // the last try
		l.messages[m.ID] = casedb.MessageFailed
	default:
		l.messages[m.ID] = casedb.MessageQueued
	}
	if after := l.getCase(l.c.ID).State; after == casedb.CaseOpen && len(l.calls) == 0 && l.state == casedb.CaseNew {
		l.state = after
	}
}

func (l *loop) approve() {
	m, some := l.open()
	if !some || m.State != casedb.MessageHeld {
		return
	}
	l.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, m.Version, "taro", l.clock.now())
	})
	l.messages[m.ID] = casedb.MessageQueued
	if l.state == casedb.CaseNew {
		l.state = casedb.CaseOpen
	}
}

// move holds or cancels the letter under way, as a coordinator does.
func (l *loop) move(from, to casedb.MessageState) {
	m, some := l.open()
	if !some || from != "" && m.State != from {
		return
	}
	err := l.db.InTx(l.t.Context(), func(tx *casedb.Tx) error {
		if to == casedb.MessageHeld {
			return tx.HoldMessage(l.t.Context(), m.ID, m.Version, "taro", reason.Typed("by hand"), l.clock.now())
		}
		return tx.CancelMessage(l.t.Context(), m.ID, m.Version, "taro", reason.Typed("by hand"), l.clock.now())
	})
	if errors.Is(err, casedb.ErrState) {
		return // it may be on its way
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.messages[m.ID] = to
}

// locked works on the case as a coordinator does.
func (l *loop) locked(f func(tx *casedb.Tx, c *casedb.Case) error) error {
	return l.db.InTx(l.t.Context(), func(tx *casedb.Tx) error {
		c, err := tx.LockCase(l.t.Context(), l.c.ID)
		if err != nil {
			return err
		}
		return f(tx, &c)
	})
}

func (l *loop) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *loop) read() {
	if c := l.getCase(l.c.ID); c.Waiting == casedb.WaitingNone || c.Waiting == casedb.WaitingApproval {
		return
	}
	l.must(l.locked(func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.ChangeCase(l.t.Context(), c, casedb.CaseChange{Waiting: casedb.WaitFor(casedb.WaitingNone),
			Event: casedb.CaseEvent{Kind: casedb.EventNote, Actor: "taro"}}, l.clock.now())
	}))
	l.unread = false
}

func (l *loop) end(state casedb.CaseState) {
	if !l.state.Live() {
		return
	}
	l.must(l.locked(func(tx *casedb.Tx, c *casedb.Case) error {
		if state == casedb.CaseClosed {
			return tx.CloseCase(l.t.Context(), c, "taro", reason.Typed("done"), l.clock.now())
		}
		return tx.IgnoreCase(l.t.Context(), c, "taro", reason.Typed("nothing to do"), l.clock.now())
	}))
	l.state, l.unread = state, false
	for id, s := range l.messages {
		if s == casedb.MessageHeld || s == casedb.MessageQueued {
			l.messages[id] = casedb.MessageCanceled
		}
	}
}

func (l *loop) reopen() {
	if l.state.Live() {
		return
	}
	l.must(l.locked(func(tx *casedb.Tx, c *casedb.Case) error {
		return tx.ReopenCase(l.t.Context(), c, "taro", reason.Typed("again"), l.clock.now())
	}))
	l.state, l.quietAt = casedb.CaseOpen, time.Time{}
	l.unread = l.getCase(l.c.ID).Waiting == casedb.WaitingReply
}

// again writes to the owner once more, held.
func (l *loop) again() {
	if _, some := l.open(); some || !l.state.Live() {
		return
	}
	c := l.getCase(l.c.ID)
	err := l.db.InTx(l.t.Context(), func(tx *casedb.Tx) error {
		_, err := tx.SendAgain(l.t.Context(), c.ID, c.Version, domain, false, "taro", l.clock.now())
		return err
	})
	if errors.Is(err, casedb.ErrState) {
		return
	}
	l.must(err)
	l.adopt(1, casedb.MessageHeld)
	l.unread = l.getCase(l.c.ID).Waiting == casedb.WaitingReply
}

func (l *loop) lift() {
	if !l.suppressed[l.spec.email] {
		return
	}
	l.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.LiftSuppression(ctx, l.spec.email, "taro", l.clock.now())
	})
	l.suppressed[l.spec.email] = false
}

func (l *loop) stop() {
	l.stopped = !l.stopped
	l.must(l.db.SetSendStopped(l.t.Context(), l.stopped, "taro", "a drill", l.clock.now()))
}
