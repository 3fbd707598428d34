package owner_test

import (
	"bytes"
	"fmt"
	"net/netip"

	"teiten/attribution/owner"
	"teiten/internal/locale"
)

// An answer of a registry, made up here, names the owner of an address and the
// contact for abuse. The reason for the choice is in the result.
func ExampleLookupFile() {
	answer := []byte(`{
		"rdapConformance": ["rdap_level_0"], "objectClassName": "ip network",
		"handle": "192.0.2.0 - 192.0.2.63", "startAddress": "192.0.2.0", "endAddress": "192.0.2.63", "ipVersion": "v4",
		"name": "EX-ISP-JP", "country": "JP", "port43": "whois.apnic.net",
		"entities": [
			{"objectClassName": "entity", "handle": "ORG-EX1-AP", "roles": ["registrant"], "vcardArray": ["vcard", [
				["version", {}, "text", "4.0"], ["fn", {}, "text", "Example Internet Service"], ["kind", {}, "text", "org"]]]},
			{"objectClassName": "entity", "handle": "IRT-EX-JP", "roles": ["abuse"], "vcardArray": ["vcard", [
				["version", {}, "text", "4.0"], ["fn", {}, "text", "IRT-EX-JP"], ["kind", {}, "text", "group"],
				["email", {}, "text", "abuse@isp.example"]]]}]}`)
	catalogue, err := locale.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := owner.LookupFile(bytes.NewReader(answer), netip.MustParseAddr("192.0.2.10"), owner.DefaultContactConfig(), nil,
		catalogue.Printer("en").Reasons)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Network.Range, result.Owner)
	fmt.Println(result.Contact.Email, result.Contact.Provenance, result.Contact.Gate)
	// Output:
	// 192.0.2.0/26 Example Internet Service
	// abuse@isp.example abuse-role auto
}
