-- Rows in every table of version 33, each column filled at least once, for the
-- test that all of them are there after an installation is carried over. They
-- need not make sense together. Names and addresses are those of documentation.

insert into sensor (name, networks, note, created_at) select 'sensor-' || n, array['198.51.100.0/24'::cidr, '2001:db8::/32'], 'note ' || n, '2026-05-01Z' from generate_series(1, 2) n;
insert into import (sensor_id, digest, name, size_bytes, window_seconds, key_limit, packets, skipped, truncated, started_at, completed_at)
select n, sha256(n::text::bytea), 'day-' || n || '.pcap', 24 * n, 600, 100000, 3 * n, '{"short": 1}', n = 1, '2026-05-01Z', '2026-05-01 00:01Z' from generate_series(1, 2) n;
insert into batch (sensor_id, import_id, window_start, window_seconds, digest, packets, observations, created_at, judged_at, attempts, next_attempt_at, last_error)
select n, n, '2026-05-01 10:00Z', 600, sha256(n::text::bytea), 7, 5, '2026-05-01Z', case n when 1 then '2026-05-02Z'::timestamptz end, n, '2026-05-01Z', 'timeout ' || n from generate_series(1, 2) n;
create table observation_20260501 partition of observation for values from ('2026-05-01Z') to ('2026-05-02Z');
insert into observation (batch_id, sensor_id, window_start, source, proto, port, class, packets, bytes, destinations, destinations_exact, destination, peer_ports, first_at, last_at, marks, fingerprints, samples)
select 1 + n % 2, 1 + n % 2, '2026-05-01 10:00Z', '192.0.2.0'::inet + n, 6, 445, 'syn', n, 40 * n, 1, true, '198.51.100.7', 1, '2026-05-01 10:00Z', '2026-05-01 10:09Z', '{"a": 1}', '[{"window": 8192}]', '["00"]'
from generate_series(1, 20) n;

insert into owner (key, name, country, language, created_at) select 'handle:EXAMPLE-' || n, '例示大学 ' || n, 'JP', 'ja', '2026-05-01Z' from generate_series(1, 3) n;
insert into directory_entry (scope, target, prefix, country, email, name, language, format, note, valid_from, valid_until, created_at, created_by, replaces, ended_at, ended_by, pgp_key, digest) values
    ('prefix', '192.0.2.0/24', '192.0.2.0/24', 'JP', 'first@example.com', 'First', 'ja', 'csv', 'note', '2026-05-01Z', '2027-05-01Z', '2026-05-01Z', 'ada', null, '2026-05-03Z', 'ada', '-----BEGIN', false),
    ('prefix', '192.0.2.0/24', '192.0.2.0/24', 'JP', 'Second@example.com', 'Second', 'en', 'xarf', '', null, null, '2026-05-03Z', 'ada', 1, null, '', '', true);
insert into network (owner_id, first_address, last_address, handle, name, country, registry, asn, raw, fetched_at, expires_at, superseded_at, owner_name, as_name, whois, choice, directory_id)
select n, '192.0.2.0', '192.0.2.255', 'NET-' || n, 'EXAMPLE-NET', 'JP', 'apnic', 64500, '\x7b7d', '2026-05-01Z', '2026-06-01Z', case n when 1 then '2026-05-03Z'::timestamptz end, 'Example', 'EXAMPLE-AS', '\x00ff', '{"email": "abuse@example.com"}', 2
from generate_series(1, 2) n;
insert into network_prefix (network_id, prefix) select n, '192.0.2.0/24' from generate_series(1, 2) n;
insert into source (address, first_at, last_at, country, network_id, judged_at) select '192.0.2.0'::inet + n, '2026-05-01Z', '2026-05-02Z', 'JP', 2, '2026-05-02Z' from generate_series(1, 20) n;
insert into source (address, first_at, last_at) values ('2001:db8::1', '2026-05-01Z', '2026-05-02Z');
insert into verdict (source, kind, tool, malware, acknowledged, attention, confidence, rule, ruleset, ports, evidence, first_at, last_at, created_at, superseded_at)
select '192.0.2.0'::inet + 1 + n % 10, (array['scanner','infected','backscatter','reflection','spoofed','misconfigured','unknown'])[1 + n % 7], 'zmap', 'mirai', 'Example Scans', 'contradiction', 0.1 + n / 3.0 / 10, 'mirai', '2026.11-6',
    array['23/TCP','2323/TCP'], '{"packets": 3, "notes": ["x"]}', '2026-05-01Z', '2026-05-02Z', '2026-05-02Z', case when n > 10 then '2026-05-03Z'::timestamptz end from generate_series(1, 20) n;
