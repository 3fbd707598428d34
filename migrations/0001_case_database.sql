-- +goose Up

-- Sensors and what they saw -------------------------------------------------

create table sensor (
    id          integer generated always as identity primary key,
    name        text not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    networks    cidr[] not null default '{}',
    note        text not null default '',
    created_at  timestamptz not null
);

-- One row per capture file given to `teiten import`: a file that was completed
-- once is answered from here without being read again.
create table import (
    id             bigint generated always as identity primary key,
    sensor_id      integer not null references sensor,
    digest         bytea not null check (octet_length(digest) = 32),
    name           text not null,
    size_bytes     bigint not null,
    window_seconds integer not null check (window_seconds > 0),
    key_limit      integer not null,
    packets        bigint not null default 0,
    skipped        jsonb not null default '{}',
    truncated      boolean not null default false,
    started_at     timestamptz not null,
    completed_at   timestamptz,
    unique (sensor_id, digest)
);

-- The ledger of batches. A batch row is written in the transaction that copies
-- its observations, so a batch is there wholly or not at all; the content
-- digest makes a second arrival recognisable.
create table batch (
    id              bigint generated always as identity primary key,
    sensor_id       integer not null references sensor,
    import_id       bigint references import,
    window_start    timestamptz not null,
    window_seconds  integer not null check (window_seconds > 0),
    digest          bytea not null check (octet_length(digest) = 32),
    packets         bigint not null,
    observations    integer not null,
    created_at      timestamptz not null,
    judged_at       timestamptz,
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    last_error      text not null default '',
    unique (sensor_id, window_start, digest)
);
create index batch_unjudged on batch (next_attempt_at) where judged_at is null;
create index batch_window on batch (window_start);

-- Partitioned by day of window_start; partitions observation_YYYYMMDD are made
-- when the first batch of a day arrives and dropped by retention. No unique
-- index: exactly-once belongs to the ledger.
create table observation (
    batch_id           bigint not null,
    sensor_id          integer not null,
    window_start       timestamptz not null,
    source             inet not null,
    proto              smallint not null,
    port               integer not null,
    class              text not null,
    packets            bigint not null,
    bytes              bigint not null,
    destinations       integer not null,
    destinations_exact boolean not null,
    destination        inet,
    peer_ports         integer not null,
    first_at           timestamptz not null,
    last_at            timestamptz not null,
    marks              jsonb,
    fingerprints       json,
    samples            json
) partition by range (window_start);
create index observation_source on observation (source);

-- What sources are ----------------------------------------------------------

create table source (
    address       inet primary key,
    first_at      timestamptz not null,
    last_at       timestamptz not null,
    country       text not null default '',
    network_id    bigint,
    judged_at     timestamptz
);
create index source_last on source (last_at);

create table verdict (
    id             bigint generated always as identity primary key,
    source         inet not null references source,
    kind           text not null check (kind in ('scanner','infected','backscatter','reflection','spoofed','misconfigured','unknown')),
    tool           text not null default '',
    malware        text not null default '',
    acknowledged   text not null default '',
    attention      text not null default '',
    confidence     double precision not null check (confidence between 0 and 1),
    rule           text not null,
    ruleset        text not null,
    ports          text[] not null default '{}',
    evidence       jsonb not null,
    first_at       timestamptz not null,
    last_at        timestamptz not null,
    created_at     timestamptz not null,
    superseded_at  timestamptz
);
create unique index verdict_current on verdict (source) where superseded_at is null;
create index verdict_kind on verdict (kind, last_at desc) where superseded_at is null;
create index verdict_source on verdict (source, created_at);

create table scanner (
    id              bigint generated always as identity primary key,
    prefix          cidr not null,
    organisation    text not null,
    list            text not null,
    purpose         text not null default '',
    url             text not null default '',
    registration_id bigint,
    valid_from      timestamptz,
    valid_to        timestamptz,
    created_at      timestamptz not null,
    check (valid_to is null or valid_from is null or valid_from < valid_to)
);
create unique index scanner_entry on scanner (list, prefix, organisation, coalesce(valid_from, '-infinity'));
create index scanner_prefix on scanner using gist (prefix inet_ops);

create table registration (
    id               bigint generated always as identity primary key,
    organisation     text not null,
    purpose          text not null,
    url              text not null default '',
    email            text not null,
    language         text not null check (language in ('ja','en')),
    prefixes         cidr[] not null,
    state            text not null check (state in ('unconfirmed','pending','accepted','rejected')),
    confirm_digest   bytea not null unique,
    confirm_until    timestamptz not null,
    created_at       timestamptz not null,
    confirmed_at     timestamptz,
    decided_at       timestamptz,
    decided_by       text not null default '',
    reason           text not null default ''
);
create index registration_state on registration (state, created_at);

