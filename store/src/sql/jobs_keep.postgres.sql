-- jobs_keep.postgres.sql: makes the days of the job history ahead and drops those that are past. Own text: SQLite has no partitions.
-- $1 what ended before may go, $2 until when days are made
select keep_jobs($1, $2) as dropped
