-- promotion_key_note.sql: notes a key of a bucket that is being promoted as planned. $1 bucket, $2 key
insert into promotion_keys (bucket, object_key, noted)
select cast($1 as text), $2, 1 from promotions p where p.bucket = $1 and p.forced = 0 and p.state not in ('done', 'failed')
on conflict (bucket, object_key) do update set noted = promotion_keys.noted + 1
