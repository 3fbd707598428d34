package notify_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"teiten/internal/casedb"
	"teiten/notify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and review. Got:\n%s", file, got)
	}
}

// TestLetters keeps every letter in both languages as a golden file: the mail
// as it goes out, and its text decoded for reviewers. The evidence is the same
// whatever the reason of a letter.
func TestLetters(t *testing.T) {
	t.Parallel()
	for _, name := range notify.LetterNames() {
		t.Run(name.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := specOf(name)
			c := w.openCase(s)
			if name.Reason != casedb.ReasonFirst {
				w.told(c, s)
			}
			m := w.letter(c, s, name.Reason)
			d, err := w.composer.Preview(t.Context(), w.db, m, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if d.Template != name.String()+"@0" {
				t.Errorf("template %s", d.Template)
			}
			golden(t, name.String()+".eml", d.Raw)
			golden(t, name.String()+".txt", []byte(d.Subject+"\n\n"+d.Body))
			golden(t, "evidence-"+name.About+"."+name.Language+".csv", d.CSV)
			checkMail(t, d)
			checkWidth(t, d.Body)
		})
	}
}

// specOf is a case that the letter is for.
func specOf(name notify.LetterName) spec {
	s := ispCase
	s.kind, s.language = name.Kind(), name.Language
	_, s.malware, _ = strings.Cut(name.About, "-")
	if name.Language == "en" {
		s.owner, s.country, s.email = "Example Datacenter", "NL", "abuse@dc.example"
	}
	return s
}

// told records that the owner of a case was told two weeks ago.
func (w *world) told(c casedb.Case, s spec) {
	w.t.Helper()
	w.exec(`insert into message (case_id, purpose, state, reason, recipient, language, message_id, token, created_at, sent_at)
		values ($1, 'notification', 'sent', 'first', $2, $3, 'before@teiten.example', 'before', $4, $4)`,
		c.ID, s.email, s.language, epoch.Add(-14*24*time.Hour))
	w.exec(`insert into message_source (message_id, source) select m.id, cs.source from message m join case_source cs on cs.case_id = m.case_id
		where m.token = 'before'`)
}

// letter writes a held notification with the reason.
func (w *world) letter(c casedb.Case, s spec, reason string) casedb.Message {
	w.t.Helper()
	m := casedb.Message{CaseID: &c.ID, ContactID: c.ContactID, Purpose: casedb.PurposeNotification, State: casedb.MessageHeld, Reason: reason,
		Recipient: s.email, Language: s.language, CreatedAt: epoch, HeaderID: "tt.token1@" + domain, Token: "token1"}
	w.tx(func(ctx context.Context, tx *casedb.Tx) (err error) {
		if reason == casedb.ReasonStillActive || casedb.IsEscalation(reason) {
			m, err = tx.InsertReminder(ctx, m, epoch.Add(-7*24*time.Hour), "test")
		} else {
			m, err = tx.InsertMessage(ctx, m, "test")
		}
		return err
	})
	return m
}

// width is the columns that a line takes in a terminal.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x1100 {
			n++
		}
	}
	return n
}

// TestMixedLetters keeps the letter of a case with two malwares, where each
// source is told of its own alone, and other traffic of theirs is left out.
func TestMixedLetters(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"ja", "en"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := ispCase
			s.language = language
			c := w.openCase(s)
			w.join(c, spec{malware: casedb.MalwareMirai, rule: "mirai", country: "JP", sources: []string{"192.0.2.40"}})
			w.observe("192.0.2.40", 6, 445, "syn", epoch.Add(-20*time.Hour))
			w.observe("192.0.2.10", 6, 8080, "syn", epoch.Add(-20*time.Hour))
			w.observe("192.0.2.10", 6, 445, "null", epoch.Add(-20*time.Hour))
			d, err := w.composer.Preview(t.Context(), w.db, w.message(c, s, casedb.MessageHeld), epoch)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "infected-mixed."+language+".eml", d.Raw)
			golden(t, "infected-mixed."+language+".txt", []byte(d.Subject+"\n\n"+d.Body))
			golden(t, "evidence-mixed.csv", d.CSV) // in both languages
			checkMail(t, d)
			checkWidth(t, d.Body)
			rows, err := csv.NewReader(bytes.NewReader(d.CSV)).ReadAll()
			if err != nil || len(rows) != 1+3*2 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			for _, r := range rows[1:] {
				want := []string{"445", "worm", casedb.MalwareMS17010, "worm445"}
				if r[3] == "192.0.2.40" {
					want = []string{"23", "worm", casedb.MalwareMirai, "mirai"}
				}
				if !slices.Equal(r[6:10], want) {
					t.Errorf("row %v, want %v", r, want)
				}
			}
		})
	}
}

