-- +goose Up

-- The order in which messages are chosen: with many due at one time, the first
-- one must not be found by sorting them all.
create index message_due_order on message (next_attempt_at, id) where state = 'queued';
drop index message_due;
