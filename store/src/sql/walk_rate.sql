-- walk_rate.sql: an operator slows or hastens it; what the rate before has used up ahead is void. $1 walk, $2 keys a second, 0 for no bound
update walks set rate = $2, paced_until = 0 where id = $1 and finished_at = 0
