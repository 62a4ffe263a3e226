-- How long a write of this proxy may land without a sign of life, in milliseconds.
alter table viewers add column write_lease bigint not null default 0;
-- settled_at: until when (by the database's clock) a write or a copy may land of which only an earlier server knew. settled: that is over,
-- and what no listing shows was marked once more since: a walk that begins now sees all that this server may have forgotten.
alter table queue_servers add column settled_at bigint not null default 0;
alter table queue_servers add column settled bigint not null default 1 check (settled in (0, 1));
-- Keys that a worker has recorded copies of at the home of a bucket that is being promoted as planned: what was compared before may not
-- hold of them. noted: counts how often, so that none is forgotten that was noted again since it was looked at.
create table promotion_keys (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    noted bigint not null,
    primary key (bucket, object_key)
);
-- Looked for by every worker every two seconds.
create index buckets_self_promoting on buckets (id) where promote_after > 0;
