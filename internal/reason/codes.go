package reason

import (
	"maps"
	"slices"
)

// Kind says what an argument is, and so how it is shown.
type Kind string

// The kinds of arguments. Those of words have texts of their own in the
// catalogues ("why.role.noc"); of Texts and Roles there is one or more, at the
// end.
const (
	Text   Kind = "text"   // shown as it is
	Texts  Kind = "texts"  // several of them
	Entity Kind = "entity" // a name; empty: it has none
	Roles  Kind = "role"   // of RFC 9083, 10.2.4; others are shown as they are
	Scope  Kind = "scope"  // of an entry of the directory
	Defect Kind = "defect" // of a mail address
)

func (k Kind) many() bool { return k == Texts || k == Roles }

// Reasons that are no code of the program's.
const (
	Person    Code = "person"     // a person's words
	Other     Code = "other"      // a sentence of an older version that has no code
	LastError Code = "last-error" // what the last attempt met: a server's words
)

// Why a message waits for a coordinator.
const (
	ContactApproval Code = "contact-approval" // the contact has to be approved once
	ContactByHand   Code = "contact-by-hand"
	ContactInvalid  Code = "contact-invalid"
	ContactFirst    Code = "contact-first" // the first mail to it
	ContactChanged  Code = "contact-changed"
	CaseWaits       Code = "case-waits"
	JudgedAgain     Code = "judged-again"
	RuleHolds       Code = "rule-holds"
	RuleFirst       Code = "rule-first"    // the first letter of the rule to the contact
	ByHand          Code = "by-hand"       // a coordinator wrote it and has not released it
	Restored        Code = "restored"      // it may have left between a backup and its restore
	Correction      Code = "correction"    // it takes an accusation back
	Reopened        Code = "reopened"      // the case that it corrects is live again
	InDoubt         Code = "in-doubt"      // it may have arrived with a digest that was given up
	NoMail          Code = "no-mail"       // no mail can be made of it
	InClear         Code = "in-clear"      // tried without encryption, and a key exists now
	EditedBefore    Code = "edited-before" // a coordinator edited the last letter, and this one is composed again

	// Guards: what Decide finds at the last moment.
	Acknowledged    Code = "acknowledged"
	ContactReplaced Code = "contact-replaced"
	ControlQuiet    Code = "control-quiet" // nothing was seen since it was held as a control
	NoneLeft        Code = "none-left"     // no source of the letter is judged so any more
	SourceLost      Code = "source-lost"   // one that the letter names is not
	EvidenceGone    Code = "evidence-gone"
)

// Why a message is due later.
const (
	QuietHours     Code = "quiet-hours"
	Paused         Code = "paused" // by the owner
	Digest         Code = "digest"
	Control        Code = "control"
	BackOff        Code = "back-off" // other mail there failed
	LimitHour      Code = "limit-hour"
	LimitRecipient Code = "limit-recipient"
	LimitDomain    Code = "limit-domain"
	LimitAS        Code = "limit-as"

	LimitConfirmations Code = "limit-confirmations"
)

// Why a message was canceled, failed or came back, and why an address gets no
// mail.
const (
	CaseClosed     Code = "case-closed"
	CaseIgnored    Code = "case-ignored"
	LinkExpired    Code = "link-expired" // of a confirmation: it would not work any more
	GaveUp         Code = "gave-up"
	Suppressed     Code = "suppressed"
	CameBack       Code = "came-back" // by a bounce's status
	DigestLetter   Code = "digest-letter"
	AddressRefused Code = "address-refused"
	MailBounced    Code = "mail-bounced" // a bounce's words and status
)

// Events of a case, besides the reasons above.
const (
	Rejudged           Code = "rejudged" // by a rule set
	AcknowledgedSource Code = "acknowledged-source"
	Filed              Code = "filed" // a mail, by hand
	Seen               Code = "seen"
)

// Why nothing is left of a mail that came in.
const (
	PurgedRequest  Code = "purged-request"  // its writer, or a person in it, asked for that
	PurgedMistake  Code = "purged-mistake"  // it was not meant for us
	PurgedUnwanted Code = "purged-unwanted" // advertising, abuse
	PurgedOld      Code = "purged-old"      // it belonged to no case when its time was over
)

// Why a case is no control any more, or cannot be one.
const (
	ControlMail     Code = "control-mail" // a message to the owner left
	ControlMailed   Code = "control-mailed"
	ControlRules    Code = "control-rules"
	ControlSources  Code = "control-sources"
	ControlSure     Code = "control-sure"
	ControlICS      Code = "control-ics"
	ControlCritical Code = "control-critical"
)

