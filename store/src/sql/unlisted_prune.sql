-- unlisted_prune.sql: forgets what was noted before $1, at most $2 rows, the oldest first. The time is compared again with each row
-- that goes: it may have been noted anew meanwhile.
delete from unlisted_writes where noted_at < $1 and (bucket, object_key) in
    (select bucket, object_key from unlisted_writes where noted_at < $1 order by noted_at limit $2)
