-- mapping_one.sql: a bucket's mapping on one backend. $1 bucket, $2 backend
select physical, n from bucket_backends where bucket = $1 and backend = $2 and state = 'active'