-- Who owns them -------------------------------------------------------------

create table owner (
    id          bigint generated always as identity primary key,
    key         text not null unique,
    name        text not null,
    country     text not null default '',
    language    text not null default 'en' check (language in ('ja','en')),
    created_at  timestamptz not null
);

-- One answer of a registry. Never overwritten: a later answer for the range
-- supersedes it, so that an address has an owner at a time.
create table network (
    id            bigint generated always as identity primary key,
    owner_id      bigint not null references owner,
    first_address inet not null,
    last_address  inet not null,
    handle        text not null default '',
    name          text not null default '',
    country       text not null default '',
    registry      text not null default '',
    asn           bigint,
    raw           bytea not null,
    fetched_at    timestamptz not null,
    expires_at    timestamptz not null,
    superseded_at timestamptz
);
create index network_owner on network (owner_id);

-- A range as the few prefixes that cover it, for longest-prefix look-up.
create table network_prefix (
    network_id  bigint not null references network,
    prefix      cidr not null,
    primary key (network_id, prefix)
);
create index network_prefix_gist on network_prefix using gist (prefix inet_ops);

alter table source add foreign key (network_id) references network;

create table contact (
    id          bigint generated always as identity primary key,
    owner_id    bigint not null references owner,
    network_id  bigint references network,
    email       text not null,
    name        text not null default '',
    role        text not null default '',
    provenance  text not null check (provenance in ('abuse-role','remark','jpnic-whois','local-part','override','none')),
    gate        text not null check (gate in ('auto','approve','human')),
    valid       boolean,
    why         text not null default '',
    language    text not null default 'en' check (language in ('ja','en')),
    rank        integer not null default 0,
    approved_at timestamptz,
    approved_by text not null default '',
    created_at  timestamptz not null,
    retired_at  timestamptz
);
create unique index contact_current on contact (owner_id, email) where retired_at is null;
create index contact_network on contact (network_id);

create table owner_lookup (
    address         inet primary key,
    state           text not null check (state in ('due','done','failed')),
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    last_error      text not null default '',
    network_id      bigint references network,
    created_at      timestamptz not null
);
create index owner_lookup_due on owner_lookup (next_attempt_at) where state = 'due';

-- Cases and mail ------------------------------------------------------------

create table cases (
    id             bigint generated always as identity primary key,
    number         text not null unique,
    owner_id       bigint not null references owner,
    kind           text not null,
    malware        text not null default '',
    state          text not null check (state in ('new','open','notified','answered','closed','ignored')),
    waiting        text not null default '' check (waiting in ('','approval','reply','bounce','contact','failed','attention')),
    waiting_since  timestamptz,
    contact_id     bigint references contact,
    language       text not null check (language in ('ja','en')),
    version        integer not null default 1,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    closed_at      timestamptz
);
-- One live case per owner and kind; joining relies on it.
create unique index cases_live on cases (owner_id, kind) where state not in ('closed','ignored');
create index cases_queue on cases (waiting_since, id) where waiting <> '';
create index cases_state on cases (state, updated_at desc, id desc);
create index cases_updated on cases (updated_at desc, id desc);
create index cases_owner on cases (owner_id);

create table case_number (
    year  integer primary key,
    last  integer not null
);

create table case_source (
    case_id     bigint not null references cases,
    source      inet not null references source,
    verdict_id  bigint not null references verdict,
    joined_at   timestamptz not null,
    primary key (case_id, source)
);
create index case_source_source on case_source (source);

create table message (
    id              bigint generated always as identity primary key,
    case_id         bigint references cases,
    registration_id bigint references registration,
    contact_id      bigint references contact,
    purpose         text not null check (purpose in ('notification','answer','confirmation','decision')),
    state           text not null check (state in ('held','queued','sent','bounced','canceled','failed')),
    reason          text not null default '',
    hold_reason     text not null default '',
    recipient       text not null,
    language        text not null check (language in ('ja','en')),
    subject         text not null default '',
    body            text not null default '',
    edited          boolean not null default false,
    template        text not null default '',
    in_reply_to     text not null default '',
    message_id      text not null unique,
    token           text not null unique,
    raw             bytea,
    attempts        integer not null default 0,
    next_attempt_at timestamptz,
    last_error      text not null default '',
    approved_by     text not null default '',
    approved_at     timestamptz,
    created_at      timestamptz not null,
    sent_at         timestamptz,
    version         integer not null default 1,
    check (case_id is not null or registration_id is not null)
);
create index message_due on message (next_attempt_at) where state = 'queued';
create index message_case on message (case_id, id);
create index message_recipient_sent on message (lower(recipient), sent_at);
create index message_sent on message (sent_at);
-- At most one notification is under way per case.
create unique index message_open_notification on message (case_id) where purpose = 'notification' and state in ('held','queued');

