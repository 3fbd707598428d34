package casedb

import "strings"

// What is read of a table whose rows have a type here, as one list: a column
// that is added is read everywhere. A list without what is large or not for
// pages ends with Listed and the whole one adds to it; columns_internal_test.go compares
// the lists with the types. Lists that one file alone uses stand there.
const (
	ownerColumns = `id, key, name, country, language, created_at`

	contactColumns = `id, owner_id, network_id, email, name, role, provenance, gate, valid, why, language, rank, approved_at, approved_by,
		created_at, retired_at, directory_id`

	verdictColumns = `id, source, kind, tool, malware, acknowledged, attention, tell, confidence, rule, ruleset, ports, evidence,
		first_at, last_at, created_at, superseded_at`

	caseColumns = `id, number, owner_id, kind, malware, state, waiting, waiting_since, contact_id, language, version, created_at,
		updated_at, closed_at, paused_until, tell_recovered, tlp`

	eventColumns = `id, case_id, at, kind, actor, message_id, inbound_id, text, why, data`

	messageListed = `id, case_id, registration_id, contact_id, purpose, state, reason, hold_why, delay_why, end_why, overruled, recipient,
		language, subject, body, edited, template, in_reply_to, message_id, token, token_rule, attempts, next_attempt_at, last_error, approved_by,
		approved_at, created_at, sent_at, version, evidence, digest_id`
	messageColumns = messageListed + `, raw`

	inboundListed = `id, received_at, envelope_from, envelope_to, state, attempts, next_attempt_at, last_error, class, hard, status,
		recipient, trusted, matched_by, case_id, message_id, remote_ticket, ticket_tag, sender, reply_to, subject, text, header_id,
		processed_at, attachments, answers, waits, suggested_case_id, auth`
	inboundColumns = inboundListed + `, raw`

	// aggregateListed is all but our own address and what is made of it.
	aggregateListed = `id, kind, victim, network, rule, ports, sources, packets, peak, first_at, last_at, confidence, evidence, hours,
		ruleset, created_at, updated_at`
	aggregateColumns = aggregateListed + `, key, destination`

	boxListed  = `id, received_at, envelope_from, envelope_to, subject, answered_at`
	boxColumns = boxListed + `, raw`

	batchRefColumns = `id, sensor_id, window_start, window_seconds, packets, observations, attempts`
)

// of puts the alias of a table before each of its columns.
func of(alias, columns string) string {
	list := strings.Split(columns, ",")
	for i := range list {
		list[i] = alias + "." + strings.TrimSpace(list[i])
	}
	return strings.Join(list, ", ")
}
