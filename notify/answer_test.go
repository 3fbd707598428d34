package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"

	"teiten/internal/casedb"
	"teiten/notify"
)

// answer writes an answer in a case.
func (w *world) answer(c casedb.Case, a casedb.Answer) (m casedb.Message, err error) {
	w.t.Helper()
	err = w.db.InTx(w.t.Context(), func(tx *casedb.Tx) error {
		m, err = tx.AnswerCase(w.t.Context(), c.ID, w.getCase(c.ID).Version, a, domain, "coordinator", w.clock.now())
		return err
	})
	return m, err
}

// TestAnswersCarryEvidenceAndFiles: the evidence is what a letter would carry,
// and files arrive byte for byte.
func TestAnswersCarryEvidenceAndFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := w.queued(ispCase)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	w.do(sender.Do)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	files := []casedb.MessageFile{{Name: "調査 手順.txt", Type: "text/plain", Content: []byte("手順\r\n.\r\nFrom x\n")}, {Name: "all.bin", Type: "application/octet-stream", Content: all},
		{Name: "all.bin", Type: "application/octet-stream", Content: nil}}
	m, err := w.answer(c, casedb.Answer{Text: "添付をご確認ください。", Evidence: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.composer.Preview(t.Context(), w.db, casedb.Message{ID: 99, CaseID: &c.ID, Purpose: casedb.PurposeNotification, Reason: casedb.ReasonAgain,
		Recipient: "abuse@isp.example", Language: "ja", HeaderID: "tt.x@" + domain, Token: "x"}, epoch)
	if err != nil || len(want.CSV) < 200 {
		t.Fatalf("%d bytes of CSV, %v", len(want.CSV), err)
	}
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent || strings.TrimSpace(m.Body) != "添付をご確認ください。" {
		t.Fatalf("answer is %s %q: %s", m.State, m.Body, m.LastError)
	}
	e, err := enmime.ReadEnvelope(bytes.NewReader(m.Raw))
	if err != nil || len(e.Errors) > 0 {
		t.Fatal(err, e.Errors)
	}
	if len(e.Attachments) != 4 || e.Attachments[0].FileName != c.Number+".csv" || !bytes.Equal(e.Attachments[0].Content, want.CSV) {
		t.Fatalf("%d attachments, the first %q", len(e.Attachments), e.Attachments[0].FileName)
	}
	for i, f := range files {
		if got := e.Attachments[i+1]; got.FileName != f.Name || got.ContentType != f.Type || (i > 0 && !bytes.Equal(got.Content, f.Content)) {
			t.Errorf("file %d: %q %s, %d bytes", i, got.FileName, got.ContentType, len(got.Content))
		}
	}
	list := notify.ParseMail(m.Raw).Files().List
	if len(list) != 4 || list[1].SizeBytes != len(files[0].Content) || list[1].Name != files[0].Name {
		t.Errorf("as our own inbound reads them: %+v", list)
	}
	for line := range strings.SplitSeq(string(m.Raw), "\r\n") {
		if len(line) > 200 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
}

// TestEvidenceGoesToNoStranger: an answer goes to the person who wrote, and a case's
// number alone is not enough to get its evidence.
func TestEvidenceGoesToNoStranger(t *testing.T) {
	t.Parallel()
	p := newPost(t, notify.InboundConfig{})
	c, m := p.queued(ispCase)
	p.sentBox()
	reply := p.composer.Tokens().Make(notify.TokenReply, c.Number, &m)
	for _, test := range []struct {
		from, to, more string
		stranger       bool
	}{
		{"mallory@elsewhere.example", "csirt@" + domain, "In-Reply-To: <" + m.HeaderID + ">\n", true},
		{"abuse@isp.example", "csirt@" + domain, "", false},
		{"noc@isp.example", reply, "", false},
	} {
		in := p.take(test.from, test.to, "From: "+test.from+"\nSubject: Re: ["+c.Number+"]\n"+test.more+"\nWhich host?\n")
		if _, err := p.answer(c, casedb.Answer{InboundID: &in.ID, Text: "x"}); err != nil {
			t.Errorf("%+v: without evidence: %v", test, err)
		}
		if _, err := p.answer(c, casedb.Answer{InboundID: &in.ID, Text: "x", Evidence: true}); errors.Is(err, casedb.ErrStranger) != test.stranger || !test.stranger && err != nil {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestAnswerWithoutEvidenceIsHeld: if nothing may be told when it goes out, a
// person decides, and no recipient gets a mail that names an attachment it does
// not have.
func TestAnswerWithoutEvidenceIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := w.queued(ispCase)
	server := startServer(t, &testServer{})
	sender := w.sender(server.transport())
	w.do(sender.Do)
	m, err := w.answer(c, casedb.Answer{Text: "See the CSV.", Evidence: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range ispCase.sources {
		w.judge(a, "scanner", "Example Research")
	}
	w.do(sender.Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageHeld || m.HoldWhy.String() != "none-left" {
		t.Errorf("answer is %s: %q", m.State, m.HoldWhy)
	}
	if kinds := w.events(c.ID); !slices.Contains(kinds, casedb.EventHeld) || w.getCase(c.ID).Waiting != casedb.WaitingApproval {
		t.Errorf("the case does not wait for a person: %v", kinds)
	}
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.CancelMessage(ctx, m.ID, m.Version, "coordinator", nil, epoch)
	})
	if got := w.getCase(c.ID).Waiting; got != casedb.WaitingNone {
		t.Errorf("after it was canceled the case waits for %q", got)
	}
}

// TestWaitingLettersAreComposedFromTheVersionInForce: what is held or queued
// takes up a new version of its template, names it, and keeps it once attempted.
func TestWaitingLettersAreComposedFromTheVersionInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.openCase(ispCase)
	m := w.message(c, ispCase, casedb.MessageHeld)
	name := notify.LetterName{About: "infected-ms17-010", Reason: casedb.ReasonFirst, Language: "ja"}
	subject, body := w.composer.OwnLetter(name)
	write := func(n int) {
		w.tx(func(ctx context.Context, tx *casedb.Tx) error {
			v, err := tx.SaveLetterTemplate(ctx, name.String(), subject, fmt.Sprintf("版 %d\n", n)+body, "coordinator", epoch)
			if err != nil || v.Version != n {
				return fmt.Errorf("version %d, %w", v.Version, err)
			}
			return tx.ChooseLetterTemplate(ctx, casedb.LetterChoice{Name: name.String(), Version: n, At: epoch, Actor: "coordinator", Reason: "test"})
		})
	}
	preview := func(version int) {
		t.Helper()
		d, err := w.composer.Preview(t.Context(), w.db, w.getMessage(m.ID), epoch)
		if err != nil {
			t.Fatal(err)
		}
		if d.Template != fmt.Sprintf("%s@%d", name, version) || (version > 0) != strings.HasPrefix(d.Body, fmt.Sprintf("版 %d\n", version)) {
			t.Errorf("composed from %s, want @%d", d.Template, version)
		}
	}
	preview(0)
	write(1)
	preview(1)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.ApproveMessage(ctx, m.ID, m.Version, "coordinator", epoch)
	})
	write(2)
	preview(2)
	server := startServer(t, &testServer{})
	w.do(w.sender(server.transport()).Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent || m.Template != name.String()+"@2" || !strings.HasPrefix(m.Body, "版 2\n") {
		t.Errorf("sent as %s %s", m.State, m.Template)
	}
	write(3)
	if d, err := w.composer.Preview(t.Context(), w.db, m, epoch); err != nil || d.Template != name.String()+"@2" || !bytes.Equal(d.Raw, m.Raw) {
		t.Errorf("what was sent is shown as %s, %v", d.Template, err)
	}
}
