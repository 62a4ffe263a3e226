-- Migrations of a bucket's home to another physical bucket, one row each; those that have ended are its history. source: the
-- backend that it leaves. target: the one that it gets, or the twin of `source` where the physical bucket alone changes; its
-- copies are recorded under that id. former: under which id the copies that the old home had at the cut over stay recorded.
-- look: JSON of how far the old home was looked through. moved_at, ended_at: 0 before. turn: from when on a worker may take it.
create table bucket_migrations (
    id text not null primary key,
    bucket text not null references buckets (id) on delete cascade,
    source text not null,
    source_physical text not null,
    target text not null,
    target_physical text not null,
    target_n bigint not null,
    former text not null,
    drop_old bigint not null check (drop_old in (0, 1)),
    is_deep bigint not null check (is_deep in (0, 1)),
    asked_by text not null,
    state text not null check (state in ('filling', 'moving', 'verifying', 'dropping', 'cancelling', 'done', 'cancelled')),
    detail text not null,
    walk text not null,
    promotion text not null,
    epoch bigint not null,
    look text not null,
    begun_at bigint not null,
    since bigint not null,
    moved_at bigint not null,
    ended_at bigint not null,
    turn bigint not null
);
create unique index bucket_migrations_running on bucket_migrations (bucket) where ended_at = 0;
create index bucket_migrations_by_bucket on bucket_migrations (bucket, begun_at);
