package notify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"teiten/internal/casedb"
	"teiten/notify"
)

func xarfSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("testdata/xarf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// xarfComposer asks for X-ARF.
func (w *world) xarfComposer() *notify.Composer {
	w.t.Helper()
	config := testConfig
	config.Format = notify.FormatXARF
	c, err := notify.NewComposer(config, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// part is a leaf of a mail, decoded.
type part struct {
	kind    string
	params  map[string]string
	content []byte
}

// partsOf returns the mail's type and its parts.
func partsOf(t *testing.T, raw []byte) (kind string, params map[string]string, parts []part) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if kind, params, err = mime.ParseMediaType(m.Header.Get("Content-Type")); err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return kind, params, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		var content io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			content = base64.NewDecoder(base64.StdEncoding, p)
		}
		b, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		k, pp, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{k, pp, b})
	}
}

// TestXARF validates the report of every kind of letter that has one.
func TestXARF(t *testing.T) {
	t.Parallel()
	schema := xarfSchema(t)
	for _, malware := range []string{casedb.MalwareMS17010, casedb.MalwareMirai, casedb.MalwareSlammer, ""} {
		for _, language := range []string{"ja", "en"} {
			t.Run(malware+"."+language, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				s := ispCase
				s.malware, s.language, s.sources = malware, language, []string{"192.0.2.10"}
				m := w.message(w.openCase(s), s, casedb.MessageHeld)
				d, err := w.xarfComposer().Preview(t.Context(), w.db, m, epoch)
				if err != nil {
					t.Fatal(err)
				}
				kind, params, parts := partsOf(t, d.Raw)
				if kind != "multipart/report" || params["report-type"] != "feedback-report" || len(parts) != 3 ||
					parts[0].kind != "text/plain" || parts[1].kind != "message/feedback-report" ||
					parts[2].kind != "application/json" || parts[2].params["name"] != "xarf.json" {
					t.Fatalf("%s %v %v", kind, params, parts)
				}
				if got := string(parts[1].content); got != "Feedback-Type: xarf\r\nUser-Agent: teiten\r\nVersion: 1\r\n" {
					t.Errorf("feedback report %q", got)
				}
				if !strings.Contains(d.Body, "X-ARF") || strings.Contains(d.Body, "CSV ファイル (") {
					t.Errorf("the text speaks of another attachment:\n%s", d.Body)
				}
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader(parts[2].content))
				if err == nil {
					err = schema.Validate(value)
				}
				if err != nil {
					t.Errorf("%v\n%s", err, parts[2].content)
				}
				var report struct {
					Category string `json:"category"`
					Source   string `json:"source_identifier"`
					Evidence []struct {
						Payload []byte `json:"payload"`
					} `json:"evidence"`
				}
				if err := json.Unmarshal(parts[2].content, &report); err != nil {
					t.Fatal(err)
				}
				want := "infrastructure"
				if malware == "" {
					want = "connection"
				}
				if report.Category != want || report.Source != "192.0.2.10" || !bytes.Equal(report.Evidence[0].Payload, d.CSV) {
					t.Errorf("report %+v", report)
				}
				for _, secret := range []string{"198.51.100.7", "3325256711", "sample"} {
					if bytes.Contains(parts[2].content, []byte(secret)) || bytes.Contains(report.Evidence[0].Payload, []byte(secret)) {
						t.Errorf("the report betrays %s", secret)
					}
				}
				if again, err := w.xarfComposer().Preview(t.Context(), w.db, m, epoch); err != nil || !bytes.Equal(again.Raw, d.Raw) {
					t.Errorf("composed again it differs, %v", err)
				}
			})
		}
	}
}

// TestWhatXARFCannotExpress comes as CSV: several sources, and what has no
// ports.
func TestWhatXARFCannotExpress(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){
		"two sources": nil,
		"ICMP": func(w *world) {
			w.exec(`update observation set proto = 1, port = 0, class = 'icmp-echo'`)
			w.exec(`update verdict set ports = array['ICMP']`)
		},
		"a scan from no known port": func(w *world) { w.exec(`update observation set samples = '[]', packed = null`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := ispCase // two sources
			if change != nil {
				s.malware, s.sources = "", []string{"192.0.2.10"}
			}
			m := w.message(w.openCase(s), s, casedb.MessageHeld)
			if change != nil {
				change(w)
			}
			d, err := w.xarfComposer().Preview(t.Context(), w.db, m, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if kind, _, _ := partsOf(t, d.Raw); kind != "multipart/mixed" || d.XARF != nil {
				t.Errorf("it is %s", kind)
			}
		})
	}
}

// The directory's word on a contact comes before the configured form.
func TestContactsFormat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := ispCase
	s.sources = []string{"192.0.2.10"}
	m := w.message(w.openCase(s), s, casedb.MessageHeld)
	for _, tt := range []struct {
		composer *notify.Composer
		format   string
		xarf     bool
	}{{w.composer, "", false}, {w.composer, "xarf", true}, {w.xarfComposer(), "", true}, {w.xarfComposer(), "csv", false}} {
		w.exec(`with e as (insert into directory_entry (scope, target, email, language, format, created_at, created_by, ended_at)
			values ('as', '64500', 'noc@example.net', 'en', $2, now(), 'taro', now()) returning id)
			update contact set directory_id = e.id from e where contact.id = $1`, *m.ContactID, tt.format)
		d, err := tt.composer.Preview(t.Context(), w.db, m, epoch)
		if err != nil || (len(d.XARF) > 0) != tt.xarf {
			t.Errorf("%q: got %d bytes of X-ARF, %v", tt.format, len(d.XARF), err)
		}
	}
}
