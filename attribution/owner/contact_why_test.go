package owner_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"teiten/attribution/owner"
	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/internal/reason"
	"teiten/internal/registrytest"
)

// inJapanese wants every reason of a choice to have a Japanese form.
func inJapanese(t *testing.T, c *owner.Choice) {
	t.Helper()
	for _, k := range append([]owner.ChosenContact{c.Contact}, c.Alternatives...) {
		whyInJapanese(t, k.Why)
	}
	for _, k := range c.Rejected {
		whyInJapanese(t, k.Why)
	}
}

func whyInJapanese(t *testing.T, why reason.List) {
	t.Helper()
	if err := why.Check(); err != nil || len(why) == 0 {
		t.Errorf("%s: %v", why, err)
	}
	saidInJapanese(t, sayer(t, "ja")(why))
}

// saidInJapanese wants whole Japanese sentences.
func saidInJapanese(t *testing.T, why string) {
	t.Helper()
	if !strings.Contains(why, "。") && !strings.HasSuffix(why, "」") {
		t.Errorf("without a Japanese form: %q", why)
	}
}

// sayer says reasons as the catalogue of a language does.
func sayer(t testing.TB, lang string) owner.Sayer {
	t.Helper()
	c, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c.Printer(lang).Reasons
}

// A reason that is a sentence here would be English for everybody.
func TestReasonsAreCodes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("contact*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "registries.go", "directed.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if s, err := strconv.Unquote(literal.Value); err != nil || strings.Contains(s, " ") && (strings.HasSuffix(s, ".") || strings.HasPrefix(s, "it")) {
				t.Errorf("%s: the sentence %s", set.Position(literal.Pos()), literal.Value)
			}
			return true
		})
	}
}

// Every end that a reason can have, told by an answer that has it.
func TestReasonsOfEveryKind(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		registrytest.Network(registrytest.Entities(`{"roles":["abuse"],"vcardArray":["vcard",[["email",{},"text","desk@example.net"]]]}`)):                     "名称のない連絡先 が abuse 担当",
		registrytest.Network(registrytest.Entities(registrytest.Entity("A <b>", `"noc","abuse","made-up"`, `desk@example.net {"pref":"1"}`, "b@example.net"))): "Desk of A <b> (A <b>) が abuse 担当とされています (ほかの役割: NOC、made-up)。複数あるアドレスのうち、優先",
		registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"technical"`, `desk@example.net {"type":"abuse"}`))):                              "abuse 用と示されたアドレスで、Desk of A (A) (役割: 技術担当)",
		registrytest.Network(registrytest.Entities(registrytest.Entity("A", ``, `desk@example.net {"type":"abuse"}`))):                                         "abuse 用と示されたアドレスで、Desk of A (A) (役割の記載なし)",
		registrytest.Network(`,"remarks":[{"title":"remarks","description":["spam: <desk@example.net>","desk@example.net is invalid"]}]`):                      "「spam: <desk@example.net>」とあります。登録機関によると、このアドレスは無効です。",
	} {
		c := choose(t, answer)
		if got := sayer(t, "ja")(c.Contact.Why); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, email := range []string{"a\n@example.net", strings.Repeat("a", 65) + "@example.net", "nobody", "a***@example.net", "a b@example.net", "a@-x.example.net", "a@example"} {
		c := choose(t, registrytest.Network(registrytest.Entities(registrytest.Entity("A", `"abuse"`, strings.ReplaceAll(email, " ", "\u00a0")))))
		if len(c.Rejected) != 1 || strings.Contains(sayer(t, "ja")(c.Rejected[0].Why), " it") {
			t.Errorf("%s: rejected %+v", email, c.Rejected)
		}
	}
	e := casedb.DirectoryEntry{ID: 7, Scope: casedb.ScopeOrganisation, Target: "Example, by University", CreatedBy: "taro"}
	r := owner.DirectoryResult(choose(t, registrytest.Network("")).Network.First, e, sayer(t, "ja"))
	if got := r.Contact.Why; got != "「連絡先」の項目 7 (対象: 組織 Example, by University、登録: taro)" {
		t.Errorf("got %s", got)
	}
}
