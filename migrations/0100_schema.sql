-- +goose Up

-- The schema of the case database, in the order in which the program works:
-- packets are observed, sources judged, owners found, cases opened, letters
-- sent, answers read, effects followed. docs/design.md has the glossary.
--
-- A column that was added later stands at the end of its table, because that is
-- where it stands in a database that grew: a database that was carried over and
-- a new one are the same to the order of their columns.


-- Why something is as it is: a list of codes with their arguments, as package
-- reason reads and writes it. The closed list of codes is there.
-- +goose StatementBegin
create function are_reasons(list jsonb) returns boolean language sql immutable as $$
    select jsonb_typeof(list) = 'array' and not exists (select 1 from jsonb_array_elements(list) r
        where jsonb_typeof(r) <> 'object' or coalesce(r->>'code', '') !~ '^[a-z][a-z-]*$'
            or jsonb_typeof(coalesce(r->'args', '[]')) <> 'array')
$$;
-- +goose StatementEnd


-- Sensors and what they saw -------------------------------------------------

-- A place where packets are captured.
create table sensor (
    id          integer generated always as identity primary key,
    name        text not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    networks    cidr[] not null default '{}',
    note        text not null default '',
    created_at  timestamptz not null
);

-- One capture file given to `teiten import`: a file that was completed once is
-- answered from here and not read again.
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

-- One window of one sensor: the ledger of what arrived, and the queue of what
-- is to be judged. A row is written in the transaction that copies its
-- observations, so a batch is there wholly or not at all; the digest of its
-- content makes a second arrival recognisable.
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
-- The batches that are due to be judged.
create index batch_unjudged on batch (next_attempt_at) where judged_at is null;
-- The windows of a time: of a flood, of a report, of a followed source.
create index batch_window on batch (window_start);

-- What one source sent to one port in one window. Partitioned by day of
-- window_start; partitions observation_YYYYMMDD are made when the first batch
-- of a day arrives and dropped by retention. There is no unique index: storing
-- exactly once belongs to the ledger.
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
-- All that a source did, to judge it and to show it.
create index observation_source on observation (source);


-- What sources are ----------------------------------------------------------

-- An address that sent packets to us. judged_at is null while it waits to be
-- judged again.
create table source (
    address       inet primary key,
    first_at      timestamptz not null,
    last_at       timestamptz not null,
    country       text not null default '',
    network_id    bigint, -- references network, below
    judged_at     timestamptz
);
-- The sources that were seen in a time: for people who look inside, no query of
-- the program needs it.
create index source_last on source (last_at);
-- The sources to be judged again because the allowlist changed for them: few,
-- and most of the time none.
create index source_due on source (address) where judged_at is null;

-- What a source was judged to be. A later verdict supersedes it; the rows of a
-- source are its history.
create table verdict (
    id             bigint generated always as identity primary key,
    source         inet not null references source,
    kind           text not null check (kind in ('scanner','infected','backscatter','reflection','spoofed','misconfigured','unknown')),
    tool           text not null default '',
    malware        text not null default '',
    acknowledged   text not null default '', -- the organisation that says it scans
    attention      text not null default '', -- what a coordinator must look at first
    confidence     double precision not null check (confidence between 0 and 1),
    rule           text not null,
    ruleset        text not null,
    ports          text[] not null default '{}',
    evidence       jsonb not null,
    first_at       timestamptz not null,
    last_at        timestamptz not null,
    created_at     timestamptz not null,
    superseded_at  timestamptz,
    tell           boolean not null -- its owner may be told: the rule of attribution.MayTell
);
-- A source has one verdict in force.
create unique index verdict_current on verdict (source) where superseded_at is null;
-- The history of a source.
create index verdict_source on verdict (source, created_at);
-- The list of judged sources, the last seen first: all, of a kind, of a tool,
-- by port, and those with a contradiction that a coordinator must look at.
create index verdict_last on verdict (last_at desc, id desc) where superseded_at is null;
create index verdict_kind_last on verdict (kind, last_at desc, id desc) where superseded_at is null;
create index verdict_tool_last on verdict (tool, last_at desc, id desc) where superseded_at is null and tool <> '';
create index verdict_ports on verdict using gin (ports) where superseded_at is null;
create index verdict_attention on verdict (last_at desc, id desc) where superseded_at is null and attention <> '';

