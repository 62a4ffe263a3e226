-- migration_step.sql: no row where it is no longer as the caller saw it. $1 id, $2 the turn seen or -1 for any, $3 the state seen, $4 the next,
-- $5 detail, $6 walk, $7 promotion, $8 look, $9 since, $10 moved at, $11 ended at
update bucket_migrations set state = $4, detail = $5, walk = $6, promotion = $7, look = $8, since = $9, moved_at = $10, ended_at = $11
where id = $1 and (turn = $2 or $2 < 0) and state = $3 and ended_at = 0
