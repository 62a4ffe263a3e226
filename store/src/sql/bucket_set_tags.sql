-- bucket_set_tags.sql: no row where the bucket is not in service. $1 bucket, $2 tags
update buckets set tags = $2 where id = $1 and state = 'active'
