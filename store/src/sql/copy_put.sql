-- copy_put.sql: $1 bucket, $2 key, $3 backend, $4 ETag, $5 home's ETag, $6 size, $7 how and $8 when verified
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (bucket, object_key, backend) do update set
    etag = excluded.etag, home_etag = excluded.home_etag, size = excluded.size,
    verified_how = excluded.verified_how, verified_at = excluded.verified_at
