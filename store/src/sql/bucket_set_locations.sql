-- bucket_set_locations.sql: $1 bucket, $2 locations, comma-separated
update buckets set locations = $2 where id = $1