create table message_attempt (
    message_id  bigint not null references message,
    n           integer not null,
    started_at  timestamptz not null,
    finished_at timestamptz,
    outcome     text not null check (outcome in ('delivering','sent','temporary','permanent','unknown')),
    code        integer not null default 0,
    enhanced    text not null default '',
    response    text not null default '',
    primary key (message_id, n)
);
create index message_attempt_started on message_attempt (started_at);

create table inbound (
    id              bigint generated always as identity primary key,
    received_at     timestamptz not null,
    envelope_from   text not null,
    envelope_to     text not null,
    raw             bytea not null,
    state           text not null check (state in ('received','processed','failed')),
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    last_error      text not null default '',
    class           text not null default '' check (class in ('','bounce','delay','autoreply','feedback','human')),
    hard            boolean not null default false,
    status          text not null default '',
    recipient       text not null default '',
    trusted         boolean not null default false,
    matched_by      text not null default '',
    case_id         bigint references cases,
    message_id      bigint references message,
    remote_ticket   text not null default '',
    sender          text not null default '',
    subject         text not null default '',
    text            text not null default '',
    header_id       text not null default '',
    processed_at    timestamptz
);
create index inbound_due on inbound (next_attempt_at) where state = 'received';
create index inbound_case on inbound (case_id, id);
create index inbound_unmatched on inbound (received_at desc) where state = 'processed' and case_id is null;

create table suppression (
    id          bigint generated always as identity primary key,
    address     text not null,
    reason      text not null,
    message_id  bigint references message,
    created_at  timestamptz not null,
    until       timestamptz,
    lifted_at   timestamptz,
    lifted_by   text not null default ''
);
create unique index suppression_current on suppression (address) where lifted_at is null;

-- Append-only: what was said and done about a case.
create table case_event (
    id          bigint generated always as identity primary key,
    case_id     bigint not null references cases,
    at          timestamptz not null,
    kind        text not null,
    actor       text not null,
    message_id  bigint references message,
    inbound_id  bigint references inbound,
    text        text not null default '',
    data        jsonb not null default '{}'
);
create index case_event_case on case_event (case_id, id);

-- +goose StatementBegin
create function case_event_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'case_event is append-only';
end $$;
-- +goose StatementEnd
create trigger case_event_append_only before update or delete on case_event
    for each row execute function case_event_append_only();

-- The built-in mailbox: where mail goes while no real SMTP server is configured.
create table mailbox (
    id            bigint generated always as identity primary key,
    received_at   timestamptz not null,
    envelope_from text not null,
    envelope_to   text not null,
    subject       text not null default '',
    raw           bytea not null,
    answered_at   timestamptz
);
create index mailbox_received on mailbox (received_at desc, id desc);

-- People and housekeeping ---------------------------------------------------

create table users (
    id            bigint generated always as identity primary key,
    name          text not null unique,
    display_name  text not null default '',
    email         text not null default '',
    password_hash text not null,
    role          text not null check (role in ('coordinator','viewer')),
    language      text not null default 'ja' check (language in ('ja','en')),
    disabled_at   timestamptz,
    created_at    timestamptz not null,
    last_login_at timestamptz
);

create table session (
    digest      bytea primary key,
    data        bytea not null,
    expires_at  timestamptz not null
);
create index session_expires on session (expires_at);

create table task (
    name         text primary key,
    next_run_at  timestamptz not null,
    last_run_at  timestamptz,
    attempts     integer not null default 0,
    last_error   text not null default ''
);

-- Switches that coordinators change while teiten runs.
create table setting (
    name        text primary key,
    value       jsonb not null,
    changed_at  timestamptz not null,
    changed_by  text not null default '',
    reason      text not null default ''
);

create table secret (
    name       text primary key,
    value      bytea not null,
    created_at timestamptz not null
);

-- How far a rule's notifications go on their own.
create table rule_policy (
    rule        text primary key,
    mode        text not null check (mode in ('hold','automatic')),
    changed_at  timestamptz not null,
    changed_by  text not null,
    reason      text not null
);
