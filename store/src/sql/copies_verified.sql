-- copies_verified.sql: keys that were verified on a backend by a time, and are not stranded there. $1 bucket, $2 backend, $3 time, $4 limit
select c.object_key from object_copies c
where c.bucket = $1 and c.backend = $2 and c.verified_at > 0 and c.verified_at <= $3 and not exists (
    select 1 from stranded_keys s where s.bucket = c.bucket and s.object_key = c.object_key and s.home = c.backend)
order by c.object_key limit $4
