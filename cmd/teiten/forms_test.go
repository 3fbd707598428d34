package main

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// submit fills in the form of the page whose action ends with suffix and sends
// it, as a browser without JavaScript would. It returns the page that follows.
func (c *client) submit(page, suffix string, fields map[string]string) string {
	c.t.Helper()
	action, values := findForm(c.t, page, suffix)
	for k, v := range fields {
		values.Set(k, v)
	}
	return c.post(action, values)
}

// findForm returns the action and the values of the first form of the page
// whose action ends with suffix.
func findForm(t *testing.T, page, suffix string) (string, url.Values) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" || !strings.HasSuffix(attr(n, "action"), suffix) ||
			!strings.EqualFold(attr(n, "method"), "post") {
			continue
		}
		values := url.Values{}
		for f := range n.Descendants() {
			name := attr(f, "name")
			if f.Type != html.ElementNode || name == "" {
				continue
			}
			switch f.Data {
			case "input":
				switch attr(f, "type") {
				case "checkbox", "radio":
					if hasAttr(f, "checked") {
						values.Set(name, attr(f, "value"))
					}
				default:
					values.Set(name, attr(f, "value"))
				}
			case "textarea":
				values.Set(name, strings.TrimPrefix(textOf(f), "\n"))
			case "select":
				for o := range f.Descendants() {
					if o.Data == "option" && (hasAttr(o, "selected") || !values.Has(name)) {
						values.Set(name, attr(o, "value"))
					}
				}
			}
		}
		return attr(n, "action"), values
	}
	t.Fatalf("no form ends with %q on the page:\n%s", suffix, textOf(doc))
	return "", nil
}

// links returns where the page's links lead that begin with prefix.
func links(t *testing.T, page, prefix string) (found []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := range doc.Descendants() {
		if h := attr(n, "href"); n.Data == "a" && strings.HasPrefix(h, prefix) && !seen[h] {
			seen[h] = true
			found = append(found, h)
		}
	}
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
