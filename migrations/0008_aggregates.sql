-- +goose Up

-- What only many sources together show: floods of forged sources, reflected
-- floods, attacks on victims, campaigns. A row is one event; what is seen of it
-- later extends it. kind and key say what it is about, the times when.
create table aggregate (
    id          bigint generated always as identity primary key,
    kind        text not null check (kind in ('spoofed_flood','reflected_flood','dos_victim','campaign')),
    key         text not null,
    -- Our address under a flood: for finding its sources, never for others' eyes.
    destination inet,
    victim      inet,
    network     cidr,
    rule        text not null default '',
    ports       text[] not null default '{}',
    sources     bigint not null,
    packets     bigint not null,
    peak        double precision not null default 0,
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    confidence  double precision not null check (confidence between 0 and 1),
    evidence    jsonb not null,
    -- Of floods: how many sources began in which hour.
    hours       jsonb not null default '[]',
    ruleset     text not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    check (first_at <= last_at)
);
create index aggregate_key on aggregate (kind, key, last_at);
create index aggregate_last on aggregate (last_at desc, id desc);
create index aggregate_kind_last on aggregate (kind, last_at desc, id desc);
create index aggregate_victim on aggregate (victim, last_at desc, id desc) where victim is not null;
create index aggregate_destination on aggregate (destination, last_at) where destination is not null;
-- The floods that the judge must know of: few among campaigns and attacks.
create index aggregate_floods on aggregate (last_at) where kind in ('spoofed_flood','reflected_flood');
