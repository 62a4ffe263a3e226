-- stranded_insert.sql: $1 id, $2 bucket, $3 key, $4 old home, $5 epoch that ends, $6 now
insert into stranded_keys (id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size)
values ($1, $2, $3, $4, $5, 'open', $6, '', '', '', 0) on conflict (bucket, object_key, epoch) do nothing
