-- Large objects queue apart: lane 1 is what a worker has set aside.
alter table dirty_keys add column lane bigint not null default 0 check (lane in (0, 1));
drop index dirty_keys_due;
create index dirty_keys_due on dirty_keys (lane, due_at) where state <> 'dead';

-- The job history by UTC day: a day that is no longer kept is dropped as one, not row by row.
alter table jobs rename to jobs_whole;
create table jobs (
    id text not null,
    bucket text not null,
    object_key bytea not null,
    outcome text not null,
    detail text not null,
    attempts bigint not null,
    request_id text not null,
    started_at bigint not null,
    finished_at bigint not null,
    primary key (finished_at, id)
) partition by range (finished_at);

-- Makes the days from the one of `first` to the one of `last` (milliseconds since the Unix epoch) and drops those before; how
-- many it dropped. Of several callers one at a time does so.
create function keep_jobs(first bigint, last bigint) returns bigint language plpgsql as $$
declare
    milliseconds constant bigint := 86400000;
    name text;
    dropped bigint := 0;
begin
    perform pg_advisory_xact_lock(hashtext('s3gateway jobs'));
    for day in first / milliseconds .. last / milliseconds loop
        name := 'jobs_' || to_char(to_timestamp(day * 86400) at time zone 'utc', 'YYYYMMDD');
        if to_regclass(name) is null then
            execute format('create table %I partition of jobs for values from (%s) to (%s)',
                name, day * milliseconds, (day + 1) * milliseconds);
        end if;
    end loop;
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'jobs'::regclass
            and c.relname < 'jobs_' || to_char(to_timestamp(first / 1000) at time zone 'utc', 'YYYYMMDD')
    loop
        execute format('drop table %I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;

-- Every day that the old rows need, today and three ahead.
select keep_jobs(
    (select coalesce(min(finished_at), cast(extract(epoch from now()) * 1000 as bigint)) from jobs_whole),
    cast(extract(epoch from now()) * 1000 as bigint) + 3 * 86400000);
insert into jobs (id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at)
    select id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at from jobs_whole;
drop table jobs_whole;
create index jobs_by_bucket on jobs (bucket, finished_at, id);
