-- migration_look.sql: how far the old home was looked through. $1 id, $2 the turn of who did, $3 look
update bucket_migrations set look = $3 where id = $1 and turn = $2 and ended_at = 0
