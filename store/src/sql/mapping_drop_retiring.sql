-- mapping_drop_retiring.sql: forgets a physical bucket that is gone, never one in use. $1 bucket, $2 backend
delete from bucket_backends where bucket = $1 and backend = $2 and state = 'retiring'
