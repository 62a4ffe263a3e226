-- object_parts_put.sql: $1 bucket, $2 key, $3 ETag and $4 size they belong to, $5 algorithm, $6 parts
insert into object_parts (bucket, object_key, etag, size, algorithm, parts) values ($1, $2, $3, $4, $5, $6)
on conflict (bucket, object_key) do update set etag = excluded.etag, size = excluded.size,
    algorithm = excluded.algorithm, parts = excluded.parts
