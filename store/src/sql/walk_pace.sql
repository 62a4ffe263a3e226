-- walk_pace.sql: a step has been admitted, so nothing is away. $1 walk, $2 up to when the rate is used up
update walks set paced_until = $2, attempts = 0, note = '' where id = $1
