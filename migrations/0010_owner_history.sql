-- +goose Up

-- What a network was at the time of its answer. The owner's row is brought up
-- to date by later answers; these stay as they are. whois is the raw answer of
-- a national registry that was asked beside RDAP; choice says which address
-- was chosen then, and which were rejected and why.
alter table network add column owner_name text not null default '';
alter table network add column as_name text not null default '';
alter table network add column whois bytea;
alter table network add column choice jsonb;
