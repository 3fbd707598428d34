-- +goose Up

-- How the packets of a batch were counted (observation.CountRule): batches that
-- are there are of rule 1, and a process of the version before writes rule 1. What
-- is stored is not counted again, so sums over both rules must say so.
alter table batch add column count_rule smallint not null default 1 check (count_rule > 0);
-- Packets of the window that were copies of the one before and are in no
-- observation: many of them mean that the sensor's mirror port needs mending.
alter table batch add column copies bigint not null default 0 check (copies >= 0);
