-- +goose Up

-- Letters that coordinators wrote, by name (infected-mirai.first.ja); version 0
-- of each is the program's own and not here. Append-only: each mail names the
-- version it was made from.
create table letter_template (
    name        text not null,
    version     integer not null check (version > 0),
    subject     text not null,
    body        text not null,
    created_at  timestamptz not null,
    created_by  text not null,
    primary key (name, version)
);

-- Which version is in force: the latest row of each name. Append-only.
create table letter_choice (
    id          bigint generated always as identity primary key,
    name        text not null,
    version     integer not null check (version >= 0),
    at          timestamptz not null,
    actor       text not null,
    reason      text not null
);
create index letter_choice_name on letter_choice (name, id desc);

-- +goose StatementBegin
create function letter_append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end $$;
-- +goose StatementEnd
create trigger letter_template_append_only before update or delete on letter_template
    for each row execute function letter_append_only();
create trigger letter_choice_append_only before update or delete on letter_choice
    for each row execute function letter_append_only();

-- The reason to hold is the same for every kind now.
update message set hold_reason = replace(hold_reason, ' infected any more', ' judged so any more')
where hold_reason like '%infected any more%';

