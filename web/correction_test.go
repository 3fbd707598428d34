package web_test

import (
	"net/http"
	"strings"
	"testing"

	"teiten/internal/casedb"
)

// TestCorrectionIsProposed: a coordinator who ends a case as our mistake finds the
// correction on its page, in the words that will go out, and sends or drops it.
func TestCorrectionIsProposed(t *testing.T) {
	t.Parallel()
	for verb, pairs := range map[string][]string{"ignore": {"reason", "a test of theirs"}, "close": {"reason", "we were wrong", "mistake", "yes"}} {
		d, _ := atOwnersPage(t)
		d.login("taro")
		status, _ := d.act(verb, pairs...)
		want(t, verb, status, http.StatusSeeOther)
		m := d.message()
		if m.Reason != casedb.ReasonCorrection || m.State != casedb.MessageHeld {
			t.Fatalf("%s: the newest message is %+v", verb, m)
		}
		page := d.page("/cases/" + d.c.Number)
		for _, text := range []string{"The case ended as our mistake", "We were wrong. In our report", "192.0.2."} {
			if !strings.Contains(page, text) && !(text[0] == 'W' && m.Language == "ja" && strings.Contains(page, "謹んでお詫び")) {
				t.Errorf("%s: the page does not show %q", verb, text)
			}
		}
		if list := d.page("/cases"); !strings.Contains(list, d.c.Number) {
			t.Errorf("%s: the case is in no queue", verb)
		}
		status, _ = d.actMessage("approve")
		want(t, "approve", status, http.StatusSeeOther)
		if m = d.message(); m.State != casedb.MessageQueued || m.ApprovedBy != "taro" {
			t.Errorf("%s: after the approval %+v", verb, m)
		}
	}
	d, _ := atOwnersPage(t)
	d.login("taro")
	status, _ := d.act("close", "reason", "cleaned")
	want(t, "close", status, http.StatusSeeOther)
	if m := d.message(); m.Reason == casedb.ReasonCorrection {
		t.Error("an ordinary end makes a correction")
	}
}
