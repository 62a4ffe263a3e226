-- stranded_insert.sql: one that an ended promotion of the same epoch has listed is listed anew. $1 id, $2 bucket, $3 key, $4 old home,
-- $5 epoch that ends, $6 now by the database's clock, $7 the newest version at the new home
insert into stranded_keys (id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size, newest)
values ($1, $2, $3, $4, $5, 'open', $6, '', '', '', 0, $7)
on conflict (bucket, object_key, epoch) do update set newest = excluded.newest where stranded_keys.state = 'open' and stranded_keys.merging = 0
