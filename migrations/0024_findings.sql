-- +goose Up

-- What owners found, as coordinators recorded it. A row is never changed: a
-- correction, or a withdrawal, replaces it.
create table finding (
    id         bigint generated always as identity primary key,
    case_id    bigint not null references cases,
    source     inet,                        -- null: of the case as a whole
    inbound_id bigint references inbound,   -- the mail that says so
    result     text not null check (result in ('infected','misused','misconfigured','nothing','unknown')),
    device     text not null check (device in ('','windows-server','windows','linux','nas','router','camera','iot','other')),
    product    text not null default '',
    version    text not null default '',
    support    text not null check (support in ('','supported','ended')),
    malware    text not null default '',
    entry      text not null check (entry in ('','exposed-port','unpatched','weak-password','vpn','mobile-line','mail','usb','other')),
    actions    text[] not null default '{}' check (actions <@ array['cleaned','reinstalled','patched','port-closed','disconnected','replaced','password','none']),
    note       text not null default '',
    withdrawn  boolean not null default false,
    created_at timestamptz not null,
    created_by text not null,
    replaces   bigint references finding
);
create unique index finding_replaces on finding (replaces) where replaces is not null;
create index finding_case on finding (case_id, id);
create index finding_created on finding (created_at, id);

-- +goose StatementBegin
create function finding_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'findings are append-only';
end $$;
-- +goose StatementEnd
create trigger finding_append_only before update or delete on finding
    for each row execute function finding_append_only();
