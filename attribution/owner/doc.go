// Package owner finds the owner of an address: address in, owner and contact out,
// each with the reason.
//
// A Worker answers the look-ups that are due: from a range that is known, from
// the directory of contacts, from RDAP (RFC 9082, 9083) and the WHOIS of
// national registries. ChooseContact is the pure choice of one contact from an
// answer; docs/contacts.md has its rules. The package reads and writes networks,
// owners and contacts.
package owner
