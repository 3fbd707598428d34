package explain

import (
	"regexp"
	"strings"
)

// Why is a sentence that says why an address of an answer was chosen or not.
// Package attribution says it in English, which is kept and never changes; who
// reads Japanese gets the same sentence of whyTexts.
type Why int

// The sentences, and those that follow one of them. Of two that could be meant
// the first is: the one whose end is fixed.
const (
	WhyNoAddress Why = iota
	WhyRedacted
	WhyNoRange
	WhyOtherRange
	WhyAllRejected
	WhyNamed
	WhyNamedBeside
	WhyBeginsAbuseNoRole
	WhyBeginsAbuse
	WhyMarkedAbuseNoRole
	WhyMarkedAbuse
	WhyOtherNoRole
	WhyOther
	WhyWhoisSection
	WhyWhoisField
	WhyWhoisBeginsAbuse
	WhyWhoisOther
	WhyRemark
	WhyRemarkForbids
	WhyNotMailable
	WhyRegistrysOwn
	WhyPlaceholder
	WhyDirectory
	WhyBounced

	WhyOfSeveralMarked
	WhyOfSeveralPreferred
	WhyOfSeveralBeginsAbuse
	WhyOfSeveral
	WhyInvalid
	WhyValidatedOn
	WhyValidated
	WhyNotValidated
	WhyHasValidated
	WhyWhoisNamesNone
	WhyWhoisUnknown
	WhyWhoisSilent
	whyCount

	whyFirstAfter = WhyOfSeveralMarked
)

// Words that stand in the sentences and are not an answer's own.
const (
	NamelessEntity = "an entity without a name"

	MailControl  = "it has control characters"
	MailTooLong  = "it is too long"
	MailNone     = "it is not an e-mail address"
	MailMasked   = "it is masked"
	MailLocal    = "its local part is not one that mail servers commonly take"
	MailNoName   = "its domain is not a name"
	MailNotInDNS = "its domain is not a name in the DNS"
)

// Say says the sentence in English; values are those of its braces, in order.
func (w Why) Say(values ...string) string {
	var b strings.Builder
	rest := whyTexts[w].en
	for _, v := range values {
		before, after, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		b.WriteString(before + v)
		_, rest, _ = strings.Cut(after, "}")
	}
	return b.String() + rest
}

// After says the sentence in English behind another one.
func (w Why) After(why string, values ...string) string {
	return JoinWhy(why, w.Say(values...))
}

// JoinWhy puts a sentence behind another one; what begins with a semicolon
// goes on with it.
func JoinWhy(why, more string) string {
	if strings.HasPrefix(more, ";") {
		return strings.TrimSuffix(why, ".") + more
	}
	return why + " " + more
}

// ContactReason says the reason of a contact, or of an address that is none, in
// lang. What is not made of our sentences, as a coordinator's words, stays as
// it is, and so does everything unless lang is "ja".
func ContactReason(why, lang string) string {
	if lang == "ja" {
		if s, ok := whyJapanese(why); ok {
			return s
		}
	}
	return why
}

func whyJapanese(why string) (string, bool) {
	for i := whyFirstAfter; i < whyCount; i++ {
		m := whyPatterns[i].FindStringSubmatchIndex(why)
		if m == nil {
			continue
		}
		first := why[:m[0]]
		if whyTexts[i].en[0] == ';' {
			first += "."
		}
		if s, ok := whyJapanese(first); ok {
			return s + i.japanese(why, m), true
		}
	}
	for i := range whyFirstAfter {
		if m := whyPatterns[i].FindStringSubmatchIndex(why); m != nil {
			return i.japanese(why, m), true
		}
	}
	return "", false
}

// japanese is the sentence with what its pattern found.
func (w Why) japanese(why string, found []int) string {
	var pairs []string
	for i, name := range whyPatterns[w].SubexpNames() {
		if i == 0 {
			continue
		}
		value := why[found[2*i]:found[2*i+1]]
		words := []string{value}
		if name == "roles" {
			words = strings.Split(value, ", ")
		}
		for j, word := range words {
			if ja, ok := whyWords[name][word]; ok {
				words[j] = ja
			}
		}
		pairs = append(pairs, "{"+name+"}", strings.Join(words, "、"))
	}
	return strings.NewReplacer(pairs...).Replace(whyTexts[w].ja)
}

// whyPatterns recognise the English sentences.
var whyPatterns = func() (list [whyCount]*regexp.Regexp) {
	for i := range list {
		list[i] = Why(i).pattern()
	}
	return list
}()

var inBraces = regexp.MustCompile(`\\\{(\w+)\\\}`)

func (w Why) pattern() *regexp.Regexp {
	p := inBraces.ReplaceAllStringFunc(regexp.QuoteMeta(whyTexts[w].en), func(s string) string {
		name := inBraces.FindStringSubmatch(s)[1]
		// A sentence must not begin or end in an answer's own words.
		values := map[string]string{"day": `[0-9/.-]+`, "registry": `[A-Z]+`, "entry": `[0-9]+`, "scope": `[a-z]+`, "address": `\S+@\S+`}[name]
		if values == "" {
			values = `.*`
		}
		return `(?P<` + name + `>` + values + `)`
	})
	switch {
	case w < whyFirstAfter:
		p = `^` + p
	case whyTexts[w].en[0] != ';':
		p = ` ` + p
	}
	return regexp.MustCompile(`(?s)` + p + `$`)
}
