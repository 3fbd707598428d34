-- +goose Up

-- What a sensor is, for people and for itself: its place, and how it works. A change
-- of how it works raises config_version, and the sensor fetches it.
alter table sensor add column sensor_group text not null default '';
alter table sensor add column country text not null default '' check (country ~ '^([A-Z]{2})?$');
alter table sensor add column place text not null default '';
alter table sensor add column holder text not null default ''; -- of the network in which it stands
alter table sensor add column auto_networks boolean not null default false; -- the addresses of its interface, whatever they are
alter table sensor add column window_seconds integer not null default 600 check (window_seconds between 1 and 86400);
alter table sensor add column payload_bytes integer not null default 64 check (payload_bytes between 0 and 64);
alter table sensor add column key_limit integer not null default 0;
alter table sensor add column config_version bigint not null default 1;
alter table sensor add column retired_at timestamptz;

-- The prefixes that a sensor monitors, and monitored.
create table sensor_network (
    sensor_id   integer not null references sensor,
    prefix      cidr not null,
    valid_from  timestamptz not null,
    valid_to    timestamptz,
    check (valid_to > valid_from),
    primary key (sensor_id, prefix, valid_from)
);
insert into sensor_network (sensor_id, prefix, valid_from) select id, unnest(networks), created_at from sensor;

-- The code with which a sensor enrols once; only its digest is kept.
create table sensor_code (
    sensor_id   integer primary key references sensor,
    digest      bytea not null unique check (octet_length(digest) = 32),
    expires_at  timestamptz not null
);

-- The tokens of sensors, by their digests. A new one takes the place of those before
-- when it is used for the first time.
create table sensor_token (
    id          bigint generated always as identity primary key,
    sensor_id   integer not null references sensor,
    digest      bytea not null unique check (octet_length(digest) = 32),
    created_at  timestamptz not null,
    used_at     timestamptz,
    revoked_at  timestamptz
);
-- The tokens of a sensor, to revoke them.
create index sensor_token_sensor on sensor_token (sensor_id) where revoked_at is null;

-- A batch that came from a sensor, by the name that the sensor gave it: what is
-- offered again is recognised by it. A window without packets has no other row.
create table sensor_batch (
    id             bigint generated always as identity primary key,
    sensor_id      integer not null references sensor,
    name           text not null,
    digest         bytea not null check (octet_length(digest) = 32), -- of the file
    window_start   timestamptz not null,
    window_seconds integer not null check (window_seconds > 0),
    packets        bigint not null,
    copies         bigint not null,
    dropped        bigint not null, -- by the sensor's kernel
    program        text not null,
    facts          jsonb not null,
    received_at    timestamptz not null,
    unique (sensor_id, name)
);
-- What a sensor sent in a time, the latest first.
create index sensor_batch_window on sensor_batch (sensor_id, window_start desc);

-- The last heartbeat of a sensor. skew_ms is the sensor's clock minus ours.
create table sensor_beat (
    sensor_id    integer primary key references sensor,
    received_at  timestamptz not null,
    skew_ms      bigint not null,
    version      text not null,
    beat         jsonb not null
);
