-- +goose Up

-- How the other side's ticket system writes its number in subjects, and what
-- is attached to a mail.
alter table inbound add column ticket_tag text not null default '';
alter table inbound add column attachments jsonb not null default '{}';

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

-- What a coordinator's answer carries: the evidence of its case as it is when
-- the answer goes out, and files.
alter table message add column evidence boolean not null default false;
create table message_file (
    message_id bigint not null references message,
    n          integer not null,
    name       text not null,
    type       text not null,
    content    bytea not null,
    primary key (message_id, n)
);
