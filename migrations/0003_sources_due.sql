-- +goose Up

-- The sources to be judged again because the allowlist has changed for them:
-- few, and most of the time none.
create index source_due on source (address) where judged_at is null;
