-- object_parts_put.sql: $1 bucket, $2 key, $3 ETag and $4 size they belong to, $5 algorithm, $6 parts, $7 now
insert into object_parts (bucket, object_key, etag, size, algorithm, parts, kept_at) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (bucket, object_key, etag, size) do update set algorithm = excluded.algorithm, parts = excluded.parts,
    kept_at = excluded.kept_at