// TestLettersAboutOneAddress keeps the letter about a single address, which the
// subject and the first lines name. It is one of IPv6, longer than the table's
// column.
func TestLettersAboutOneAddress(t *testing.T) {
	t.Parallel()
	const address = "2001:db8:1234:5678:9abc:def0:1234:5678"
	for _, language := range []string{"ja", "en"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := ispCase
			s.language, s.sources = language, []string{address}
			d, err := w.composer.Preview(t.Context(), w.db, w.message(w.openCase(s), s, casedb.MessageHeld), epoch)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "one-address."+language+".eml", d.Raw)
			golden(t, "one-address."+language+".txt", []byte(d.Subject+"\n\n"+d.Body))
			checkMail(t, d)
			checkWidth(t, d.Body)
			if !strings.HasSuffix(d.Subject, "("+address+", 445/TCP) TLP:AMBER+STRICT") || strings.Count(d.Body, address) != 2 {
				t.Error("subject or first lines do not name the address")
			}
		})
	}
}

// checkWidth looks for lines that a terminal would break.
func checkWidth(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if n := width(line); n > 76 {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.Contains(line, "  ") && strings.TrimSpace(line) == "" {
			t.Errorf("blanks only: %q", line)
		}
	}
}

// checkMail reads a mail of ours as a stranger's program would.
func checkMail(t *testing.T, d notify.Draft) {
	t.Helper()
	e, err := enmime.ReadEnvelope(bytes.NewReader(d.Raw))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Errors) > 0 {
		t.Errorf("the mail has errors: %v", e.Errors)
	}
	if got := strings.ReplaceAll(e.Text, "\r\n", "\n"); strings.TrimSpace(got) != strings.TrimSpace(d.Body) {
		t.Errorf("text %q, want %q", got, d.Body)
	}
	if e.GetHeader("Subject") != d.Subject {
		t.Errorf("subject %q, want %q", e.GetHeader("Subject"), d.Subject)
	}
	for _, name := range []string{"Date", "From", "To", "Message-Id", "References", "In-Reply-To", "Reply-To", "Auto-Submitted", "Mime-Version"} {
		if len(e.GetHeaderValues(name)) != 1 {
			t.Errorf("%d headers %s, want 1", len(e.GetHeaderValues(name)), name)
		}
	}
	if len(e.Attachments) != 1 || !bytes.Equal(e.Attachments[0].Content, d.CSV) {
		t.Fatal("the evidence is not attached as it is")
	}
	rows, err := csv.NewReader(bytes.NewReader(d.CSV)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("evidence %v, %v", rows, err)
	}
	for line := range strings.SplitSeq(string(d.Raw), "\r\n") {
		if len(line) > 200 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
}

func TestLettersAboutRegistrationsAndAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.openCase(ispCase)
	for _, language := range []string{"ja", "en"} {
		r := notify.Registration{Organisation: "Example Research Institute", Prefixes: []string{"203.0.113.0/28", "2001:db8:5::/48"},
			Link: "https://teiten.example/register/confirm?token=abc", Valid: 48 * time.Hour, Reason: "An example of a reason."}
		s, b, err := w.composer.Confirmation(language, r)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "confirmation."+language+".txt", []byte(s+"\n\n"+b))
		checkWidth(t, b)
		for _, r.Accepted = range []bool{true, false} {
			s, b, err := w.composer.Decision(language, r)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, fmt.Sprintf("decision-%v.%s.txt", r.Accepted, language), []byte(s+"\n\n"+b))
			checkWidth(t, b)
		}
		var m casedb.Message
		w.tx(func(ctx context.Context, tx *casedb.Tx) (err error) {
			m, err = tx.AnswerCase(ctx, c.ID, w.getCase(c.ID).Version, casedb.Answer{Text: "An answer.\r\n\r\n.\r\n回答です。"}, domain, "coordinator", epoch)
			return err
		})
		m.Language = language
		m.HeaderID, m.Token, m.ID = "tt.answer@"+domain, "answer", 7
		d, err := w.composer.Preview(t.Context(), w.db, m, epoch)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "answer."+language+".eml", d.Raw)
		if bytes.Contains(d.Raw, []byte("Auto-Submitted")) {
			t.Error("a person's words are called automatic")
		}
	}
	// A registration's mail has no case: it goes out with a token all the same.
	var id int64
	w.scan(`insert into registration (organisation, purpose, email, language, prefixes, state, confirm_digest, confirm_until, created_at)
		values ('x', 'y', 'r@research.example', 'en', '{}', 'unconfirmed', '\x00', $2, $1) returning id`, &id, epoch, epoch.Add(48*time.Hour))
	m := casedb.Message{RegistrationID: &id, Purpose: casedb.PurposeConfirmation, State: casedb.MessageQueued, NextAttemptAt: &epoch2,
		Recipient: "r@research.example", Language: "en", Subject: "Please confirm", Body: "link", CreatedAt: epoch}
	m.HeaderID, m.Token = casedb.NewIdentity(domain)
	w.tx(func(ctx context.Context, tx *casedb.Tx) (err error) {
		m, err = tx.InsertMessage(ctx, m, "teiten")
		return err
	})
	server := startServer(t, &testServer{})
	w.do(w.sender(server.transport()).Do)
	if m = w.getMessage(m.ID); m.State != casedb.MessageSent {
		t.Errorf("confirmation is %s: %s", m.State, m.LastError)
	}
}

