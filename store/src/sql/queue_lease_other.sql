-- queue_lease_other.sql: a lease of another write, alive or past. $1 bucket, $2 key, $3 the lease that is not meant
select lease from dirty_leases where bucket = $1 and object_key = $2 and lease <> $3 limit 1
