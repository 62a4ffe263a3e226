-- bucket_set_versioning.sql: no row where the bucket is not in service. $1 bucket, $2 state
update buckets set versioning = $2 where id = $1 and state = 'active'
