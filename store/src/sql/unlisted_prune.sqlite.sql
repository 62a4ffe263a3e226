-- unlisted_prune.sqlite.sql: forgets what was noted before $1, at most $2 rows, the oldest first. Own text: PostgreSQL would join by keys.
delete from unlisted_writes where rowid in (select rowid from unlisted_writes where noted_at < $1 order by noted_at limit $2)