-- What only many sources together show: a flood of forged sources, a reflected
-- flood, an attack on a victim, a campaign. A row is one event; what is seen of
-- it later extends it. kind and key say what it is about, the times when.
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
-- The event that goes on, when more of it is seen.
create index aggregate_key on aggregate (kind, key, last_at);
-- The list of events, the last seen first: all, and of a kind.
create index aggregate_last on aggregate (last_at desc, id desc);
create index aggregate_kind_last on aggregate (kind, last_at desc, id desc);
-- The attacks on a source, for its page.
create index aggregate_victim on aggregate (victim, last_at desc, id desc) where victim is not null;
-- The floods that a source took part in, by the address it sent to.
create index aggregate_destination on aggregate (destination, last_at) where destination is not null;
-- The floods that the judge must know of: few among campaigns and attacks.
create index aggregate_floods on aggregate (last_at) where kind in ('spoofed_flood','reflected_flood');


-- Who says that they scan ---------------------------------------------------

-- What an operator of scanners asked for on the public form.
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
    reason           text not null default '',
    ports            text not null default '' -- declared, such as "80/TCP, 53/UDP"; empty: not declared
);
-- The list of registrations by state.
create index registration_state on registration (state, created_at);

-- A prefix of the allowlist, for a time: from a published list or from an
-- accepted registration. An entry that ended stays, for verdicts of its time.
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
    ports           text not null default '', -- as in registration
    check (valid_to is null or valid_from is null or valid_from < valid_to)
);
-- An import of a list adds an entry once.
create unique index scanner_entry on scanner (list, prefix, organisation, coalesce(valid_from, '-infinity'));
-- The entries that hold an address.
create index scanner_prefix on scanner using gist (prefix inet_ops);


-- Who owns sources, and whom to write to ------------------------------------

-- An organisation that networks belong to, as the last answer names it.
create table owner (
    id          bigint generated always as identity primary key,
    key         text not null unique,
    name        text not null,
    country     text not null default '',
    language    text not null default 'en' check (language in ('ja','en')),
    created_at  timestamptz not null
);

-- An entry of the directory of contacts: whom coordinators write to for a
-- prefix, an organisation, an AS or a country, whatever registries say. A row is
-- never changed but for its end: a new one replaces it, so that the rows of a
-- target are its history.
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
    pgp_key     text not null default '', -- public, in ASCII armour: letters to the contact are encrypted to it
    digest      boolean not null default false, -- the contact wants its letters in one mail a day
    check (valid_from < valid_until)
);
-- A target has one entry in force.
create unique index directory_entry_current on directory_entry (scope, target) where ended_at is null;
-- The history of a target.
create index directory_entry_history on directory_entry (scope, target, id);
-- The entries in force that hold an address.
create index directory_entry_prefix on directory_entry using gist (prefix inet_ops) where ended_at is null and scope = 'prefix';
-- The key of an address, looked for with every mail to it.
create index directory_entry_email on directory_entry (lower(email));

-- One answer of a registry about a range. Never overwritten: a later answer for
-- the range supersedes it, so that an address has an owner at a time.
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
    superseded_at timestamptz,
    -- What the network was at the time of the answer; the owner's row is brought
    -- up to date by later ones. whois is the raw answer of a national registry
    -- that was asked beside RDAP; choice says which address was chosen then, and
    -- which were rejected and why.
    owner_name    text not null default '',
    as_name       text not null default '',
    whois         bytea,
    choice        jsonb,
    directory_id  bigint references directory_entry -- the entry that made it: a prefix's network has an owner of its own
);
-- The networks of an owner, the newest answer first.
create index network_owner_fetched on network (owner_id, fetched_at desc);
-- The networks that an entry made, to end them with it.
create index network_directory on network (directory_id) where directory_id is not null;
-- The owners in an AS, for an entry for the AS.
create index network_asn on network (asn) where superseded_at is null and asn is not null;

