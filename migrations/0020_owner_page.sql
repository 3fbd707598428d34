-- +goose Up

-- The page that a mail leads its owner to. Its address is made of the message
-- and a key, so nothing is stored for a link that works; a row ends one before
-- its time.
create table owner_link_end (
    message_id  bigint primary key references message,
    ended_at    timestamptz not null,
    ended_by    text not null,
    reason      text not null default ''
);

-- Until when an owner asked to be left alone: nothing goes out by itself.
alter table cases add column paused_until timestamptz;
