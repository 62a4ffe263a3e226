-- copy_put.sql: $1 bucket, $2 key, $3 backend, $4 ETag, $5 home's ETag, $6 size, $7 how and $8 when verified.
-- A suspect copy stays suspect: who looks at it without reading it cannot tell.
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (bucket, object_key, backend) do update set
    etag = excluded.etag, home_etag = excluded.home_etag, size = excluded.size,
    verified_how = case when object_copies.verified_how = 'suspect' then 'suspect' else excluded.verified_how end,
    verified_at = case when object_copies.verified_how = 'suspect' then 0 else excluded.verified_at end
