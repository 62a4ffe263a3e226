-- drain_claim.sql: no row where another worker was faster. $1 id, $2 the free_from that the caller saw, $3 the new one
update drains set free_from = $3 where id = $1 and free_from = $2 and ended_at = 0
