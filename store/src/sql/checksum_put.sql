-- checksum_put.sql: $1 bucket, $2 key, $3 ETag and $4 size it belongs to, $5 algorithm, $6 kind, $7 value
insert into object_checksums (bucket, object_key, etag, size, algorithm, kind, value) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (bucket, object_key) do update set etag = excluded.etag, size = excluded.size,
    algorithm = excluded.algorithm, kind = excluded.kind, value = excluded.value