-- A range as the few prefixes that cover it.
create table network_prefix (
    network_id  bigint not null references network,
    prefix      cidr not null,
    primary key (network_id, prefix)
);
-- The networks that hold an address, for the longest prefix.
create index network_prefix_gist on network_prefix using gist (prefix inet_ops);

alter table source add foreign key (network_id) references network;

-- The queue of addresses whose owner is to be looked up, and what became of it.
create table owner_lookup (
    address         inet primary key,
    state           text not null check (state in ('due','done','failed')),
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    last_error      text not null default '',
    network_id      bigint references network,
    created_at      timestamptz not null
);
-- The look-ups that are due.
create index owner_lookup_due on owner_lookup (next_attempt_at) where state = 'due';

-- An address to write to about an owner's sources: found in a registry's answer,
-- made by the directory, or set by a coordinator. gate says how far mail to it
-- goes without a person.
create table contact (
    id           bigint generated always as identity primary key,
    owner_id     bigint not null references owner,
    network_id   bigint references network,
    email        text not null,
    name         text not null default '',
    role         text not null default '',
    provenance   text not null check (provenance in ('abuse-role','remark','jpnic-whois','local-part','override','none')),
    gate         text not null check (gate in ('auto','approve','human')),
    valid        boolean,
    why          jsonb not null default '[]' check (are_reasons(why)), -- it was chosen
    language     text not null default 'en' check (language in ('ja','en')),
    rank         integer not null default 0,
    approved_at  timestamptz,
    approved_by  text not null default '',
    created_at   timestamptz not null,
    retired_at   timestamptz,
    directory_id bigint references directory_entry -- the entry that made it
);
-- An owner has an address once, and once more for each entry of the directory.
create unique index contact_current on contact (owner_id, email) where retired_at is null and directory_id is null;
create unique index contact_directory on contact (directory_id, owner_id) where retired_at is null and directory_id is not null;
-- The contacts of an owner, looked for with every answer of a registry.
create index contact_owner on contact (owner_id) where retired_at is null;
-- The contacts that a network's answer gave, to retire them with it.
create index contact_network on contact (network_id);


-- Cases ---------------------------------------------------------------------

-- The moves that cases and messages may make from one state to another, as
-- docs/states.md draws them. An empty old state is where they begin.
create table state_move (
    subject text not null check (subject in ('case','message')),
    old     text not null,
    new     text not null,
    primary key (subject, old, new)
);
insert into state_move (subject, old, new) values
    ('case', '', 'new'),
    ('case', 'new', 'open'), ('case', 'new', 'notified'), ('case', 'new', 'answered'), ('case', 'new', 'closed'), ('case', 'new', 'ignored'),
    ('case', 'open', 'notified'), ('case', 'open', 'answered'), ('case', 'open', 'closed'), ('case', 'open', 'ignored'),
    ('case', 'notified', 'open'), ('case', 'notified', 'answered'), ('case', 'notified', 'closed'), ('case', 'notified', 'ignored'),
    ('case', 'answered', 'open'), ('case', 'answered', 'notified'), ('case', 'answered', 'closed'), ('case', 'answered', 'ignored'),
    ('case', 'closed', 'open'), ('case', 'ignored', 'open'),
    ('message', '', 'held'), ('message', '', 'queued'),
    ('message', 'held', 'queued'), ('message', 'held', 'canceled'),
    ('message', 'queued', 'held'), ('message', 'queued', 'sent'), ('message', 'queued', 'bounced'), ('message', 'queued', 'failed'),
    ('message', 'queued', 'canceled'), ('message', 'sent', 'bounced');

-- +goose StatementBegin
create function check_state_move() returns trigger language plpgsql as $$
begin
    if not exists (select 1 from state_move m where m.subject = tg_argv[0] and m.old = old.state and m.new = new.state) then
        raise exception '% % may not go from % to %', tg_argv[0], old.id, old.state, new.state using errcode = 'check_violation';
    end if;
    return new;
end $$;
-- +goose StatementEnd

-- Nothing of what was said and done is ever deleted.
-- +goose StatementBegin
create function never_deleted() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never deleted', tg_table_name;
end $$;
-- +goose StatementEnd

