-- Whether a bucket's home takes changes. stopped: no client's, while another backend becomes home; fenced: no worker's
-- either, while that happens without the home.
alter table buckets add column writes text not null default 'taken' check (writes in ('taken', 'stopped', 'fenced'));
-- How long its home must be away before a worker promotes a replica by itself; 0: never.
alter table buckets add column promote_after bigint not null default 0;

-- Proxies that hold a view of the control plane: how far each one has read the change feed. lease: how long it takes
-- writes without having read on. seen_at: by the database's clock.
create table viewers (
    id text not null primary key,
    head bigint not null,
    lease bigint not null,
    seen_at bigint not null
);

-- Promotions of a replica to home, one row each; those that have ended are its history. epoch: the one that it ends.
-- fence: the change that every view must know before the next step. turn: until when a worker carries it out.
create table promotions (
    id text not null primary key,
    bucket text not null references buckets (id) on delete cascade,
    source text not null,
    target text not null,
    epoch bigint not null,
    forced bigint not null check (forced in (0, 1)),
    state text not null check (state in ('preparing', 'fencing', 'moved', 'done', 'failed')),
    detail text not null,
    fence bigint not null,
    begun_at bigint not null,
    fenced_at bigint not null,
    ended_at bigint not null,
    turn bigint not null
);
create unique index promotions_running on promotions (bucket) where state not in ('done', 'failed');
create index promotions_by_bucket on promotions (bucket, begun_at);

-- Keys whose last write may be at a home that was away when another one took its place. state: open until the two are
-- compared; overwritten: a client has written or deleted the key since; kept: what has lost stands aside, under kept_as
-- in the bucket kept_in on kept_on.
create table stranded_keys (
    id text not null primary key,
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    home text not null,
    epoch bigint not null,
    state text not null check (state in ('open', 'overwritten', 'kept')),
    stranded_at bigint not null,
    kept_on text not null,
    kept_in text not null,
    etag text not null,
    size bigint not null,
    unique (bucket, object_key, epoch)
);
create index stranded_keys_open on stranded_keys (bucket) where state <> 'kept';
