-- +goose Up

-- The mails that belong to no case: the navigation of every page counts them, and
-- must not read the mails of cases for that.
create index inbound_unfiled on inbound (id) where state in ('processed','failed') and case_id is null;
