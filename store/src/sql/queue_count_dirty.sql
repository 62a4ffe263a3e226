-- queue_count_dirty.sql: $1 bucket
select count(*) as dirty from dirty_keys where bucket = $1
