-- Tenants, keys, backends, buckets and their mappings, the change feed, what workers know of objects, the SQL queue.
-- Times are milliseconds since the Unix epoch, keys are bytes, documents are JSON text. Names that are listed in S3's
-- order, by bytes, carry collation C.

create table tenants (
    id text not null primary key,
    name text not null unique,
    policy text not null,
    default_placement text not null,
    default_replica_count bigint not null,
    created_at bigint not null
);

create table access_keys (
    id text not null primary key,
    tenant text not null references tenants (id),
    secret text not null,
    enabled bigint not null,
    created_at bigint not null
);
create index access_keys_by_tenant on access_keys (tenant);

create table backends (
    id text not null primary key,
    place text not null,
    endpoint text not null,
    region text not null,
    access_key text not null,
    secret_key text not null,
    capabilities text not null,
    position bigint not null unique
);

create table buckets (
    id text not null primary key,
    tenant text not null references tenants (id),
    name text collate "C" not null,
    state text not null check (state in ('creating', 'active', 'deleting', 'retired')),
    state_since bigint not null,
    home text not null references backends (id),
    epoch bigint not null,
    replica_count bigint not null,
    location text not null,
    policy text not null,
    created_at bigint not null
);
-- A retired bucket gives its logical name back at once, though its replicas are still being emptied.
create unique index buckets_by_name on buckets (tenant, name) where state <> 'retired';
create index buckets_unfinished on buckets (state, state_since) where state <> 'active';

create table bucket_backends (
    bucket text not null references buckets (id) on delete cascade,
    backend text not null references backends (id),
    physical text not null,
    n bigint not null,
    position bigint not null,
    state text not null check (state in ('active', 'retiring')),
    primary key (bucket, backend),
    unique (backend, physical)
);

-- One row, updated in the transaction of each change: its lock orders the ids by commit.
create table change_counter (
    id bigint not null primary key check (id = 1),
    head bigint not null
);
insert into change_counter (id, head) values (1, 0);

create table changes (
    id bigint not null primary key,
    kind text not null,
    subject text not null,
    name text not null,
    made_at bigint not null
);
create index changes_by_time on changes (made_at);

create table object_tags (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    etag text not null,
    tags text not null,
    primary key (bucket, object_key)
);

create table uploads (
    bucket text not null references buckets (id) on delete cascade,
    upload_id text not null,
    object_key bytea not null,
    initiated_at bigint not null,
    primary key (bucket, upload_id)
);

create table object_copies (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    backend text not null,
    etag text not null,
    home_etag text not null,
    size bigint not null,
    verified_how text not null,
    verified_at bigint not null,
    primary key (bucket, object_key, backend)
);

-- History outlives the bucket, hence no foreign key.
create table jobs (
    id text not null primary key,
    bucket text not null,
    object_key bytea not null,
    outcome text not null,
    detail text not null,
    attempts bigint not null,
    request_id text not null,
    started_at bigint not null,
    finished_at bigint not null
);
create index jobs_by_time on jobs (finished_at, id);
create index jobs_by_bucket on jobs (bucket, finished_at, id);

-- A mark must never wait for a bucket's row, hence no foreign key.
-- due_at: ready and delayed keys may be claimed from then on; for a claimed key it is when its claim last showed life.
create table dirty_keys (
    bucket text not null,
    object_key bytea not null,
    sequence bigint not null,
    request_id text not null,
    dirty_since bigint not null,
    attempts bigint not null,
    state text not null check (state in ('ready', 'delayed', 'claimed', 'dead')),
    due_at bigint not null,
    claimed_by text not null,
    claim text not null,
    reason text not null,
    primary key (bucket, object_key)
);
create index dirty_keys_due on dirty_keys (due_at) where state <> 'dead';
create index dirty_keys_dead on dirty_keys (due_at) where state = 'dead';

create table dirty_leases (
    bucket text not null,
    object_key bytea not null,
    lease text not null,
    expires_at bigint not null,
    primary key (bucket, object_key, lease)
);

-- Sequences never repeat, not even after a key was cleared: an old job must not clear a new mark.
create sequence dirty_sequence;
