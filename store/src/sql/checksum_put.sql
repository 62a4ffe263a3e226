-- checksum_put.sql: $1 bucket, $2 key, $3 ETag and $4 size it belongs to, $5 algorithm, $6 kind, $7 value, $8 now
insert into object_checksums (bucket, object_key, etag, size, algorithm, kind, value, kept_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (bucket, object_key, etag, size) do update set algorithm = excluded.algorithm, kind = excluded.kind,
    value = excluded.value, kept_at = excluded.kept_at
