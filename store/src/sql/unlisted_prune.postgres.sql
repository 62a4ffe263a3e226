-- unlisted_prune.postgres.sql: forgets what was noted before $1, at most $2 rows, the oldest first. The time is compared again with each
-- row that goes: it may have been noted anew meanwhile. Own text: SQLite has no ctid.
delete from unlisted_writes where noted_at < $1
    and ctid = any(array(select ctid from unlisted_writes where noted_at < $1 order by noted_at limit $2))
