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

-- The parts that a multipart object was made of, under the same rule. parts: JSON of number, bytes and checksum of each;
-- algorithm: that of their checksums.
create table object_parts (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    etag text not null,
    size bigint not null,
    algorithm text not null,
    parts text not null,
    primary key (bucket, object_key)
);

-- The checksum that a multipart upload was asked for when it was begun.
create table upload_checksums (
    bucket text not null references buckets (id) on delete cascade,
    upload_id text not null,
    algorithm text not null,
    kind text not null,
    primary key (bucket, upload_id)
);

-- What the parts of an open upload turned out to be. A row counts only for the part with this ETag.
create table upload_parts (
    bucket text not null references buckets (id) on delete cascade,
    upload_id text not null,
    part_number bigint not null,
    etag text not null,
    size bigint not null,
    value text not null,
    primary key (bucket, upload_id, part_number)
);
