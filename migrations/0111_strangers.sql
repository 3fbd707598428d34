-- +goose Up

-- Whether an attempt sent a confirmation: strangers cause them, so they count for
-- limits of their own (docs/decisions/0042-limits-for-strangers.md).
alter table message_attempt add column confirmation boolean not null default false;
update message_attempt a set confirmation = true from message m where m.id = a.message_id and m.purpose = 'confirmation';
-- The confirmations that wait, which the registration form counts.
create index message_confirmation_queued on message (id) where state = 'queued' and purpose = 'confirmation';
