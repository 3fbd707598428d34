-- +goose Up

-- To which domains, or (domain '*') to the smarthost itself, nothing is sent
-- for a while after a temporary failure. A mail that is taken ends it.
create table mail_backoff (
    domain     text primary key,
    failures   integer not null check (failures > 0), -- one after the other
    until      timestamptz not null,
    reason     text not null,
    changed_at timestamptz not null
);
