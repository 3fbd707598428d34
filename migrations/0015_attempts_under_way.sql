-- +goose Up

-- Every claim asks for the attempts without an end; the history of all attempts
-- must not make that slower.
create index message_attempt_under_way on message_attempt (started_at) where outcome = 'delivering';
