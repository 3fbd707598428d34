// Package cell keeps the cells of the CSV files we write from being taken for
// formulas by spreadsheet programs. It reads and writes nothing.
package cell

import "strings"

// starts are the characters with which spreadsheet programs begin a formula,
// or drop on the way to one; Japanese versions take the full-width ones, too.
// https://owasp.org/www-community/attacks/CSV_Injection
const starts = "=+-@|%\t\r\n＝＋－＠"

// Neutralise puts an apostrophe before a text that could be a formula, and
// before one that looks neutralised already, so that Restore knows the two
// apart: Restore(Neutralise(s)) is s for every s.
func Neutralise(s string) string {
	if risky(strings.TrimLeft(s, "'")) {
		return "'" + s
	}
	return s
}

// Restore takes away the apostrophe that Neutralise added, and no other.
func Restore(s string) string {
	if rest, ok := strings.CutPrefix(s, "'"); ok && risky(strings.TrimLeft(rest, "'")) {
		return rest
	}
	return s
}

func risky(s string) bool {
	return strings.IndexAny(s, starts) == 0
}
