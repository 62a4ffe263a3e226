-- The checksum of an object whose backend keeps none. A row counts only for the object with this ETag and size, so that a
-- write that went past it never shows the checksum of the object before. kind: FULL_OBJECT or COMPOSITE.
create table object_checksums (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    etag text not null,
    size bigint not null,
    algorithm text not null,
    kind text not null,
    value text not null,
    primary key (bucket, object_key)
);
