-- +goose Up

-- Whether an attempt sent a confirmation: strangers cause them, so they count for
-- limits of their own (docs/decisions/0042-limits-for-strangers.md).
alter table message_attempt add column confirmation boolean not null default false;
update message_attempt a set confirmation = true from message m where m.id = a.message_id and m.purpose = 'confirmation';
-- The confirmations that wait, which the registration form counts.
create index message_confirmation_queued on message (id) where state = 'queued' and purpose = 'confirmation';

-- What is left of a mail that was purged: that it came, when, to which case, and who
-- purged it when and why. Everything that its writer wrote is empty.
alter table inbound drop constraint inbound_state_check,
    add constraint inbound_state_check check (state in ('received','processed','failed','purged')),
    add column auth text not null default '', -- what our own mail server found: "spf=pass dkim=pass dmarc=fail"
    add column purged_at timestamptz,
    add column purged_by text not null default '',
    add column purge_why jsonb not null default '[]' check (are_reasons(purge_why)),
    add constraint inbound_purged check ((state = 'purged') = (purged_at is not null) and (state = 'purged') = (purged_by <> '')
        and (state <> 'purged' or raw = '' and text = '' and subject = '' and sender = '' and envelope_from = '' and purge_why <> '[]'));
-- The mails that belong to no case, the oldest first: those that retention ends.
create index inbound_unfiled_received on inbound (received_at) where state in ('processed','failed') and case_id is null;
-- The events of a mail that is purged.
create index case_event_inbound on case_event (inbound_id) where inbound_id is not null;

-- The timeline is append-only. Only the words of a purged mail, and the name of its
-- writer, are taken out of it.
-- +goose StatementBegin
create or replace function case_event_append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.text = '' and new.actor = '-'
        and to_jsonb(new) - 'text' - 'actor' - 'data' = to_jsonb(old) - 'text' - 'actor' - 'data' and new.data = old.data - 'contact' - 'ticket'
        and exists (select 1 from inbound where id = old.inbound_id and state = 'purged') then
        return new;
    end if;
    raise exception 'case_event is append-only';
end $$;
-- +goose StatementEnd
