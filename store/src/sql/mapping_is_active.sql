-- mapping_is_active.sql: one row where the backend is in the bucket's placement, and not drained. $1 bucket, $2 backend
select 1 as active from bucket_backends where bucket = $1 and backend = $2 and state = 'active'
