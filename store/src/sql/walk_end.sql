-- walk_end.sql: cancelled or failed. $1 walk, $2 state, $3 why, $4 now
update walks set state = $2, note = $3, finished_at = $4 where id = $1 and finished_at = 0
