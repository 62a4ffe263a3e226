-- Versions and delete markers that replicas hold of a key: which of the home's each one is. A row counts only for the version
-- that it describes: the home's id `null` names another one after each write that replaces it. position: the order of a key's
-- versions on one backend, the current one last. home_modified: when the home says that it was written. An ETag is empty for a
-- delete marker.
create table version_copies (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    backend text not null,
    home_version text not null,
    version text not null,
    position bigint not null,
    is_marker bigint not null check (is_marker in (0, 1)),
    etag text not null,
    home_etag text not null,
    size bigint not null,
    home_modified bigint not null,
    verified_how text not null,
    verified_at bigint not null,
    primary key (bucket, object_key, backend, home_version)
);
create index version_copies_in_order on version_copies (bucket, object_key, backend, position);

-- Versions whose tags were or are about to be changed: nothing else of a version can change, and nothing else tells of it.
create table retagged_versions (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    version text not null,
    noted_at bigint not null,
    primary key (bucket, object_key, version)
);