-- What we do about one kind of behaviour of one owner's sources. waiting says
-- what the case waits for a person to do.
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
    closed_at      timestamptz,
    paused_until   timestamptz, -- the owner asked to be left alone: nothing goes out by itself until then
    tell_recovered boolean not null default false -- a person wants to hear when the sensors see nothing of it any more
);
-- One live case per owner and kind; joining relies on it.
create unique index cases_live on cases (owner_id, kind) where state not in ('closed','ignored');
-- The queue, the longest waiting first: all, by reason, by kind.
create index cases_queue on cases (waiting_since, id) where waiting <> '';
create index cases_waiting on cases (waiting, waiting_since, id) where waiting <> '';
create index cases_waiting_kind on cases (kind, waiting_since, id) where waiting <> '';
-- The list of cases, the last changed first: all, by state, by kind.
create index cases_updated on cases (updated_at desc, id desc);
create index cases_state on cases (state, updated_at desc, id desc);
create index cases_kind on cases (kind, updated_at desc, id desc);
-- The cases of an owner.
create index cases_owner on cases (owner_id);
create trigger cases_state before update of state on cases for each row when (old.state is distinct from new.state)
    execute function check_state_move('case');
create trigger cases_never_deleted before delete on cases for each row execute function never_deleted();

-- The last number that was given to a case of a year.
create table case_number (
    year  integer primary key,
    last  integer not null
);

-- A source that a case is about, with the verdict by which it joined.
create table case_source (
    case_id     bigint not null references cases,
    source      inet not null references source,
    verdict_id  bigint not null references verdict,
    joined_at   timestamptz not null,
    primary key (case_id, source)
);
-- The cases of a source.
create index case_source_source on case_source (source);


-- Mail out ------------------------------------------------------------------

-- A mail of ours, from its draft to its end, and the queue of what is to be
-- sent. It belongs to a case, to a registration, or is a digest: the one mail a
-- day to a contact that asked for it, which carries letters that stay messages
-- of their cases and name it in digest_id.
create table message (
    id              bigint generated always as identity primary key,
    case_id         bigint references cases,
    registration_id bigint references registration,
    contact_id      bigint references contact,
    purpose         text not null check (purpose in ('notification','answer','confirmation','decision','digest')),
    state           text not null check (state in ('held','queued','sent','bounced','canceled','failed')),
    reason          text not null default '',
    recipient       text not null,
    language        text not null check (language in ('ja','en')),
    subject         text not null default '',
    body            text not null default '',
    edited          boolean not null default false,
    template        text not null default '',
    in_reply_to     text not null default '',
    message_id      text not null unique,
    token           text not null unique,
    raw             bytea, -- as it was sent
    attempts        integer not null default 0,
    next_attempt_at timestamptz,
    last_error      text not null default '', -- what the last attempt met
    approved_by     text not null default '',
    approved_at     timestamptz,
    created_at      timestamptz not null,
    sent_at         timestamptz,
    version         integer not null default 1,
    rules           text[] not null default '{}', -- by which a letter's sources were judged: for what a rule has earned
    evidence        boolean not null default false, -- an answer carries the evidence as it is when it goes out
    digest_id       bigint references message,
    hold_why        jsonb not null default '[]' check (are_reasons(hold_why)), -- it waits for a coordinator, or did last
    delay_why       jsonb not null default '[]' check (are_reasons(delay_why)), -- it is due later
    end_why         jsonb not null default '[]' check (are_reasons(end_why)), -- it was canceled, failed or came back
    overruled       text[] not null default '{}', -- codes of what it was held for when people approved it
    check (case_id is not null or registration_id is not null or purpose = 'digest'),
    check (digest_id is null or purpose = 'notification')
);
-- The messages that are due, in the order in which they are chosen: with many
-- due at one time, the first must not be found by sorting them all. What goes
-- with a digest is not chosen by itself.
create index message_due_alone on message (next_attempt_at, id) where state = 'queued' and digest_id is null;
-- At most one notification is under way per case.
create unique index message_open_notification on message (case_id) where purpose = 'notification' and state in ('held','queued');
-- The messages of a case, and the letters of a digest.
create index message_case on message (case_id, id);
create index message_digest on message (digest_id) where digest_id is not null;
-- What became of the mail to an address, and when it was last written to.
create index message_recipient_sent on message (lower(recipient), sent_at);
-- What was sent in a time: for people who look inside.
create index message_sent on message (sent_at);
-- The letters that were sent, by when: what is followed from then on.
create index message_notified on message (sent_at) where purpose = 'notification' and sent_at is not null;
-- The letters written since a time, for what rules have earned.
create index message_notification on message (created_at) where purpose = 'notification';
create trigger message_state before update of state on message for each row when (old.state is distinct from new.state)
    execute function check_state_move('message');
