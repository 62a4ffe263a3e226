-- migration_running.sql: the one of a bucket that has not ended. $1 bucket
select id, bucket, source, source_physical, target, target_physical, target_n, former, drop_old, is_deep, asked_by, state, detail,
    walk, promotion, epoch, look, begun_at, since, moved_at, ended_at, turn
from bucket_migrations where bucket = $1 and ended_at = 0
