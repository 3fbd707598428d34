-- +goose Up

-- What the same packets are counted in once only: when the packets of a batch
-- were captured, whether the batch counts, and which other batches of its
-- sensor are of the same time (docs/decisions/0043-overlapping-captures.md).
--
-- standing: counted; covered: another batch, covered_by, has all its packets;
-- aside: packets may be counted already, a person has to say; left-out: a
-- person has said that it does not count. Only rows of counted batches are in
-- observation. Those that are aside or left out are in observation_aside.
alter table batch add column first_at timestamptz;
alter table batch add column last_at timestamptz;
alter table batch add column standing text not null default 'counted' check (standing in ('counted','covered','aside','left-out'));
alter table batch add column covered_by bigint references batch;
alter table batch add column country_data text not null default ''; -- the data that countries of its observations are from
alter table batch add check (standing = 'counted' or judged_at is not null);
alter table batch add check ((standing = 'covered') = (covered_by is not null));
update batch b set first_at = o.first_at, last_at = o.last_at
    from (select batch_id, min(first_at) as first_at, max(last_at) as last_at from observation group by batch_id) o where o.batch_id = b.id;
-- The batches that a person has to decide about: most of the time none.
create index batch_aside on batch (id) where standing = 'aside';
-- The windows of an import, for the list of captures.
create index batch_import on batch (import_id) where import_id is not null;
-- The batches that a batch covers, when it is taken out of the count.
create index batch_covered on batch (covered_by) where covered_by is not null;

-- Two batches of one sensor whose packets are of the same time: batch_id came
-- later. relation: holds, all packets of other_id are in batch_id; shares,
-- some packets are in both; unclear, some may be. decided_by says that both
-- count, or that batch_id does not.
create table batch_overlap (
    batch_id    bigint not null references batch,
    other_id    bigint not null references batch,
    relation    text not null check (relation in ('holds','shares','unclear')),
    found_at    timestamptz not null,
    decided_at  timestamptz,
    decided_by  text not null default '',
    primary key (batch_id, other_id)
);
-- The list of overlaps that a person decides about, or has.
create index batch_overlap_named on batch_overlap (batch_id desc) where relation <> 'holds';

-- The country of the source when the observation was stored; ZZ: unknown,
-- null: stored before countries were.
alter table observation add column country text;

-- Observations that do not count: those of batches that are aside or left out.
create table observation_aside (like observation);
-- The rows of a batch, when it is decided about.
create index observation_aside_batch on observation_aside (batch_id);

-- A stretch of time in which a sensor was live: of an imported capture all
-- windows from the first packet's to the last one's, or what the operator says
-- that it covers.
create table sensor_live (
    id        bigint generated always as identity primary key,
    sensor_id integer not null references sensor,
    import_id bigint references import on delete cascade,
    live_from timestamptz not null,
    live_to   timestamptz not null check (live_to > live_from)
);
-- An import says once when its sensor was live.
create unique index sensor_live_import on sensor_live (import_id) where import_id is not null;
-- The stretches of a sensor in a time.
create index sensor_live_time on sensor_live (sensor_id, live_from);
insert into sensor_live (sensor_id, import_id, live_from, live_to)
    select sensor_id, import_id, min(window_start), max(window_start + window_seconds * interval '1 second') from batch
    where import_id is not null group by sensor_id, import_id;
insert into sensor_live (sensor_id, live_from, live_to)
    select distinct sensor_id, window_start, window_start + window_seconds * interval '1 second' from batch where import_id is null;
