-- mapping_is_adopted.sql: $1 bucket, $2 backend
select adopted from bucket_backends where bucket = $1 and backend = $2
