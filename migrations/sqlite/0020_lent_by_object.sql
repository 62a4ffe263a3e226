-- A checksum, and the parts of a multipart object, are kept for each object that is or was under a key: of versions there are several,
-- and what is kept of two writes at once may come in either order. kept_at: when; the oldest go first.
create table object_checksums_now (
    bucket text not null references buckets (id) on delete cascade,
    object_key blob not null,
    etag text not null,
    size bigint not null,
    algorithm text not null,
    kind text not null,
    value text not null,
    kept_at bigint not null default 0,
    primary key (bucket, object_key, etag, size)
);
insert into object_checksums_now (bucket, object_key, etag, size, algorithm, kind, value)
select bucket, object_key, etag, size, algorithm, kind, value from object_checksums;
drop table object_checksums;
alter table object_checksums_now rename to object_checksums;
create table object_parts_now (
    bucket text not null references buckets (id) on delete cascade,
    object_key blob not null,
    etag text not null,
    size bigint not null,
    algorithm text not null,
    parts text not null,
    kept_at bigint not null default 0,
    primary key (bucket, object_key, etag, size)
);
insert into object_parts_now (bucket, object_key, etag, size, algorithm, parts)
select bucket, object_key, etag, size, algorithm, parts from object_parts;
drop table object_parts;
alter table object_parts_now rename to object_parts;
