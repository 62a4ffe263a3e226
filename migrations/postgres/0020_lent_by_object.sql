-- A checksum, and the parts of a multipart object, are kept for each object that is or was under a key: of versions there are several,
-- and what is kept of two writes at once may come in either order. kept_at: when; the oldest go first.
alter table object_checksums add column kept_at bigint not null default 0;
alter table object_checksums drop constraint object_checksums_pkey;
alter table object_checksums add primary key (bucket, object_key, etag, size);
alter table object_parts add column kept_at bigint not null default 0;
alter table object_parts drop constraint object_parts_pkey;
alter table object_parts add primary key (bucket, object_key, etag, size);