create trigger message_never_deleted before delete on message for each row execute function never_deleted();

-- A source that a message whose words are settled tells about. A source of a
-- live case that none covers needs a message of its own.
create table message_source (
    message_id  bigint not null references message,
    source      inet not null,
    primary key (message_id, source)
);
-- The messages that tell about a source.
create index message_source_source on message_source (source);

-- A file that a coordinator's answer carries.
create table message_file (
    message_id bigint not null references message,
    n          integer not null,
    name       text not null,
    type       text not null,
    content    bytea not null,
    primary key (message_id, n)
);

-- One try to deliver a message. It is written before the try, so that a try
-- whose end is not known is known itself.
create table message_attempt (
    message_id  bigint not null references message,
    n           integer not null,
    started_at  timestamptz not null,
    finished_at timestamptz,
    outcome     text not null check (outcome in ('delivering','sent','temporary','permanent','unknown')),
    code        integer not null default 0,
    enhanced    text not null default '',
    response    text not null default '',
    domain      text not null default '', -- of the recipient
    asn         bigint, -- of the sources
    primary key (message_id, n)
);
-- The attempts that a limit counts: of all mail, of a domain, of an AS.
create index message_attempt_started on message_attempt (started_at);
create index message_attempt_domain on message_attempt (domain, started_at);
create index message_attempt_asn on message_attempt (asn, started_at) where asn is not null;
-- The attempts without an end, asked for by every claim: the history of all
-- attempts must not make that slower.
create index message_attempt_under_way on message_attempt (started_at) where outcome = 'delivering';
create trigger message_attempt_never_deleted before delete on message_attempt for each row execute function never_deleted();

-- A domain, or (domain '*') the smarthost itself, to which nothing is sent for a
-- while after a temporary failure. A mail that is taken ends it.
create table mail_backoff (
    domain     text primary key,
    failures   integer not null check (failures > 0), -- one after the other
    until      timestamptz not null,
    reason     text not null,
    changed_at timestamptz not null
);

-- An address to which nothing is sent, until a time or until it is lifted.
create table suppression (
    id          bigint generated always as identity primary key,
    address     text not null,
    message_id  bigint references message,
    created_at  timestamptz not null,
    until       timestamptz,
    lifted_at   timestamptz,
    lifted_by   text not null default '',
    why         jsonb not null check (are_reasons(why) and why <> '[]')
);
-- An address is suppressed once.
create unique index suppression_current on suppression (address) where lifted_at is null;

-- The end of a link to an owner's page before its time. The address of the page
-- is made of the message and a key, so nothing is stored for a link that works.
create table owner_link_end (
    message_id  bigint primary key references message,
    ended_at    timestamptz not null,
    ended_by    text not null,
    reason      text not null default ''
);

-- A letter that a coordinator wrote, by name (infected-mirai.first.ja); version 0
-- of each is the program's own and not here. Append-only: each mail names the
-- version it was made from.
create table letter_template (
    name        text not null,
    version     integer not null check (version > 0),
    subject     text not null,
    body        text not null,
    created_at  timestamptz not null,
    created_by  text not null,
    primary key (name, version)
);

-- Which version of a letter is in force: the latest row of each name.
-- Append-only.
create table letter_choice (
    id          bigint generated always as identity primary key,
    name        text not null,
    version     integer not null check (version >= 0),
    at          timestamptz not null,
    actor       text not null,
    reason      text not null
);
-- The latest choices of a name.
create index letter_choice_name on letter_choice (name, id desc);

-- +goose StatementBegin
create function letter_append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end $$;
-- +goose StatementEnd
create trigger letter_template_append_only before update or delete on letter_template
    for each row execute function letter_append_only();
