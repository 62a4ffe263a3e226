-- queue_is_dirty.sql: $1 bucket, $2 key
select sequence from dirty_keys where bucket = $1 and object_key = $2
