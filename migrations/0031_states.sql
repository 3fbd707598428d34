-- +goose Up

-- The moves that cases and messages may make from one state to another, as
-- docs/states.md draws them. An empty old state is where they begin.
create table state_move (
    subject text not null check (subject in ('case','message')),
    old     text not null,
    new     text not null,
    primary key (subject, old, new)
);
insert into state_move (subject, old, new) values
    ('case', '', 'new'),
    ('case', 'new', 'open'), ('case', 'new', 'notified'), ('case', 'new', 'answered'), ('case', 'new', 'closed'), ('case', 'new', 'ignored'),
    ('case', 'open', 'notified'), ('case', 'open', 'answered'), ('case', 'open', 'closed'), ('case', 'open', 'ignored'),
    ('case', 'notified', 'open'), ('case', 'notified', 'answered'), ('case', 'notified', 'closed'), ('case', 'notified', 'ignored'),
    ('case', 'answered', 'open'), ('case', 'answered', 'notified'), ('case', 'answered', 'closed'), ('case', 'answered', 'ignored'),
    ('case', 'closed', 'open'), ('case', 'ignored', 'open'),
    ('message', '', 'held'), ('message', '', 'queued'),
    ('message', 'held', 'queued'), ('message', 'held', 'canceled'),
    ('message', 'queued', 'held'), ('message', 'queued', 'sent'), ('message', 'queued', 'bounced'), ('message', 'queued', 'failed'),
    ('message', 'queued', 'canceled'), ('message', 'sent', 'bounced');

-- +goose StatementBegin
create function check_state_move() returns trigger language plpgsql as $$
begin
    if not exists (select 1 from state_move m where m.subject = tg_argv[0] and m.old = old.state and m.new = new.state) then
        raise exception '% % may not go from % to %', tg_argv[0], old.id, old.state, new.state using errcode = 'check_violation';
    end if;
    return new;
end $$;
-- +goose StatementEnd
create trigger cases_state before update of state on cases for each row when (old.state is distinct from new.state)
    execute function check_state_move('case');
create trigger message_state before update of state on message for each row when (old.state is distinct from new.state)
    execute function check_state_move('message');

-- Nothing of what was said and done is ever deleted.
-- +goose StatementBegin
create function never_deleted() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never deleted', tg_table_name;
end $$;
-- +goose StatementEnd
create trigger cases_never_deleted before delete on cases for each row execute function never_deleted();
create trigger message_never_deleted before delete on message for each row execute function never_deleted();
create trigger message_attempt_never_deleted before delete on message_attempt for each row execute function never_deleted();
create trigger inbound_never_deleted before delete on inbound for each row execute function never_deleted();
