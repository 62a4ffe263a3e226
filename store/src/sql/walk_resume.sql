-- walk_resume.sql: a walk that had begun goes on when its wait is over. $1 walk, $2 now
update walks set state = 'running' where id = $1 and state = 'waiting' and begun_at > 0 and due_at <= $2