insert into aggregate (kind, key, destination, victim, network, rule, ports, sources, packets, peak, first_at, last_at, confidence, evidence, hours, ruleset, created_at, updated_at)
select k, 'key', '198.51.100.7', '203.0.113.9', '203.0.113.0/24', 'flood', '{80/TCP}', 12, 30, 1.5, '2026-05-01Z', '2026-05-02Z', 0.9, '{"n": 1}', '[1,2]', '2026.11-6', '2026-05-02Z', '2026-05-02Z'
from unnest(array['spoofed_flood','reflected_flood','dos_victim','campaign']) k;
insert into registration (organisation, purpose, url, email, language, prefixes, state, confirm_digest, confirm_until, created_at, confirmed_at, decided_at, decided_by, reason, ports)
select 'Example Scans', 'survey', 'https://scans.example', 'scans@example.org', 'en', '{203.0.113.0/24}', s, sha256(s::bytea), '2026-05-02Z', '2026-05-01Z', '2026-05-01Z', '2026-05-02Z', 'ada', 'known', '80/TCP'
from unnest(array['unconfirmed','pending','accepted','rejected']) s;
insert into scanner (prefix, organisation, list, purpose, url, registration_id, valid_from, valid_to, created_at, ports)
select '203.0.113.0/24', 'Example Scans ' || n, 'registrations', 'survey', 'https://scans.example', 3, '2026-05-01Z', '2026-06-01Z', '2026-05-01Z', '80/TCP' from generate_series(1, 2) n;
insert into owner_lookup (address, state, attempts, next_attempt_at, last_error, network_id, created_at) values
    ('192.0.2.1', 'done', 1, '2026-05-01Z', '', 2, '2026-05-01Z'), ('192.0.2.2', 'due', 2, '2026-05-01Z', 'timeout', null, '2026-05-01Z'), ('192.0.2.3', 'failed', 3, '2026-05-01Z', 'no such range', null, '2026-05-01Z');
insert into contact (owner_id, network_id, email, name, role, provenance, gate, valid, why, language, rank, approved_at, approved_by, created_at, retired_at, directory_id)
select 1, 2, 'abuse-' || n || '@example.com', 'Abuse desk', 'abuse', (array['abuse-role','remark','jpnic-whois','local-part','override','none'])[n], (array['auto','approve','human'])[1 + n % 3], n = 1,
    'the abuse role of the smallest range', 'ja', n, '2026-05-01Z', 'ada', '2026-05-01Z', case n when 5 then '2026-05-02Z'::timestamptz end, case n when 5 then 2 end from generate_series(1, 6) n;

insert into cases (number, owner_id, kind, malware, state, waiting, waiting_since, contact_id, language, version, created_at, updated_at, closed_at, paused_until, tell_recovered)
select 'T-2026-' || n, 1 + n % 3, 'infected', 'mirai', (array['new','open','notified','answered','closed','ignored'])[n], (array['','approval','reply','bounce','contact','failed'])[n], '2026-05-02Z', n, 'ja', n, '2026-05-01Z', '2026-05-02Z', '2026-05-04Z', '2026-06-01Z', n = 2
from generate_series(4, 6) n;
insert into cases (number, owner_id, kind, state, waiting, language, created_at, updated_at) select 'T-2026-' || n, n, 'misconfigured', 'open', 'attention', 'en', '2026-05-01Z', '2026-05-02Z' from generate_series(1, 3) n;
insert into case_number (year, last) values (2025, 12), (2026, 6);
insert into case_source (case_id, source, verdict_id, joined_at) select 1 + n % 6, '192.0.2.0'::inet + n, n, '2026-05-02Z' from generate_series(1, 20) n;

