-- How placements change. A mapping that is `draining` gets no new copies; one that is `retiring` was seen empty and is about
-- to be dropped.
create table bucket_backends_new (
    bucket text not null references buckets (id) on delete cascade,
    backend text not null references backends (id),
    physical text not null,
    n bigint not null,
    position bigint not null,
    state text not null check (state in ('active', 'draining', 'retiring')),
    primary key (bucket, backend),
    unique (backend, physical)
);
insert into bucket_backends_new (bucket, backend, physical, n, position, state)
    select bucket, backend, physical, n, position, state from bucket_backends;
drop table bucket_backends;
alter table bucket_backends_new rename to bucket_backends;

-- locations: what an operator has placed the bucket in, comma-separated; empty: where it was created.
-- review_due: since when a worker has to compare the placement with policies and backends; 0: it has.
-- leave_home: the home that policy forbids or that is being retired, so that another has to be promoted; empty: none.
alter table buckets add column locations text not null default '';
alter table buckets add column review_due bigint not null default 0;
alter table buckets add column leave_home text not null default '';
create index buckets_to_review on buckets (review_due) where review_due > 0;
create index buckets_to_leave on buckets (leave_home) where leave_home <> '';

-- A mapping to a bucket that was there before the gateway: its physical bucket is not dropped with the logical one.
-- unwalked: 1 until all keys of such a bucket have been walked over; until then metadata's silence about a key says nothing.
alter table bucket_backends add column adopted bigint not null default 0 check (adopted in (0, 1));
alter table buckets add column unwalked bigint not null default 0 check (unwalked in (0, 1));
create index buckets_unwalked on buckets (id) where unwalked = 1;

-- Backends that no new placement may use.
create table backend_retirements (
    backend text not null primary key references backends (id) on delete cascade,
    begun_at bigint not null
);

-- The report of each replica that was or is being drained. It outlives the bucket, hence no foreign key.
-- remark: what was decided along with it. count_before: the bucket's replica count then. free_from: the end of a worker's
-- claim. look: JSON of the look through the backend's list that is going on. found: JSON of what the last one that came to its
-- end saw, empty before the first. keys: how many keys the first one saw, -1 before it.
create table drains (
    id text not null primary key,
    bucket text not null,
    tenant text not null,
    name text not null,
    backend text not null,
    physical text not null,
    reason text not null check (reason in ('placement', 'retired', 'policy')),
    remark text not null,
    count_before bigint not null,
    state text not null check (state in ('draining', 'proven', 'gone', 'called-off')),
    begun_at bigint not null,
    proven_at bigint not null,
    ended_at bigint not null,
    free_from bigint not null,
    look text not null,
    found text not null,
    keys bigint not null
);
create unique index drains_open on drains (bucket, backend) where ended_at = 0;
create index drains_unended on drains (free_from, id) where ended_at = 0;
create index drains_by_time on drains (begun_at, id);
create index drains_by_bucket on drains (bucket, begun_at, id);
create index drains_by_backend on drains (backend, begun_at, id);
