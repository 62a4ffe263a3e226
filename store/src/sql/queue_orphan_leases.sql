-- queue_orphan_leases.sql: ends all leases; the next claim of each key drops them. $1 now
update dirty_leases set expires_at = $1 where expires_at > $1
