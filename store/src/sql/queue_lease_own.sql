-- queue_lease_own.sql: whether a lease is noted, alive or past. $1 bucket, $2 key, $3 lease
select 1 as noted from dirty_leases where bucket = $1 and object_key = $2 and lease = $3
