package notify_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"teiten/internal/casedb"
	"teiten/notify"
)

// receive hands a mail to the reader of mail.
func (l *loop) receive(from, to, raw string) {
	if _, err := l.db.StoreInbound(l.t.Context(), from, to, []byte(raw), l.clock.now()); err != nil {
		l.t.Fatal(err)
	}
	l.do(l.worker.Do)
}

func (l *loop) bounce(said string, honest bool) {
	m, some := l.latest()
	if !some {
		return
	}
	to := l.composer.Tokens().Make(notify.TokenBounce, l.c.Number, &m)
	if !honest {
		local, host, _ := strings.Cut(to, "@")
		to = local[:len(local)-3] + map[bool]string{true: "222", false: "333"}[strings.HasSuffix(local, "333")] + "@" + host
	}
	before := l.snapshot()
	status := strings.Fields(said)[1]
	l.receive("", to, "From: MAILER-DAEMON@mx.example\r\nTo: "+to+"\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nI'm sorry: "+said+"\r\n"+
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; "+m.Recipient+
		"\r\nAction: failed\r\nStatus: "+status+"\r\nDiagnostic-Code: smtp; "+said+"\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <"+m.HeaderID+">\r\n\r\n--b--\r\n")
	if !honest {
		if after := l.snapshot(); after.state != before.state || after.waiting != before.waiting || after.suppressed != before.suppressed {
			l.differ("a forged bounce made the case %s/%s of %s/%s", after.state, after.waiting, before.state, before.waiting)
		}
		return
	}
	l.messages[m.ID] = casedb.MessageBounced
	if status == "5.1.1" {
		l.suppressed[m.Recipient] = true
	}
	// The next contact's letter, or the same again later.
	l.adopt(1, casedb.MessageHeld, casedb.MessageQueued)
	if l.state != l.getCase(l.c.ID).State {
		l.differ("a bounce made the case %s", l.getCase(l.c.ID).State)
	}
}

// mail is one that answers the latest letter.
func (l *loop) mail(header, text string) bool {
	m, some := l.latest()
	if !some {
		return false
	}
	to := l.composer.Tokens().Make(notify.TokenReply, l.c.Number, &m)
	l.receive(m.Recipient, to, "From: "+m.Recipient+"\r\nTo: "+to+"\r\nIn-Reply-To: <"+m.HeaderID+">\r\n"+header+
		"Message-ID: <x"+strconv.FormatUint(l.rnd.Uint64(), 36)+"@net.example>\r\n\r\n"+text+"\r\n")
	return true
}

func (l *loop) reply() {
	if l.mail("Subject: Re: report\r\n", "Thank you, we are looking into it.") {
		l.unread = true
		if l.state.Live() {
			l.state = casedb.CaseAnswered
		}
	}
}

func (l *loop) complaint() {
	m, some := l.latest()
	if !some {
		return
	}
	to := l.composer.Tokens().Make(notify.TokenBounce, l.c.Number, &m)
	l.receive("fbl@isp.example", to, "From: fbl@isp.example\r\nTo: "+to+"\r\nSubject: Abuse report\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n"+
		"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"+
		"Message-ID: <"+m.HeaderID+">\r\nSubject: x\r\n\r\nx\r\n--b--\r\n")
	l.unread = l.getCase(l.c.ID).Waiting == casedb.WaitingReply
	l.suppressed[l.spec.email] = l.suppression()
}

// suppression is taken from the database where the model has no say.
func (l *loop) suppression() (there bool) {
	l.scan(`select exists (select 1 from suppression where address = $1 and lifted_at is null)`, &there, l.spec.email)
	return there
}

