-- queue_dirty_keys.sql: a bucket's dirty keys in byte order, and since when they are. $1 bucket, $2 key to start after, $3 limit
select object_key, dirty_since from dirty_keys where bucket = $1 and object_key > $2 order by object_key limit $3
