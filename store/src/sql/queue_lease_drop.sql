-- queue_lease_drop.sql: $1 bucket, $2 key, $3 lease
delete from dirty_leases where bucket = $1 and object_key = $2 and lease = $3