func (l *loop) delay() {
	m, some := l.latest()
	if !some {
		return
	}
	to := l.composer.Tokens().Make(notify.TokenBounce, l.c.Number, &m)
	l.receive("", to, "From: MAILER-DAEMON@mx.example\r\nTo: "+to+"\r\nSubject: Delayed Mail (still being retried)\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nStill trying.\r\n"+
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; "+m.Recipient+"\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n--b--\r\n")
}

func (l *loop) ownerSays(act casedb.OwnerAct) {
	m, some := l.latest()
	if !some {
		return
	}
	err := l.db.InTx(l.t.Context(), func(tx *casedb.Tx) error {
		return tx.OwnerSays(l.t.Context(), m.ID, casedb.OwnerStatement{Act: act, Pause: 24 * time.Hour}, l.clock.now())
	})
	if errors.Is(err, casedb.ErrNotFound) || errors.Is(err, casedb.ErrState) {
		return // too old a link, or enough for a day
	}
	if err != nil {
		l.t.Fatal(err)
	}
	if l.state.Live() && act == casedb.OwnerFixed {
		l.state = casedb.CaseAnswered
	}
	l.unread = l.getCase(l.c.ID).Waiting == casedb.WaitingReply
}

// reopenWithin is how long after its end a case is reopened.
const reopenWithin = 5 * 24 * time.Hour

// quiet lets the sensors see nothing of the source: a case whose owner was told
// ends, unless something waits.
func (l *loop) quiet() {
	now := l.clock.now()
	l.tx(func(ctx context.Context, tx *casedb.Tx) error {
		_, err := tx.StartFollowups(ctx, now.Add(-60*24*time.Hour), now)
		return err
	})
	var followed bool
	l.scan(`select exists (select 1 from followup where case_id = $1)`, &followed, l.c.ID)
	sent := slices.ContainsFunc(slices.Collect(maps.Values(l.messages)), func(s casedb.MessageState) bool { return s == casedb.MessageSent })
	if sent && !followed {
		l.differ("a letter was sent, and its source is not followed")
	}
	l.tx(func(ctx context.Context, tx *casedb.Tx) error {
		f := casedb.Followup{CaseID: l.c.ID, Source: l.source(), State: casedb.FollowupQuiet, LastAt: now, KnownTo: now, QuietAt: &now}
		return tx.SaveFollowups(ctx, []casedb.Followup{f}, now)
	})
	ids, err := l.db.QuietCases(l.t.Context(), 10_000)
	l.must(err)
	waits := l.getCase(l.c.ID).Waiting != casedb.WaitingNone
	_, some := l.open()
	ends := followed && !waits && !some && (l.state == casedb.CaseNotified || l.state == casedb.CaseAnswered)
	if slices.Contains(ids, l.c.ID) != ends {
		l.differ("is to end: %v, the model's %v (followed %v, waits %v, letter under way %v)", !ends, ends, followed, waits, some)
	}
	if ends {
		l.tx(func(ctx context.Context, tx *casedb.Tx) error {
			done, err := tx.CloseQuietCase(ctx, l.c.ID, 14, now)
			if err == nil && !done {
				l.differ("the quiet case did not end")
			}
			return err
		})
		l.state, l.quietAt = casedb.CaseClosed, now
	}
}

func (l *loop) source() casedb.Addr { return casedb.Addr{Addr: netip.MustParseAddr(l.spec.sources[0])} }

// back lets a sensor see the source again.
func (l *loop) back() {
	now := l.clock.now()
	var reopened bool
	l.tx(func(ctx context.Context, tx *casedb.Tx) (err error) {
		reopened, err = tx.ReopenQuietCase(ctx, l.c.OwnerID, casedb.KindInfected, []casedb.CaseSource{{Source: l.source()}}, now.Add(-reopenWithin), "rule worm445", now)
		return err
	})
	due := l.state == casedb.CaseClosed && !l.quietAt.IsZero() && now.Sub(l.quietAt) <= reopenWithin
	if reopened != due {
		l.differ("reopened: %v, the model's %v", reopened, due)
	}
	if due {
		l.state, l.quietAt, l.unread = casedb.CaseOpen, time.Time{}, false
	}
}

// stored are the states of the case's messages.
func (l *loop) stored() map[int64]casedb.MessageState {
	list, err := l.db.CaseMessages(l.t.Context(), l.c.ID, 1000)
	if err != nil {
		l.t.Fatal(err)
	}
	states := map[int64]casedb.MessageState{}
	live := l.getCase(l.c.ID).State.Live()
	for _, m := range list {
		if m.Reason == casedb.ReasonCorrection { // nobody approves one here
			if m.State != casedb.MessageHeld && m.State != casedb.MessageCanceled || m.State == casedb.MessageHeld && live {
				l.differ("a correction is %s in a case that is live: %v", m.State, live)
			}
			continue
		}
		states[m.ID] = m.State
	}
	return states
}
