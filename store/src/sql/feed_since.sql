-- feed_since.sql: changes after $1, oldest first, at most $2
select id, kind, subject, name from changes where id > $1 order by id limit $2
