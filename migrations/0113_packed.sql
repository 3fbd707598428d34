-- +goose Up

-- Fingerprints and samples in binary, a third of what they take as JSON
-- (internal/casedb/observation_packed.go says how; docs/decisions/0045). Rows have
-- either this column or the other two: those that are there stay as they are, so
-- that no large table is rewritten.
alter table observation add column packed bytea;
alter table observation_aside add column packed bytea;

-- The source port of an observation's first sample; null without samples. Bytes
-- 1 to 2 of a packed column are that port, byte 3 the number of samples.
create function sample_port(samples json, packed bytea) returns integer
    language sql immutable parallel safe
    return case when packed is null then (samples->0->>'sport')::integer
        when get_byte(packed, 3) > 0 then get_byte(packed, 1) * 256 + get_byte(packed, 2) end;

-- The TCP windows of an observation's fingerprints with their packets. Byte 4 of
-- a packed column is their number; each has 9 bytes from byte 5 on: TTL, window,
-- packets.
-- +goose StatementBegin
create function fingerprint_windows(fingerprints json, packed bytea) returns table (win integer, n numeric)
    language sql immutable parallel safe
    begin atomic
        select (f->>'win')::integer, (f->>'n')::numeric from json_array_elements(case when packed is null then fingerprints end) f
        union all
        select get_byte(packed, at + 1) * 256 + get_byte(packed, at + 2),
            (get_byte(packed, at + 3)::bigint << 40) + (get_byte(packed, at + 4)::bigint << 32) + (get_byte(packed, at + 5)::bigint << 24)
                + (get_byte(packed, at + 6) << 16) + (get_byte(packed, at + 7) << 8) + get_byte(packed, at + 8)
            from (select 5 + 9 * i as at from generate_series(0, case when packed is null then -1 else get_byte(packed, 4) - 1 end) i) p;
    end;
-- +goose StatementEnd

-- No query of the program needs it (docs/decisions/0035), and each source pays
-- for it on disk and when it is judged.
drop index source_last;
