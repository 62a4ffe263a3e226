-- bucket_set_promote_after.sql: no row where the bucket is not in service. $1 bucket, $2 ms, 0 for never
update buckets set promote_after = $2 where id = $1 and state = 'active'
