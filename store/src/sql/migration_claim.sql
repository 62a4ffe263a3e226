-- migration_claim.sql: a worker's turn; no row where another was faster. $1 id, $2 the turn seen, $3 until
update bucket_migrations set turn = $3 where id = $1 and turn = $2 and ended_at = 0
