-- bucket_promote_after.sql: $1 bucket
select promote_after from buckets where id = $1 and state = 'active'
