-- bucket_set_placement.sql: $1 bucket, $2 replica count
update buckets set replica_count = $2 where id = $1
