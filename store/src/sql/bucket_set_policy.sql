-- bucket_set_policy.sql: $1 bucket, $2 policy
update buckets set policy = $2 where id = $1
