-- queue_bucket_is_dirty.sql: $1 bucket
select sequence from dirty_keys where bucket = $1 limit 1
