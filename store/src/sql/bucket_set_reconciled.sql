-- bucket_set_reconciled.sql: $1 bucket, $2 now
update buckets set reconciled_at = $2 where id = $1