create trigger letter_choice_append_only before update or delete on letter_choice
    for each row execute function letter_append_only();


-- Mail in -------------------------------------------------------------------

-- A mail that arrived: kept as it came, then read and matched to a case.
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
    sender          text not null default '', -- the From
    subject         text not null default '',
    text            text not null default '',
    header_id       text not null default '',
    processed_at    timestamptz,
    reply_to        text not null default '', -- of a person's mail, where it is another than the From
    ticket_tag      text not null default '', -- how the other side's ticket system writes its number in subjects
    attachments     jsonb not null default '{}' -- what is attached
);
-- The mails that are to be read.
create index inbound_due on inbound (next_attempt_at) where state = 'received';
-- The mails of a case, and those that answer a message.
create index inbound_case on inbound (case_id, id);
create index inbound_message on inbound (message_id) where message_id is not null;
-- The mails that belong to no case, the newest first.
create index inbound_unmatched on inbound (received_at desc) where state = 'processed' and case_id is null;
create trigger inbound_never_deleted before delete on inbound for each row execute function never_deleted();

-- What the subjects of our next mails of a case to an address name: the other
-- side's ticket. An empty tag is one that a coordinator took away.
create table case_ticket (
    case_id    bigint not null references cases,
    address    text not null,
    tag        text not null,
    inbound_id bigint references inbound,
    set_by     text not null default '',  -- empty: read from the inbound mail
    set_at     timestamptz not null,
    primary key (case_id, address)
);

-- A mail in the built-in mailbox: where mail goes while no real SMTP server is
-- configured.
create table mailbox (
    id            bigint generated always as identity primary key,
    received_at   timestamptz not null,
    envelope_from text not null,
    envelope_to   text not null,
    subject       text not null default '',
    raw           bytea not null,
    answered_at   timestamptz
);
-- The mailbox, the newest mail first.
create index mailbox_received on mailbox (received_at desc, id desc);


-- What happened to a case, and what helped ----------------------------------

-- One thing that was said or done about a case: its timeline. Append-only.
create table case_event (
    id          bigint generated always as identity primary key,
    case_id     bigint not null references cases,
    at          timestamptz not null,
    kind        text not null,
    actor       text not null,
    message_id  bigint references message,
    inbound_id  bigint references inbound,
    text        text not null default '', -- others' words
    data        jsonb not null default '{}',
    why         jsonb not null default '[]' check (are_reasons(why)) -- it happened
);
-- The timeline of a case.
create index case_event_case on case_event (case_id, id);

-- +goose StatementBegin
create function case_event_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'case_event is append-only';
end $$;
-- +goose StatementEnd
create trigger case_event_append_only before update or delete on case_event
    for each row execute function case_event_append_only();

-- What an owner found, as a coordinator recorded it. Append-only: a correction,
-- or a withdrawal, replaces a row.
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
-- A finding is replaced once.
create unique index finding_replaces on finding (replaces) where replaces is not null;
-- The findings of a case, and those of a time, for the export and the counts.
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

-- The draw of a case's first letter: to go out at once, or to wait as one of a
-- control group. It holds what is needed to compute the draw again. A draw is
-- never changed; of a control the end is added, once.
create table control_draw (
    case_id     bigint primary key references cases,
    drawn_at    timestamptz not null,
    seed        text not null,
    drawn       double precision not null check (drawn >= 0 and drawn < 1),
    share       double precision not null check (share > 0 and share <= 0.5),
    arm         text not null check (arm in ('notified','control')),
    until       timestamptz,
    ended_at    timestamptz,
    end_kind    text not null default '' check (end_kind in ('','over','hand','contaminated','severe','case')),
    ended_by    text not null default '',
    end_why     jsonb not null default '[]' check (are_reasons(end_why)),
    check ((arm = 'control') = (drawn < share)),
    check ((arm = 'control') = (until is not null)),
    check ((ended_at is null) = (end_kind = '') and (ended_at is null or arm = 'control'))
);
-- The controls that are not over.
create index control_draw_held on control_draw (until) where arm = 'control' and ended_at is null;