var epoch2 = epoch

func TestLongTableIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := ispCase
	s.sources = nil
	for i := range 130 {
		s.sources = append(s.sources, fmt.Sprintf("192.0.2.%d", i+1))
	}
	c := w.openCase(s)
	d, err := w.composer.Preview(t.Context(), w.db, w.message(c, s, casedb.MessageHeld), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(d.Body, "445/TCP   "); n != 100 {
		t.Errorf("%d lines, want 100", n)
	}
	if !strings.Contains(d.Body, "このほか 30 行") {
		t.Error("the letter does not say how many lines it leaves out")
	}
	if n := bytes.Count(d.CSV, []byte("\r\n")); n != 1+2*130 {
		t.Errorf("%d lines of CSV", n)
	}
}

// TestHostileOwnersMakeNoHeaders puts line ends wherever foreign text goes.
func TestHostileOwnersMakeNoHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := ispCase
	s.owner = "Evil\r\nBcc: everybody@example.org\r\n\r\n=cmd|' /C calc'!A0"
	c := w.openCase(s)
	w.exec(`update verdict set rule = '=HYPERLINK("x")'`)
	m := w.message(c, s, casedb.MessageHeld)
	w.tx(func(ctx context.Context, tx *casedb.Tx) error {
		return tx.EditMessage(ctx, m.ID, m.Version, "subject", "text", "coordinator", epoch)
	})
	m.Edited, m.Subject, m.Body = true, "Hello\r\nBcc: everybody@example.org", "text\n.\nmore"
	d, err := w.composer.Preview(t.Context(), w.db, m, epoch)
	if err != nil {
		t.Fatal(err)
	}
	e, err := enmime.ReadEnvelope(bytes.NewReader(d.Raw))
	if err != nil || e.GetHeader("Bcc") != "" {
		t.Errorf("Bcc %q, %v", e.GetHeader("Bcc"), err)
	}
	if !strings.HasPrefix(d.Subject, "["+c.Number+"] Hello") {
		t.Errorf("subject %q", d.Subject)
	}
	if !bytes.Contains(d.CSV, []byte(`'=HYPERLINK`)) {
		t.Error("a cell begins with a formula")
	}
	m.Recipient = "a@b.example>\r\nRCPT TO:<c@d.example"
	if _, err := w.composer.Preview(t.Context(), w.db, m, epoch); err == nil {
		t.Error("a recipient with a line end was taken")
	}
}

// TestDocumentedLettersAreTrue: the letters of docs/letters.md are the golden
// ones, and README.md's excerpt is of the English one.
func TestDocumentedLettersAreTrue(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/letters.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"ja", "en"} {
		letter, err := os.ReadFile("testdata/infected-ms17-010.first." + language + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, bytes.TrimRight(letter, "\n")) {
			t.Errorf("the letter of docs/letters.md in %s is not that of testdata", language)
		}
		if language != "en" {
			continue
		}
		_, excerpt, _ := bytes.Cut(readme, []byte("A letter states what was seen, why it suggests an infection, and what to do:\n\n```\n"))
		excerpt, _, found := bytes.Cut(excerpt, []byte("```"))
		if !found || len(excerpt) == 0 || !bytes.Contains(letter, excerpt) {
			t.Errorf("the excerpt in README.md is not of the English letter: %q", excerpt)
		}
	}
}
