-- +goose Up

-- The case queue by reason and by kind, and all cases of a kind.
create index cases_waiting on cases (waiting, waiting_since, id) where waiting <> '';
create index cases_waiting_kind on cases (kind, waiting_since, id) where waiting <> '';
create index cases_kind on cases (kind, updated_at desc, id desc);

-- The list of judged sources, the last seen first; verdict_kind of the first
-- migration does not end a tie.
create index verdict_last on verdict (last_at desc, id desc) where superseded_at is null;
create index verdict_kind_last on verdict (kind, last_at desc, id desc) where superseded_at is null;
create index verdict_tool_last on verdict (tool, last_at desc, id desc) where superseded_at is null and tool <> '';
create index verdict_ports on verdict using gin (ports) where superseded_at is null;
drop index verdict_kind;
