package notify

import (
	"strings"
	"testing"
)

// TestQuotesInHTMLAreMarked: what a page quotes is not its author's.
func TestQuotesInHTMLAreMarked(t *testing.T) {
	t.Parallel()
	const page = "<html><head><title>x</title></head><body><p>We &gt; you.</p><div>On Friday, CSIRT wrote:<br></div><blockquote type=cite><div>Infected\nwith Mirai.</div>" +
		"<blockquote><p>Deeper</p></blockquote>More</blockquote><p>Fixed.</p></body></html>"
	want := "We > you.\n\nOn Friday, CSIRT wrote:\n\n> Infected\n> with Mirai.\n>\n> Deeper\n>\n> More\n\nFixed."
	if got := textOfHTML(page); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := textOfHTML("a" + strings.Repeat("<blockquote>", 10) + "b"); got != "a\n>\n> b" {
		t.Errorf("never closed: %q", got)
	}
	if got := textOfHTML("</blockquote>a"); got != "a" {
		t.Errorf("never opened: %q", got)
	}
}
