-- +goose Up

-- How a message's address for bounces, its address for answers and its link are
-- proved (notify/token.go). 1: by the message's number alone; 2: by its number and
-- its random token, so that a number that is given again after a restore proves
-- nothing.
alter table message add column token_rule smallint not null default 1 check (token_rule in (1, 2));
alter table message alter column token_rule set default 2;

-- The marks by which a process notices that this database was restored from a
-- backup: it writes one here, and then in a file beside the database. A mark that
-- stands in the file and not here was written after the backup
-- (docs/decisions/0040-restore.md). The latest few of each host are kept.
create table epoch (
    mark       text primary key,
    host       text not null,
    written_at timestamptz not null
);
-- The marks of a host, the latest first.
create index epoch_host on epoch (host, written_at desc);
