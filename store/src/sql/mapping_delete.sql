-- mapping_delete.sql: $1 bucket, $2 backend
delete from bucket_backends where bucket = $1 and backend = $2
