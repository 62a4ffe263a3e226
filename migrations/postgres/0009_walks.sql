-- Walks over the keys of a bucket, which mark keys and change nothing themselves. begun_at, finished_at: 0 until then.
-- due_at: from when on a waiting walk may go on; moved by whoever prepares it, so that one worker does. epoch: of the home
-- that it reads. total: keys known when it began. paced_until: up to when its rate is used up. approved: an operator has
-- agreed to what the guard stopped.
create table walks (
    id text not null primary key,
    bucket text not null references buckets (id) on delete cascade,
    kind text not null check (kind in ('backfill', 'reconcile', 'deep')),
    reason text not null,
    rate bigint not null,
    state text not null check (state in ('waiting', 'running', 'guarded', 'done', 'cancelled', 'failed')),
    note text not null,
    approved bigint not null check (approved in (0, 1)),
    total bigint not null,
    epoch bigint not null,
    attempts bigint not null,
    due_at bigint not null,
    paced_until bigint not null,
    created_at bigint not null,
    begun_at bigint not null,
    finished_at bigint not null
);
-- Whoever asks for a walk that has not begun shares it: it will see all that is there now.
create unique index walks_not_begun on walks (bucket, kind) where begun_at = 0 and finished_at = 0;
create index walks_unfinished on walks (due_at) where finished_at = 0;
create index walks_by_bucket on walks (bucket, kind, created_at);
create index walks_by_time on walks (created_at);

-- A walk's parts: the keys after `after` up to and with `up_to`, which is empty for the last one. walked_to: all up to this
-- key are done. reserved: deletes of the step that is being taken. claimed_until: by the worker whose claim is
-- `claim`, which is another one each time.
create table walk_shards (
    walk text not null references walks (id) on delete cascade,
    position bigint not null,
    after bytea not null,
    up_to bytea not null,
    walked_to bytea not null,
    done bigint not null,
    marked bigint not null,
    deletes bigint not null,
    reserved bigint not null,
    claimed_until bigint not null,
    claim bigint not null,
    finished bigint not null check (finished in (0, 1)),
    primary key (walk, position)
);

-- How often a walk found what.
create table walk_counts (
    walk text not null references walks (id) on delete cascade,
    kind text not null,
    found bigint not null,
    primary key (walk, kind)
);

-- The first things that a walk found, one by one.
create table walk_findings (
    walk text not null references walks (id) on delete cascade,
    position bigint not null,
    kind text not null,
    object_key bytea not null,
    backend text not null,
    detail text not null,
    found_at bigint not null,
    primary key (walk, position)
);