-- +goose StatementBegin
create function control_draw_once() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.ended_at is null and row(new.case_id, new.drawn_at, new.seed, new.drawn, new.share, new.arm, new.until)
        is not distinct from row(old.case_id, old.drawn_at, old.seed, old.drawn, old.share, old.arm, old.until) then
        return new;
    end if;
    raise exception 'a draw is not changed';
end $$;
-- +goose StatementEnd
create trigger control_draw_once before update or delete on control_draw
    for each row execute function control_draw_once();

-- What became of a source that a letter named, or that was held back as one of a
-- control group: followed by the sensors that had seen it. What the groups are
-- compared by is kept as it was at the start. quiet_at is the last packet before
-- it first went quiet; known_to is until when the sensors say whether it was
-- active; told_at ends a control.
create table followup (
    case_id     bigint not null references cases,
    source      inet not null,
    message_id  bigint references message,
    arm         text not null check (arm in ('notified','control')),
    started_at  timestamptz not null,
    told_at     timestamptz,
    kind        text not null,
    malware     text not null default '',
    country     text not null default '',
    asn         bigint,
    language    text not null default '',
    provenance  text not null default '',
    letter      text not null default '',
    sensors     integer[] not null,
    state       text not null default 'active' check (state in ('active','quiet','returned','ended')),
    last_at     timestamptz not null,
    known_to    timestamptz not null,
    quiet_at    timestamptz,
    returned_at timestamptz,
    checked_at  timestamptz not null,
    drawn       boolean not null default false, -- there at its case's draw: the arms are compared by these
    primary key (case_id, source)
);
-- The sources whose follow-up goes on, the longest not checked first.
create index followup_open on followup (checked_at) where state <> 'ended';
-- The follow-ups of a source: for people who look inside.
create index followup_source on followup (source);
-- The follow-ups that began in a time, to count the effect: all, and the drawn.
create index followup_started on followup (started_at);
create index followup_drawn on followup (started_at) where drawn;


-- How far the program writes on its own -------------------------------------

-- How far a rule's letters go on their own: not at all, held, approved once for
-- a contact, automatically.
create table rule_policy (
    rule        text primary key,
    mode        text not null check (mode in ('off','hold','approve-once','automatic')),
    changed_at  timestamptz not null,
    changed_by  text not null,
    reason      text not null
);

-- A switch that people change while teiten runs.
create table setting (
    name        text primary key,
    value       jsonb not null,
    changed_at  timestamptz not null,
    changed_by  text not null default '',
    reason      text not null default ''
);

-- A change of a rule's mode or of the stop switch: who, when and why.
-- Append-only.
create table switch_change (
    id          bigint generated always as identity primary key,
    name        text not null,
    value       text not null,
    at          timestamptz not null,
    actor       text not null,
    reason      text not null
);
-- The latest changes of a switch.
create index switch_change_name on switch_change (name, id desc);

-- +goose StatementBegin
create function switch_change_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'switch_change is append-only';
end $$;
-- +goose StatementEnd
create trigger switch_change_append_only before update or delete on switch_change
    for each row execute function switch_change_append_only();


-- People and housekeeping ---------------------------------------------------

-- A person who uses the desk. Leads decide how far the program may write on its
-- own.
create table users (
    id            bigint generated always as identity primary key,
    name          text not null unique,
    display_name  text not null default '',
    email         text not null default '',
    password_hash text not null,
    role          text not null check (role in ('lead','coordinator','viewer')),
    language      text not null default 'ja' check (language in ('ja','en')),
    disabled_at   timestamptz,
    created_at    timestamptz not null,
    last_login_at timestamptz
);

-- A login, by the digest of its cookie.
create table session (
    digest      bytea primary key,
    data        bytea not null,
    expires_at  timestamptz not null
);
-- The sessions that are over, to delete them.
create index session_expires on session (expires_at);

-- A key that the program made for itself.
create table secret (
    name       text primary key,
    value      bytea not null,
    created_at timestamptz not null
);

-- A periodic task: when it runs next, and how the last run ended.
create table task (
    name         text primary key,
    next_run_at  timestamptz not null,
    last_run_at  timestamptz,
    attempts     integer not null default 0,
    last_error   text not null default ''
);
