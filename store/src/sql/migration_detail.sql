-- migration_detail.sql: what it waits for. $1 id, $2 the turn of who says so, $3 detail
update bucket_migrations set detail = $3 where id = $1 and turn = $2 and ended_at = 0
