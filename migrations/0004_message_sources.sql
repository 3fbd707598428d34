-- +goose Up

-- The sources that a message whose words are settled tells about. A source of
-- a live case that none covers needs a message of its own.
create table message_source (
    message_id  bigint not null references message,
    source      inet not null,
    primary key (message_id, source)
);
create index message_source_source on message_source (source);

-- What was composed told about the sources of its time; what ended unsent was
-- a coordinator's decision about all.
insert into message_source (message_id, source)
select m.id, cs.source from message m join case_source cs on cs.case_id = m.case_id
where m.purpose = 'notification' and (m.state not in ('held','queued') or m.attempts > 0 or m.edited)
and cs.joined_at <= coalesce((select min(a.started_at) from message_attempt a where a.message_id = m.id), 'infinity');
