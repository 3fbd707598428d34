-- +goose Up

-- What follows from a mail that arrived, apart from what it is: a ticket system
-- marks its people's words as automatic, and a challenge is no answer.
alter table inbound drop constraint inbound_class_check,
    add constraint inbound_class_check check (class in ('','bounce','delay','autoreply','feedback','challenge','human')),
    add column answers boolean not null default false, -- it counts as the owner's answer
    add column waits boolean not null default false,   -- a person must look at it
    add column suggested_case_id bigint references cases; -- named by its number only, by a sender whom the case does not know

update inbound set answers = class = 'human', waits = class in ('human','feedback') where class in ('human','feedback');
