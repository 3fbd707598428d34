-- +goose Up

-- The directory of contacts: whom coordinators write to for a prefix, an
-- organisation, an AS or a country, whatever registries say. A row is never
-- changed: a new one replaces it, so that the rows of a target are its history.
create table directory_entry (
    id          bigint generated always as identity primary key,
    scope       text not null check (scope in ('prefix','organisation','as','country')),
    target      text not null check (target <> ''), -- in base form: 192.0.2.0/24, example university, 64500, JP
    prefix      cidr check ((scope = 'prefix') = (prefix is not null)),
    country     text not null default '', -- where a prefix is
    email       text not null,
    name        text not null default '',
    language    text not null check (language in ('ja','en')),
    format      text not null default '' check (format in ('','csv','xarf')), -- empty: as configured
    note        text not null default '',
    valid_from  timestamptz,
    valid_until timestamptz,
    created_at  timestamptz not null,
    created_by  text not null,
    replaces    bigint references directory_entry,
    ended_at    timestamptz,
    ended_by    text not null default '',
    check (valid_from < valid_until)
);
create unique index directory_entry_current on directory_entry (scope, target) where ended_at is null;
create index directory_entry_history on directory_entry (scope, target, id);
create index directory_entry_prefix on directory_entry using gist (prefix inet_ops) where ended_at is null and scope = 'prefix';

-- What the directory made: the network of a prefix, with an owner of its own,
-- and contacts beside those that registries gave.
alter table network add column directory_id bigint references directory_entry;
create index network_directory on network (directory_id) where directory_id is not null;
alter table contact add column directory_id bigint references directory_entry;
drop index contact_current;
create unique index contact_current on contact (owner_id, email) where retired_at is null and directory_id is null;
create unique index contact_directory on contact (directory_id, owner_id) where retired_at is null and directory_id is not null;
create index network_asn on network (asn) where superseded_at is null and asn is not null;
