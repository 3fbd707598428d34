package web_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheirTicketIsCorrected(t *testing.T) {
	t.Parallel()
	d := atCase(t)
	exec(t, d.db, `insert into inbound (id, received_at, envelope_from, envelope_to, raw, state, next_attempt_at) overriding system value
		values (900, $1, '', '', '', 'processed', $1)`, d.now)
	exec(t, d.db, `insert into case_ticket (case_id, address, tag, inbound_id, set_at) values ($1, 'abuse1@isp.example', '[<b>isp.example #4711]', 900, $2)`, d.c.ID, d.now)
	body := d.page("/cases/" + d.c.Number)
	for _, text := range []string{`<strong class="wrap">[&lt;b&gt;isp.example #4711]</strong>`, "read from their mail", "#4711] "} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	for _, tag := range []string{"words alone", "[TT-2026-000001]", "=?utf-8?q?1?=", strings.Repeat("1", 81)} {
		status, body := d.act("ticket", "address", "abuse1@isp.example", "tag", tag)
		if want(t, tag, status, http.StatusUnprocessableEntity); !strings.Contains(body, "A ticket has a digit") {
			t.Errorf("%q: no word why not", tag)
		}
	}
	status, _ := d.act("ticket", "address", "stranger@elsewhere.example", "tag", "1")
	want(t, "another address", status, http.StatusConflict)
	status, _ = d.act("ticket", "address", "abuse1@isp.example", "tag", "INC0012345\r\nBcc: x@y.example")
	want(t, "correct", status, http.StatusSeeOther)
	body = d.page("/cases/" + d.c.Number)
	for _, text := range []string{"INC0012345 Bcc: x@y.example", "set by taro", "Their ticket was changed"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	status, _ = d.act("ticket", "address", "abuse1@isp.example", "tag", "")
	want(t, "take away", status, http.StatusSeeOther)
	if body = d.page("/cases/" + d.c.Number); !strings.Contains(body, "not in subjects") {
		t.Error("the page does not say that there is none")
	}
}