// Why an address was chosen as a contact, or was not. Those from
// OfSeveralMarked on follow another one.
const (
	NoAddress         Code = "no-address"
	Redacted          Code = "redacted"
	NoRange           Code = "no-range"
	OtherRange        Code = "other-range"
	AllRejected       Code = "all-rejected"
	Named             Code = "named"
	NamedBeside       Code = "named-beside"
	BeginsAbuseNoRole Code = "begins-abuse-no-role"
	BeginsAbuse       Code = "begins-abuse"
	MarkedAbuseNoRole Code = "marked-abuse-no-role"
	MarkedAbuse       Code = "marked-abuse"
	OtherNoRole       Code = "other-no-role"
	OtherRole         Code = "other-role"
	WhoisSection      Code = "whois-section"
	WhoisField        Code = "whois-field"
	WhoisBeginsAbuse  Code = "whois-begins-abuse"
	WhoisOther        Code = "whois-other"
	Remark            Code = "remark"
	RemarkForbids     Code = "remark-forbids"
	MailUnread        Code = "mail-unread"
	NoReader          Code = "no-reader"
	EntityEnded       Code = "entity-ended"
	OtherDesk         Code = "other-desk"
	NotMailable       Code = "not-mailable"
	RegistrysOwn      Code = "registrys-own"
	Placeholder       Code = "placeholder"
	Directory         Code = "directory"
	Bounced           Code = "bounced" // mail to an address

	OfSeveralMarked      Code = "of-several-marked"
	OfSeveralPreferred   Code = "of-several-preferred"
	OfSeveralBeginsAbuse Code = "of-several-begins-abuse"
	OfSeveral            Code = "of-several"
	Invalid              Code = "invalid"
	ValidatedOn          Code = "validated-on"
	Validated            Code = "validated"
	NotValidated         Code = "not-validated"
	HasValidated         Code = "has-validated"
	WhoisNamesNone       Code = "whois-names-none"
	WhoisUnknown         Code = "whois-unknown"
	WhoisSilent          Code = "whois-silent"
)

// What is wrong with a mail address, as the argument of NotMailable.
const (
	MailControl  = "control"
	MailTooLong  = "too-long"
	MailNone     = "none"
	MailMasked   = "masked"
	MailLocal    = "local-part"
	MailNoName   = "no-name"
	MailNotInDNS = "not-in-dns"
)

// shapes is the closed list: every code with its arguments.
var shapes = map[Code][]Kind{
	Person: {Text}, Other: {Text}, LastError: {Text},

	ContactApproval: {}, ContactByHand: {}, ContactInvalid: {}, ContactFirst: {}, ContactChanged: {}, CaseWaits: {}, JudgedAgain: {},
	RuleHolds: {}, RuleFirst: {}, ByHand: {}, InDoubt: {}, Restored: {}, Correction: {}, Reopened: {}, NoMail: {Text}, InClear: {}, EditedBefore: {},
	Acknowledged: {Texts}, ContactReplaced: {}, ControlQuiet: {}, NoneLeft: {}, SourceLost: {Texts}, EvidenceGone: {},

	QuietHours: {}, Paused: {}, Digest: {}, Control: {}, BackOff: {}, LimitHour: {}, LimitRecipient: {}, LimitDomain: {}, LimitAS: {},
	LimitConfirmations: {},

	CaseClosed: {}, CaseIgnored: {}, LinkExpired: {}, GaveUp: {Text}, Suppressed: {}, CameBack: {Text}, DigestLetter: {Text},
	AddressRefused: {Text}, MailBounced: {Text, Text},

	Rejudged: {Text}, AcknowledgedSource: {Text, Text}, Filed: {}, Seen: {},

	PurgedRequest: {}, PurgedMistake: {}, PurgedUnwanted: {}, PurgedOld: {},

	ControlMail: {Text}, ControlMailed: {}, ControlRules: {}, ControlSources: {Text}, ControlSure: {Text, Text}, ControlICS: {},
	ControlCritical: {},

	NoAddress: {}, Redacted: {}, NoRange: {}, OtherRange: {Text}, AllRejected: {}, Named: {Entity}, NamedBeside: {Entity, Roles},
	BeginsAbuseNoRole: {Entity}, BeginsAbuse: {Entity, Roles}, MarkedAbuseNoRole: {Entity}, MarkedAbuse: {Entity, Roles},
	OtherNoRole: {Entity}, OtherRole: {Entity, Roles}, WhoisSection: {Text, Text}, WhoisField: {Text, Text}, WhoisBeginsAbuse: {Text},
	WhoisOther: {Text, Text}, Remark: {Text}, RemarkForbids: {Text}, NotMailable: {Defect}, RegistrysOwn: {}, Placeholder: {Text},
	Directory: {Text, Scope, Text, Text}, Bounced: {Text}, MailUnread: {Text}, NoReader: {}, EntityEnded: {Text}, OtherDesk: {Text},

	OfSeveralMarked: {}, OfSeveralPreferred: {}, OfSeveralBeginsAbuse: {}, OfSeveral: {}, Invalid: {}, ValidatedOn: {Text}, Validated: {},
	NotValidated: {}, HasValidated: {}, WhoisNamesNone: {Text}, WhoisUnknown: {Text}, WhoisSilent: {Text},
}

// Codes lists every code.
func Codes() []Code { return slices.Sorted(maps.Keys(shapes)) }

// Shape returns the kinds of a code's arguments.
func Shape(code Code) []Kind { return slices.Clone(shapes[code]) }

// Words are the arguments of these kinds that the catalogues have words for.
func Words() map[Kind][]string {
	return map[Kind][]string{
		Entity: {"none"},
		Roles: {"registrant", "technical", "administrative", "billing", "noc", "registrar", "reseller", "sponsor", "proxy",
			"notifications"},
		Scope:  {"prefix", "organisation", "as", "country"},
		Defect: {MailControl, MailTooLong, MailNone, MailMasked, MailLocal, MailNoName, MailNotInDNS},
	}
}
