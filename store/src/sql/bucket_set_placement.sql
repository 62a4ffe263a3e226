-- bucket_set_placement.sql: $1 bucket, $2 replica count, $3 since when a walk is owed
update buckets set replica_count = $2, fill_due = $3 where id = $1
