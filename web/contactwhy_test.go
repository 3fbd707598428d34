package web_test

import (
	"html"
	"strings"
	"testing"

	"teiten/internal/explain"
)

// Why a contact was chosen is kept in English and read in the reader's
// language; an answer's own words and a coordinator's stay as they are.
func TestReasonsOfContactsAreInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	named := explain.WhyValidated.After(explain.WhyNamed.Say("<b>Desk & Co</b>"))
	remark := explain.WhyRemark.Say("abuse: <desk@example.net>")
	rejected := explain.WhyPlaceholder.Say("IRT-<i>")
	exec(t, d.db, `update contact set why = case when gate = 'auto' then $1 else $2 end`, named, remark)
	exec(t, d.db, `update network set choice = jsonb_build_object('rejected', jsonb_build_array(jsonb_build_object('email', 'registry@example.net', 'why', $1::text)))`, rejected)
	exec(t, d.db, `insert into case_event (case_id, at, kind, actor, text) values ($1, $2, 'contact-changed', 'teiten', $3), ($1, $2, 'contact-changed', 'taro', $4)`,
		d.c.ID, d.now, explain.WhyOther.Say("Timeline", "noc"), "They told us by telephone.")
	for path, shown := range map[string][]string{
		"/cases/" + d.c.Number: {named, remark, rejected, explain.WhyOther.Say("Timeline", "noc"), "They told us by telephone."},
		"/owners/1":            {named, remark},
		"/sources/192.0.2.9":   {rejected},
	} {
		for _, lang := range []string{"ja", "en"} {
			body := d.page(path + "?lang=" + lang)
			checkPage(t, path, lang, body)
			for _, why := range shown {
				want := explain.ContactReason(why, lang)
				if (want == why) != (lang == "en" || why == "They told us by telephone.") {
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
