-- jobs_prune.sql: forgets what ended before $1
delete from jobs where finished_at < $1
