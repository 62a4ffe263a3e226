-- tags_put.sql: $1 bucket, $2 key, $3 ETag they belong to, $4 tags
insert into object_tags (bucket, object_key, etag, tags) values ($1, $2, $3, $4)
on conflict (bucket, object_key) do update set etag = excluded.etag, tags = excluded.tags
