-- Redis servers that have held the queue, by the run id that each process gives itself. One that was not the first may have
-- forgotten marks: its buckets are suspect until they have been walked since. generation: counts the servers; walks and
-- buckets note the newest one when they begin. trusted: no bucket is suspect because of it any more.
create table queue_servers (
    run_id text not null primary key,
    generation bigint not null unique,
    trusted bigint not null check (trusted in (0, 1)),
    seen_at bigint not null
);
alter table walks add column generation bigint not null default 0;
alter table buckets add column generation bigint not null default 0;
