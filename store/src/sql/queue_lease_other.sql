-- queue_lease_other.sql: leases beside one, alive or past. $1 bucket, $2 key, $3 the one
select lease from dirty_leases where bucket = $1 and object_key = $2 and lease <> $3
