-- walks_resume.sql: walks that had begun go on when their wait is over. $1 now, $2 most
update walks set state = 'running' where state = 'waiting' and id in (
    select id from walks where finished_at = 0 and state = 'waiting' and begun_at > 0 and due_at <= $1
    order by due_at, id limit $2)
