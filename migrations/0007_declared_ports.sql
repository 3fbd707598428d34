-- +goose Up

-- The ports that a scanner's operator says it probes, such as "80/TCP, 53/UDP";
-- empty: not declared.
alter table scanner add column ports text not null default '';
alter table registration add column ports text not null default '';

-- Sources with a contradiction that a coordinator must look at.
create index verdict_attention on verdict (last_at desc, id desc) where superseded_at is null and attention <> '';
