-- jobs_prune.sqlite.sql: forgets what ended before $1, at most $2 rows, so that no other writer waits long. Own text: PostgreSQL drops
-- whole days.
delete from jobs where rowid in (select rowid from jobs where finished_at < $1 order by finished_at limit $2)
