package web_test

import (
	"html"
	"strings"
	"testing"

	"teiten/internal/reason"
)

// Why a contact was chosen, and why things happened, is kept as codes and read
// in the reader's language; an answer's own words and a coordinator's stay as
// they are.
func TestReasonsOfContactsAreInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	named := reason.Of(reason.Named, "<b>Desk & Co</b>").And(reason.Validated)
	remark := reason.Of(reason.Remark, "abuse: <desk@example.net>")
	rejected := reason.Of(reason.Placeholder, "IRT-<i>")
	other := reason.Of(reason.OtherRole, "Timeline", "noc")
	typed := reason.Typed("They told us by telephone.")
	exec(t, d.db, `update contact set why = case when gate = 'auto' then $1::jsonb else $2::jsonb end`, named, remark)
	exec(t, d.db, `update network set choice = jsonb_build_object('rejected', jsonb_build_array(jsonb_build_object('email', 'registry@example.net', 'why', $1::jsonb)))`, rejected)
	exec(t, d.db, `insert into case_event (case_id, at, kind, actor, why) values ($1, $2, 'contact-changed', 'teiten', $3), ($1, $2, 'contact-changed', 'taro', $4)`,
		d.c.ID, d.now, other, typed)
	for path, shown := range map[string][]reason.List{
		"/cases/" + d.c.Number: {named, remark, rejected, other, typed},
		"/owners/1":            {named, remark},
		"/sources/192.0.2.9":   {rejected},
	} {
		for _, lang := range []string{"ja", "en"} {
			body := d.page(path + "?lang=" + lang)
			checkPage(t, path, lang, body)
			for _, why := range shown {
				want := printer(t, lang).Reasons(why)
				if japanese := strings.Contains(want, "。") || strings.Contains(want, "」"); japanese != (lang == "ja" && !why.Has(reason.Person)) {
					t.Fatalf("%s: %s", lang, want)
				}
				if text := html.EscapeString(want); !strings.Contains(body, text) {
					t.Errorf("%s in %s does not show %s", path, lang, text)
				}
			}
			if strings.Contains(body, "<b>Desk") || strings.Contains(body, "IRT-<i>") {
				t.Errorf("%s in %s: markup of an answer", path, lang)
			}
		}
	}
}
