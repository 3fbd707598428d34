-- +goose Up

-- What became of each source that a mail named, or that was held back as one
-- of a control group: followed by the sensors that had seen it. What the
-- groups are compared by is kept as it was at the start. quiet_at is the last
-- packet before it first went quiet; known_to is until when the sensors say
-- whether it was active; told_at ends a control.
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
    primary key (case_id, source)
);
create index followup_open on followup (checked_at) where state <> 'ended';
create index followup_source on followup (source);
create index followup_started on followup (started_at);

-- The mails that were sent, by when: what is followed from then on.
create index message_notified on message (sent_at) where purpose = 'notification' and sent_at is not null;