insert into message (case_id, registration_id, contact_id, purpose, state, reason, hold_reason, recipient, language, subject, body, edited, template, in_reply_to, message_id, token, raw, attempts, next_attempt_at, last_error,
    approved_by, approved_at, created_at, sent_at, version, rules, evidence, digest_id) values
    (null, null, null, 'digest', 'sent', '', '', 'second@example.com', 'en', 'Digest', 'text', false, 'digest', '', '<1@example.net>', 't1', '\x0d0a', 1, null, '', '', null, '2026-05-02Z', '2026-05-02Z', 1, '{}', false, null),
    (1, null, 1, 'notification', 'held', 'first', 'a person must look: の', 'abuse-1@example.com', 'ja', '件名', '本文', true, 'infected-mirai.first.ja', '', '<2@example.net>', 't2', null, 0, '2026-05-02Z', 'put off: night at the recipient', 'ada', '2026-05-02Z', '2026-05-02Z', null, 3, '{mirai}', false, 1),
    (2, null, 2, 'answer', 'failed', '', '', 'abuse-2@example.com', 'en', 'Re: x', 'text', false, '', '<x@example.org>', '<3@example.net>', 't3', '\x00ff', 5, null, '550 5.1.1 no such user', '', null, '2026-05-02Z', null, 1, '{}', true, null),
    (null, 3, null, 'decision', 'bounced', 'accepted', '', 'scans@example.org', 'en', 'Accepted', 'text', false, '', '', '<4@example.net>', 't4', '\x00', 1, null, '', '', null, '2026-05-02Z', '2026-05-02Z', 1, '{}', false, null);
insert into message_source (message_id, source) select 2, '192.0.2.0'::inet + n from generate_series(1, 5) n;
insert into message_file (message_id, n, name, type, content) select 3, n, 'list.csv', 'text/csv', '\x612c62' from generate_series(1, 2) n;
insert into message_attempt (message_id, n, started_at, finished_at, outcome, code, enhanced, response, domain, asn)
select 3, n, '2026-05-02Z', '2026-05-02 00:01Z', (array['delivering','sent','temporary','permanent','unknown'])[n], 450, '4.7.1', 'greylisted', 'example.com', 64500 from generate_series(1, 5) n;
insert into mail_backoff (domain, failures, until, reason, changed_at) values ('*', 2, '2026-05-02Z', '421 4.3.2', '2026-05-02Z'), ('example.com', 1, '2026-05-02Z', 'timeout', '2026-05-02Z');
insert into suppression (address, reason, message_id, created_at, until, lifted_at, lifted_by) values
    ('abuse-2@example.com', 'hard bounce', 3, '2026-05-02Z', '2026-06-02Z', null, ''), ('abuse-2@example.com', 'hard bounce', 3, '2026-04-02Z', null, '2026-04-03Z', 'ada');
insert into owner_link_end (message_id, ended_at, ended_by, reason) values (2, '2026-05-03Z', 'ada', 'sent to the wrong person');
insert into letter_template (name, version, subject, body, created_at, created_by) select 'infected-mirai.first.ja', n, '件名', '本文 ' || n, '2026-05-01Z', 'ada' from generate_series(1, 2) n;
insert into letter_choice (name, version, at, actor, reason) select 'infected-mirai.first.ja', n, '2026-05-01Z', 'ada', 'shorter' from generate_series(0, 2) n;

insert into inbound (received_at, envelope_from, envelope_to, raw, state, attempts, next_attempt_at, last_error, class, hard, status, recipient, trusted, matched_by, case_id, message_id, remote_ticket, sender, subject, text,
    header_id, processed_at, reply_to, ticket_tag, attachments)
select '2026-05-03Z', 'abuse@example.com', 't2@csirt.example', '\x46726f6d', (array['received','processed','failed'])[1 + n % 3], n, '2026-05-03Z', 'unreadable', c, n = 2, '5.1.1', 'abuse-2@example.com', true, 'token', 1, 2, '[#42]',
    'abuse@example.com', 'Re: 件名', 'text', '<y@example.com>', '2026-05-03Z', 'desk@example.com', '[Ticket#42]', '{"files": 1}' from unnest(array['','bounce','delay','autoreply','feedback','human']) with ordinality x (c, n);
