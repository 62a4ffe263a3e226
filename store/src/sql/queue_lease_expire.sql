-- queue_lease_expire.sql: leases of writers that died or were slow. Only a claim may drop them: what their writes left
-- is seen by whoever reads the home after the claim. $1 bucket, $2 key, $3 now
delete from dirty_leases where bucket = $1 and object_key = $2 and expires_at <= $3
