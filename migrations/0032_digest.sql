-- +goose Up

-- A contact may ask for its letters in one mail a day. That mail is a message
-- without a case; the letters in it stay messages of their cases and name it.
alter table directory_entry add column digest boolean not null default false;
alter table message drop constraint message_purpose_check;
alter table message add constraint message_purpose_check check (purpose in ('notification','answer','confirmation','decision','digest'));
alter table message drop constraint message_check;
alter table message add constraint message_check check (case_id is not null or registration_id is not null or purpose = 'digest');
alter table message add column digest_id bigint references message check (digest_id is null or purpose = 'notification');
create index message_digest on message (digest_id) where digest_id is not null;
-- What goes with a digest is not chosen by itself.
create index message_due_alone on message (next_attempt_at, id) where state = 'queued' and digest_id is null;
drop index message_due_order;