insert into case_ticket (case_id, address, tag, inbound_id, set_by, set_at) values (1, 'abuse@example.com', '[Ticket#42]', 1, '', '2026-05-03Z'), (2, 'abuse@example.com', '', 1, 'ada', '2026-05-03Z');
insert into mailbox (received_at, envelope_from, envelope_to, subject, raw, answered_at) select '2026-05-03Z', 'csirt@csirt.example', 'abuse@example.com', '件名', '\x46726f6d', '2026-05-04Z' from generate_series(1, 2);
insert into case_event (case_id, at, kind, actor, message_id, inbound_id, text, data)
select 1 + n % 6, '2026-05-03Z', (array['opened','held','contact','reply'])[1 + n % 4], 'system', 2, 1, 'contact changed', '{"from": "a"}' from generate_series(1, 12) n;
insert into finding (case_id, source, inbound_id, result, device, product, version, support, malware, entry, actions, note, withdrawn, created_at, created_by, replaces) values
    (1, '192.0.2.1', 1, 'infected', 'router', 'Example Router', '1.2', 'ended', 'mirai', 'weak-password', '{cleaned,password}', 'note', false, '2026-05-04Z', 'ada', null),
    (1, null, null, 'unknown', '', '', '', '', '', '', '{}', '', true, '2026-05-05Z', 'ada', 1);
insert into control_draw (case_id, drawn_at, seed, drawn, share, arm, until, ended_at, end_kind, ended_by, end_reason) values
    (1, '2026-05-02Z', 'seed', 0.7, 0.2, 'notified', null, null, '', '', ''), (2, '2026-05-02Z', 'seed', 0.1, 0.2, 'control', '2026-06-02Z', null, '', '', ''),
    (3, '2026-05-02Z', 'seed', 0.1, 0.2, 'control', '2026-06-02Z', '2026-05-09Z', 'hand', 'ada', 'asked for');
insert into followup (case_id, source, message_id, arm, started_at, told_at, kind, malware, country, asn, language, provenance, letter, sensors, state, last_at, known_to, quiet_at, returned_at, checked_at, drawn)
select 1, '192.0.2.0'::inet + n, 2, 'control', '2026-05-02Z', '2026-05-03Z', 'infected', 'mirai', 'JP', 64500, 'ja', 'abuse-role', 'infected-mirai.first.ja', '{1,2}', (array['active','quiet','returned','ended'])[n], '2026-05-02Z', '2026-05-09Z', '2026-05-04Z',
    '2026-05-05Z', '2026-05-09Z', n = 1 from generate_series(1, 4) n;

insert into rule_policy (rule, mode, changed_at, changed_by, reason) select 'rule-' || m, m, '2026-05-01Z', 'ada', 'tried' from unnest(array['off','hold','approve-once','automatic']) m;
insert into setting (name, value, changed_at, changed_by, reason) values ('send-stopped', 'true', '2026-05-01Z', 'ada', 'a fault'), ('other', '{"a": [1]}', '2026-05-01Z', '', '');
insert into switch_change (name, value, at, actor, reason) select 'sending', v, '2026-05-01Z', 'ada', 'a fault' from unnest(array['stopped','on']) v;
insert into users (name, display_name, email, password_hash, role, language, disabled_at, created_at, last_login_at)
select r, '例示 花子', r || '@csirt.example', '$argon2id$x', r, 'ja', '2026-06-01Z', '2026-05-01Z', '2026-05-02Z' from unnest(array['lead','coordinator','viewer']) r;
insert into session (digest, data, expires_at) select sha256(n::text::bytea), '\x0102', '2026-06-01Z' from generate_series(1, 2) n;
insert into secret (name, value, created_at) select 'key-' || n, '\x00ff10', '2026-05-01Z' from generate_series(1, 2) n;
insert into task (name, next_run_at, last_run_at, attempts, last_error) select 'task-' || n, '2026-05-02Z', '2026-05-01Z', n, 'busy' from generate_series(1, 2) n;
