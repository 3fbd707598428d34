-- +goose Up

-- Leads decide how far the program may write on its own.
alter table users drop constraint users_role_check;
alter table users add constraint users_role_check check (role in ('lead','coordinator','viewer'));

-- A rule's first letter to a contact is approved, the later ones go on their own.
alter table rule_policy drop constraint rule_policy_mode_check;
alter table rule_policy add constraint rule_policy_mode_check check (mode in ('hold','approve-once','automatic'));

-- Append-only: who changed a rule's mode or the stop switch, when and why.
create table switch_change (
    id          bigint generated always as identity primary key,
    name        text not null,
    value       text not null,
    at          timestamptz not null,
    actor       text not null,
    reason      text not null
);
create index switch_change_name on switch_change (name, id desc);

-- +goose StatementBegin
create function switch_change_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'switch_change is append-only';
end $$;
-- +goose StatementEnd
create trigger switch_change_append_only before update or delete on switch_change
    for each row execute function switch_change_append_only();

-- What was decided before there was a history.
insert into switch_change (name, value, at, actor, reason)
select 'rule ' || rule, mode, changed_at, changed_by, reason from rule_policy
union all
select 'sending', case when value = 'true' then 'stopped' else 'on' end, changed_at, changed_by, reason from setting where name = 'send-stopped'
order by 3;

-- The rules by which a letter's sources were judged, kept for what a rule has
-- earned.
alter table message add column rules text[] not null default '{}';
create index message_notification on message (created_at) where purpose = 'notification';
update message m set rules = coalesce((select array_agg(distinct v.rule order by v.rule) from case_source cs
    join verdict v on v.id = cs.verdict_id where cs.case_id = m.case_id), '{}') where purpose = 'notification';

-- Whom an attempt went to, for the limits of a domain and of an AS.
alter table message_attempt add column domain text not null default '';
alter table message_attempt add column asn bigint;
update message_attempt a set domain = coalesce(lower(substring(m.recipient from '@([^@]*)$')), '') from message m where m.id = a.message_id;
create index message_attempt_domain on message_attempt (domain, started_at);
create index message_attempt_asn on message_attempt (asn, started_at) where asn is not null;
