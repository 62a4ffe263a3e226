-- walk_wait.sql: something is away. $1 walk, $2 why, $3 until when, $4 the backend that it is, or nothing
update walks set state = 'waiting', note = $2, due_at = $3, attempts = attempts + 1, waits_for = $4
where id = $1 and (state = 'running' or (state = 'waiting' and begun_at = 0))
