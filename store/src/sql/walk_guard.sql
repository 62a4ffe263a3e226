-- walk_guard.sql: stops it until an operator decides. $1 walk, $2 why
update walks set state = 'guarded', note = $2 where id = $1 and state = 'running'
